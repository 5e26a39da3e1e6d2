//! Where senders connect: connections are accepted, TLS is ended where the Integration says so, and slow or idle ones are
//! bounded. What a connection is worth is judged behind it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, extract::Request, middleware};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::tls::ServerTls;
use crate::fault;

/// How many connections there may be at once; further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 16_384;

/// How long a connection may stay without a whole request head. Longer than the minute for which common proxies keep their
/// connections, so that they and not we end them.
const HEAD_DEADLINE: Duration = Duration::from_secs(75);

/// How long TLS may take to come about.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long requests in hand may take to end once nothing new is taken.
const FAREWELL: Duration = Duration::from_secs(20);

/// The longest head of a request, in bytes; 431 beyond.
const LONGEST_HEAD: usize = 32 << 10;
const LONGEST_HEAD_U32: u32 = 32 << 10;

/// Requests at once on one connection of HTTP/2.
const MOST_STREAMS: u32 = 128;

/// The most headers of a request; 431 beyond.
const MOST_HEADERS: usize = 100;

/// The first byte of TLS: a handshake record (RFC 8446, 5.1). No method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Who is connected.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where from.
    pub address: SocketAddr,
    /// Whether TLS is ended here.
    pub secure: bool,
    /// The certificates that were shown, the peer's own first. That the peer holds its key was seen; who signed it was not.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Serves until `stop` is cancelled and what is in hand is done. With `tls`, whoever begins TLS gets it.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerTls>>, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: others end soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            // What a peer does wrong ends its connection and is nobody else's business.
            let _ = connection(stream, address, tls, router, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off; their senders send them again");
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    watcher: Watcher,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let plain = Peer { address, secure: false, certificates: Arc::default() };
    let Some(tls) = tls else {
        speak(stream, plain, router, watcher).await;
        return Ok(());
    };
    let mut first = [0];
    let read = tokio::time::timeout(fault::deadline(HEAD_DEADLINE), stream.peek(&mut first)).await??;
    if read == 0 || first[0] != TLS_HANDSHAKE {
        speak(stream, plain, router, watcher).await;
        return Ok(());
    }
    let acceptor = tls.acceptor().map_err(std::io::Error::other)?;
    let stream = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = shown.iter().map(|certificate| certificate.clone().into_owned()).collect();
    speak(stream, Peer { address, secure: true, certificates }, router, watcher).await;
    Ok(())
}

/// Speaks HTTP on a connection until it ends.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    watcher: Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(fault::deadline(HEAD_DEADLINE))
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_DEADLINE)
        .max_header_list_size(LONGEST_HEAD_U32)
        .max_concurrent_streams(MOST_STREAMS);
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let noting = middleware::map_request(move |request: Request| {
        noted.store(true, Ordering::Relaxed);
        std::future::ready(request)
    });
    let service = TowerToHyperService::new(router.layer(Extension(peer)).layer(noting));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A connection that breaks off is its sender's business: what was not answered is sent again.
        _ = watcher.watch(connection.into_owned()) => {}
        () = silent(&asked) => {}
    }
}

/// Ends when a connection had its first request's time and made none. hyper's own deadline begins only once it knows the
/// version of HTTP, and for that it waits for ever.
async fn silent(asked: &AtomicBool) {
    tokio::time::sleep(fault::deadline(HEAD_DEADLINE)).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
