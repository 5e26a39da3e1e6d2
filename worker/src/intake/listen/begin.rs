//! Waits for a connection's first request with nothing but the socket. What a peer sends stays in the kernel meanwhile: HTTP
//! and TLS take tens of kilobytes for a connection, which nobody gets who only connects, or begins and does not go on.

use std::io;

use httparse::{EMPTY_HEADER, Request, Status};
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{LAST_WORDS, MOST_HEADERS};

/// The first byte of TLS: a handshake record (RFC 8446, 5.1). No method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// So much of a head is waited for in the kernel, in bytes. Few senders' heads are longer, and what is looked at again with
/// each packet should be short.
const LONGEST_LOOK: usize = 4 << 10;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// TLS.
    Tls,
    /// A whole head of a request, or what needs no more to be refused.
    Http,
}

/// Waits until a connection begins. None if its peer leaves, says nothing until `deadline`, or has not begun when the worker
/// stops.
///
/// # Errors
/// If the connection breaks.
pub async fn begin(stream: &TcpStream, deadline: Instant, stop: &CancellationToken) -> io::Result<Option<Begin>> {
    tokio::select! {
        begun = begun(stream) => begun,
        () = sleep_until(deadline) => Ok(None),
        () = farewell(stream, stop) => Ok(None),
    }
}

async fn begun(stream: &TcpStream) -> io::Result<Option<Begin>> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        // The attempt says that nothing could be read while the head is not whole, so that the next packet is waited for.
        let looked = stream.try_io(Interest::READABLE, || look(stream));
        match looked {
            // Nothing more will come, so there is nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

fn look(stream: &TcpStream) -> io::Result<Option<Begin>> {
    let mut seen = [0; LONGEST_LOOK];
    match recv(stream, &mut seen, RecvFlags::PEEK)? {
        (0, _) => Ok(None),
        (length, _) => judge(&seen[..length]).map(Some).ok_or_else(|| io::ErrorKind::WouldBlock.into()),
    }
}

/// What these first bytes begin; none as long as that can't be said.
fn judge(seen: &[u8]) -> Option<Begin> {
    if seen.first() == Some(&TLS_HANDSHAKE) {
        return Some(Begin::Tls);
    }
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let is_partial = matches!(Request::new(&mut headers).parse(seen), Ok(Status::Partial));
    (!is_partial || seen.len() >= LONGEST_LOOK).then_some(Begin::Http)
}

/// Ends when the worker stops: at once if the peer said nothing yet, else when it had time to end its head.
async fn farewell(stream: &TcpStream, stop: &CancellationToken) {
    stop.cancelled().await;
    let said = recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    if said.is_ok_and(|(length, _)| length > 0) {
        sleep(LAST_WORDS).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[test]
    fn a_head_is_waited_for_until_it_is_whole_or_can_be_none() {
        let head = b"POST /hooks/0 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(judge(&head[..length]), None, "{length} bytes");
        }
        assert_eq!(judge(head), Some(Begin::Http));
        let long = [&head[..head.len() - 2], b"x: ", &[b'x'; LONGEST_LOOK]].concat();
        let many: String = (0..=MOST_HEADERS).map(|number| format!("x-{number}: 1\r\n")).collect();
        for (name, seen, begins) in [
            ("with its body", &[&head[..], b"{}"].concat()[..], Begin::Http),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n", Begin::Http),
            ("no HTTP", b"\0", Begin::Http),
            ("no HTTP either", b"nonsense\r\n", Begin::Http),
            ("a long head", &long[..LONGEST_LOOK], Begin::Http),
            ("many headers", [b"GET / HTTP/1.1\r\n", many.as_bytes()].concat().as_slice(), Begin::Http),
            ("TLS", &[TLS_HANDSHAKE], Begin::Tls),
        ] {
            assert_eq!(judge(seen), Some(begins), "{name}");
        }
        assert_eq!(judge(&long[..LONGEST_LOOK - 1]), None);
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, peer)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_head_in_pieces_is_left_where_it_is_until_it_is_whole() {
        let (stream, mut peer) = pair().await;
        let waiting = tokio::spawn(async move {
            let begins = begin(&stream, Instant::now() + LONG, &CancellationToken::new()).await.unwrap();
            let mut held = [0; 64];
            (begins, stream.peek(&mut held).await.unwrap())
        });
        for piece in ["GET / HT", "TP/1.1\r\nhost: a\r", "\n\r\n"] {
            assert!(!waiting.is_finished());
            peer.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(waiting.await.unwrap(), (Some(Begin::Http), 27));
    }

    #[tokio::test]
    async fn whoever_leaves_or_says_nothing_is_not_waited_for() {
        let never = CancellationToken::new();
        for said in ["", "GET / HT"] {
            let (stream, mut peer) = pair().await;
            peer.write_all(said.as_bytes()).await.unwrap();
            peer.shutdown().await.unwrap();
            assert_eq!(begin(&stream, Instant::now() + LONG, &never).await.unwrap(), None, "{said:?}");
        }
        let (stream, _peer) = pair().await;
        assert_eq!(begin(&stream, Instant::now(), &never).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stop_ends_who_said_nothing_and_lets_others_end_their_head() {
        let stop = CancellationToken::new();
        let ((silent, _peer), (speaking, mut peer)) = (pair().await, pair().await);
        peer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        speaking.readable().await.unwrap();
        stop.cancel();
        assert_eq!(begin(&silent, Instant::now() + LONG, &stop).await.unwrap(), None);
        let ending = async { peer.write_all(b"\r\n").await.unwrap() };
        let (begins, ()) = tokio::join!(begin(&speaking, Instant::now() + LONG, &stop), ending);
        assert_eq!(begins.unwrap(), Some(Begin::Http));
    }
}
