//! Where senders connect: connections are accepted, TLS is ended where the Integration says so, and slow or idle ones are
//! bounded. What a connection is worth is judged behind it.

mod begin;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

use self::begin::{Begin, begin};
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

/// How long a head that has begun may take to end then.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The longest head of a request, in bytes; 431 beyond.
const LONGEST_HEAD: usize = 32 << 10;
const LONGEST_HEAD_U32: u32 = 32 << 10;

/// Requests at once on one connection of HTTP/2.
const MOST_STREAMS: u32 = 128;

/// The most headers of a request; 431 beyond.
const MOST_HEADERS: usize = 100;

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
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            place = Arc::clone(&room).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
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
        let line = Line { address, deadline: Instant::now() + fault::deadline(HEAD_DEADLINE), stop: stop.clone() };
        let (tls, router) = (tls.clone(), router.clone());
        connections.spawn(async move {
            // What a peer does wrong ends its connection and is nobody else's business.
            let _ = connection(stream, line, tls, router).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if timeout(FAREWELL, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off; their senders send them again");
    }
}

/// What is known of a connection from its begin.
struct Line {
    address: SocketAddr,
    /// When its first request must be there.
    deadline: Instant,
    stop: CancellationToken,
}

/// Serves a connection. What takes memory has a place of its own, which is taken when the peer has begun.
async fn connection(stream: TcpStream, line: Line, tls: Option<Arc<ServerTls>>, router: Router) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let begins = begin(&stream, line.deadline, &line.stop).await?;
    match (begins, tls) {
        (None, _) => {}
        (Some(Begin::Tls), Some(tls)) => Box::pin(secured(stream, line, tls, router)).await?,
        (Some(_), _) => {
            let peer = Peer { address: line.address, secure: false, certificates: Arc::default() };
            Box::pin(speak(stream, peer, line, router)).await;
        }
    }
    Ok(())
}

/// Makes TLS come about, and speaks HTTP when the first bytes came through it.
async fn secured(stream: TcpStream, line: Line, tls: Arc<ServerTls>, router: Router) -> std::io::Result<()> {
    let acceptor = tls.acceptor().map_err(std::io::Error::other)?;
    let mut stream = timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await??;
    tokio::select! {
        biased;
        first = stream.fill_buf() => { first?; }
        () = sleep_until(line.deadline) => return Ok(()),
        // Who has made TLS come about has begun.
        () = async { line.stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return Ok(()),
    }
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = shown.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let peer = Peer { address: line.address, secure: true, certificates };
    Box::pin(speak(stream, peer, line, router)).await;
    Ok(())
}

/// Speaks HTTP on a connection until it ends.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, line: Line, router: Router) {
    let builder = http();
    let asked = AtomicBool::new(false);
    let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        router.clone().call(request)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut silent = pin!(silent(&asked, line.deadline));
    tokio::select! {
        // Asked first, so that a head that is whole when the worker stops is still read.
        biased;
        // A connection that breaks off is its sender's business: what was not answered is sent again.
        _ = connection.as_mut() => return,
        () = silent.as_mut() => return,
        () = line.stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = silent => {}
    }
}

/// How HTTP is spoken, of either version.
fn http() -> auto::Builder<TokioExecutor> {
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
    builder
}

/// Ends when a connection had its first request's time and made none. hyper's own deadline begins only once it knows the
/// version of HTTP, and for that it waits for ever.
async fn silent(asked: &AtomicBool, deadline: Instant) {
    sleep_until(deadline).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
