//! A server of files in the test's own process: it sends what it is told, as slowly and as brokenly as it is told, and
//! remembers what was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures::{StreamExt as _, stream};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Error;

/// So many bytes go out at once.
const CHUNK: usize = 16 << 10;

/// What is served, and how.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// The file.
    pub content: Bytes,
    /// So often the content is sent one after the other; 0 is once.
    pub repeats: usize,
    /// Its entity tag, with its quotes; none to say nothing of its version.
    pub etag: Option<String>,
    /// Whether a range is served where one is asked for.
    pub ranges: bool,
    /// The pause after each chunk of 16 KiB.
    pub pause: Duration,
    /// The connection breaks after so many bytes of an answer.
    pub breaks_after: Option<usize>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The header `Range`.
    pub range: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Clone, Default)]
struct Shared {
    served: Arc<Mutex<Served>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A running server. It ends when it is dropped.
pub struct FileServer {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FileServer {
    /// Starts a server.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(served: Served) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::Port)?;
        let address = listener.local_addr().map_err(Error::Port)?;
        let shared = Shared { served: Arc::new(Mutex::new(served)), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move {
            // It ends with the test; a failure shows there.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// The address of the file.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/file?key=s3cret", self.address)
    }

    /// Changes what is served from now on.
    pub fn serve(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.shared.served.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let served = shared.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = |name| served.etag.is_some() && text(name) == served.etag.as_deref();
    let length = served.content.len() * served.repeats.max(1);
    let from = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let from: Option<usize> = from.filter(|_| served.ranges && is_same(header::IF_RANGE));
    let status = match from {
        _ if is_same(header::IF_NONE_MATCH) => StatusCode::NOT_MODIFIED,
        Some(from) if from >= length => StatusCode::RANGE_NOT_SATISFIABLE,
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
        range: text(header::RANGE).map(str::to_owned),
        status: status.as_u16(),
        authorization: text(header::AUTHORIZATION).map(str::to_owned),
    });
    let mut response = Response::builder().status(status);
    if let Some(etag) = &served.etag {
        response = response.header(header::ETAG, etag);
    }
    let from = from.unwrap_or(0);
    if status == StatusCode::PARTIAL_CONTENT {
        response = response.header(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", length - 1));
    }
    let body = match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
            response = response.header(header::CONTENT_LENGTH, length - from);
            chunks(served, from, length)
        }
        _ => Body::empty(),
    };
    response.body(body).expect("the headers are well formed")
}

fn chunks(served: Served, from: usize, length: usize) -> Body {
    let until = served.breaks_after.map_or(length, |most| length.min(from + most));
    let breaks = until < length;
    let parts = stream::unfold(from, move |at| {
        let served = served.clone();
        async move {
            if at >= until {
                return None;
            }
            tokio::time::sleep(served.pause).await;
            let begin = at % served.content.len();
            let end = served.content.len().min(begin + CHUNK).min(begin + (until - at));
            Some((Ok(served.content.slice(begin..end)), at + end - begin))
        }
    });
    let last = stream::iter(breaks.then(|| Err(std::io::Error::other("the connection breaks here"))));
    Body::from_stream(parts.chain(last))
}
