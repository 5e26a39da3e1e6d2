//! Reading a body that may be endless: the same client and the same address checks, but the answer comes in chunks, and
//! the deadline is for silence and not for the whole.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, Stream};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::time::Sleep;

use super::{HttpDoor, Request, SendFailure, made, not_read, not_sent};

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Opened {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub chunks: Chunks,
}

/// A body in chunks. Dropping it ends the request.
#[derive(Debug)]
pub struct Chunks {
    body: Incoming,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
}

impl HttpDoor {
    /// Sends a request and hands on the answer as soon as its headers are there. Neither they nor the next chunk may take
    /// longer than `patience`.
    ///
    /// # Errors
    /// See [`SendFailure`]. No text holds a credential or a URL query.
    pub async fn open(&self, request: Request, patience: Duration) -> Result<Opened, SendFailure> {
        self.check_literal(&request)?;
        let client = self.client()?;
        let answer = tokio::time::timeout(patience, client.request(made(request))).await;
        let late = |_| SendFailure::Transport(format!("no answer within {}s", patience.as_secs()));
        let (parts, body) = answer.map_err(late)?.map_err(|error| not_sent(&error))?.into_parts();
        let chunks = Chunks { body, patience, silence: Box::pin(tokio::time::sleep(patience)) };
        Ok(Opened { status: parts.status, headers: parts.headers, chunks })
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, SendFailure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(not_read(&error)))),
                Poll::Ready(Some(Ok(frame))) => {
                    // Time in which nobody asked for more is not silence of the other side.
                    let again = tokio::time::Instant::now() + self.patience;
                    self.silence.as_mut().reset(again);
                    if let Ok(chunk) = frame.into_data() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Poll::Pending => {
                    let late = self.silence.poll_unpin(context).is_ready();
                    let patience = self.patience.as_secs();
                    let failure = || SendFailure::Transport(format!("nothing more came within {patience}s"));
                    return if late { Poll::Ready(Some(Err(failure()))) } else { Poll::Pending };
                }
            }
        }
    }
}
