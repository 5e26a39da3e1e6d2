//! Those who mean no good, or are broken: connections without a request, bodies that never end, heads that never end. A process
//! of its own.

use std::{fs, net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    Error,
    args::AbuseArgs,
    error::{call, file},
};

/// Descriptors beside those of connections that do nothing.
const SPARE: u64 = 1_000;

/// The pause between two bytes of a body that never ends.
const SLOWLY: Duration = Duration::from_secs(1);

/// The pause of whoever floods with headers, so that it is the worker that is measured and not the core that both of us have.
const BETWEEN_FLOODS: Duration = Duration::from_millis(100);

/// Two times what a worker reads of a head.
const FLOOD_LINES: usize = 64;

/// Opens everything, says so by making a file, and goes on until it is killed.
///
/// # Errors
/// When the process may not have as many connections, or one of those that do nothing ends.
pub async fn run(args: &AbuseArgs) -> Result<(), Error> {
    let AbuseArgs { host, idle, slow, floods, ready } = args;
    let wanted = u64::from(*idle + *slow + *floods) + SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < wanted) {
        return Err(Error::Limit { wanted });
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(call("raise the limit of files"))?;
    let mut waiting = Vec::new();
    for number in 0..*idle {
        let mut connection = TcpStream::connect(host).await.map_err(call("connect"))?;
        if number % 2 == 0 {
            // Half of them have begun a request.
            connection.write_all(b"POST /hooks/0 HTTP/1.1\r\nhost: a\r\nx-").await.map_err(call("write"))?;
        }
        waiting.push(connection);
    }
    for _ in 0..*slow {
        tokio::spawn(slowly(*host));
    }
    for _ in 0..*floods {
        tokio::spawn(flood(*host));
    }
    fs::write(ready, "ready").map_err(file("write", ready))?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ended = waiting.iter().filter(|connection| !matches!(connection.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
        // Whoever has fewer than was said measures something else.
        let ended = ended.count();
        if ended > 0 {
            return Err(Error::Delivery { variant: "the worker", found: format!("{ended} idle connections ended") });
        }
    }
}

/// Sends bodies that never end, one after the other.
async fn slowly(host: SocketAddr) {
    loop {
        let Ok(mut connection) = TcpStream::connect(host).await else { continue };
        let head = b"POST /hooks/0 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer bench\r\ncontent-length: 500\r\n\r\n";
        let mut written = connection.write_all(head).await;
        while written.is_ok() {
            tokio::time::sleep(SLOWLY).await;
            written = connection.write_all(b"{").await;
        }
    }
}

/// Sends heads that never end, one after the other.
async fn flood(host: SocketAddr) {
    let line = format!("x-flood: {}\r\n", "a".repeat(1_000));
    loop {
        tokio::time::sleep(BETWEEN_FLOODS).await;
        let Ok(mut connection) = TcpStream::connect(host).await else { continue };
        let mut written = connection.write_all(b"POST /hooks/0 HTTP/1.1\r\nhost: a\r\n").await;
        for _ in 0..FLOOD_LINES {
            if written.is_err() {
                break;
            }
            written = connection.write_all(line.as_bytes()).await;
        }
        // The answer, or the end.
        let _ = connection.read(&mut [0; 1_024]).await;
    }
}
