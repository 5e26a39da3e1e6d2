//! Ports for servers that are started here.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    ops::Range,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::Router;

use crate::{Error, error::file};

/// Serves these routes on a port of the loopback interface until the test ends.
///
/// # Panics
/// When there is no port.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A TCP port of the loopback interface that is free, given to nobody else in this process.
///
/// It lies below the kernel's range for outgoing connections, so that none of those takes it while a killed server is
/// about to start again on it.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, Error> {
    const RANGE: Range<u32> = 20_000..32_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in RANGE {
        // Test programs that run at the same time have different ids and so start at different places.
        let place = process::id().wrapping_mul(97).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(RANGE.start + place % (RANGE.end - RANGE.start)).expect("the range is one of ports");
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(file("find a free port on", "127.0.0.1")(last))
}
