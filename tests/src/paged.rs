//! An API in the test's own process that gives rows page by page, in five ways, and remembers how it was asked.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Error;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path, which says how pages are given: `/link`, `/next`, `/token`, `/page`, `/offset`; anything else gives all.
    pub path: String,
    /// Its query.
    pub query: BTreeMap<String, String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// The other end of its connection: another one is another worker, or a new connection of the same.
    pub peer: SocketAddr,
    /// When it came.
    pub time: Instant,
}

/// An answer that is not a page.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// An answer without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }
}

type Instead = dyn Fn(&Asked) -> Option<Answer> + Send + Sync;

#[derive(Default)]
struct Inner {
    rows: Vec<Value>,
    page: usize,
    delay: Duration,
    asked: Vec<Asked>,
    instead: Option<Arc<Instead>>,
    under_way: usize,
    most_under_way: usize,
}

/// A running API. It ends when it is dropped.
pub struct Paged {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

impl Drop for Paged {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A row with an id and the time of its last change, so many seconds after the beginning of 2026.
#[must_use]
pub fn row(id: &str, second: u32) -> Value {
    json!({ "id": id, "updated": at(second) })
}

/// That time as text.
#[must_use]
pub fn at(second: u32) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

impl Paged {
    /// An API with these rows and so many on a page.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(rows: Vec<Value>, page: usize) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::Port)?;
        let address = listener.local_addr().map_err(Error::Port)?;
        let inner = Arc::new(Mutex::new(Inner { rows, page, ..Inner::default() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            // It ends with the test; a failure shows there.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, inner, task })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Adds rows at the end.
    pub fn add(&self, rows: impl IntoIterator<Item = Value>) {
        self.lock().rows.extend(rows);
    }

    /// Answers this instead of a page from now on, where it is something.
    pub fn instead(&self, instead: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) {
        self.lock().instead = Some(Arc::new(instead));
    }

    /// Answers pages again.
    pub fn recover(&self) {
        self.lock().instead = None;
    }

    /// Holds every answer back for this long.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Every request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The most requests that were under way at a time.
    #[must_use]
    pub fn most_under_way(&self) -> usize {
        self.lock().most_under_way
    }
}

/// Counts a request for as long as it is under way, also when its connection is cut.
struct UnderWay(Arc<Mutex<Inner>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let asked = Asked { path: uri.path().to_owned(), query, headers, body, peer, time: Instant::now() };
    let (response, delay, _under_way) = {
        let mut locked = inner.lock().unwrap_or_else(PoisonError::into_inner);
        locked.under_way += 1;
        locked.most_under_way = locked.most_under_way.max(locked.under_way);
        locked.asked.push(asked.clone());
        let instead = locked.instead.clone().and_then(|instead| instead(&asked));
        let answer = instead.unwrap_or_else(|| page(&locked, &asked));
        (answer, locked.delay, UnderWay(Arc::clone(&inner)))
    };
    tokio::time::sleep(delay).await;
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    let mut made = (status, response.body).into_response();
    for (name, value) in response.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            made.headers_mut().insert(name, value);
        }
    }
    made
}

fn page(inner: &Inner, asked: &Asked) -> Answer {
    let text = |name: &str| asked.query.get(name).map(String::as_str);
    let number = |name: &str| text(name).and_then(|text| text.parse::<usize>().ok());
    let within = |row: &&Value| {
        let updated = row["updated"].as_str().unwrap_or_default();
        text("since").is_none_or(|since| updated >= since) && text("until").is_none_or(|until| updated <= until)
    };
    let rows: Vec<&Value> = inner.rows.iter().filter(within).collect();
    let size = if inner.page == 0 { rows.len() } else { inner.page };
    let first = match asked.path.as_str() {
        "/page" => number("page").unwrap_or(1).saturating_sub(1) * size,
        "/offset" => number("offset").unwrap_or(0),
        // Behind the row with this id.
        "/last" => {
            let last = text("starting_after");
            last.and_then(|last| rows.iter().position(|row| row["id"] == last)).map_or(0, |place| place + 1)
        }
        _ => number("at").unwrap_or(0),
    };
    let shown: Vec<&&Value> = rows.iter().skip(first).take(size).collect();
    let next = (first + size < rows.len()).then(|| first + size);
    let address = |next: usize| {
        let since = text("since").map(|since| format!("&since={since}")).unwrap_or_default();
        format!("{}?at={next}{since}", asked.path)
    };
    let answer = Answer::status(200).header("content-type", "application/json");
    match (asked.path.as_str(), next) {
        ("/link", Some(next)) => answer
            .header("link", format!("<{}>; rel=\"next\", </link>; rel=\"first\"", address(next)))
            .body(json!(shown).to_string()),
        ("/link", None) => answer.body(json!(shown).to_string()),
        ("/next", next) => answer.body(json!({ "data": shown, "paging": { "next": next.map(address) } }).to_string()),
        ("/last", next) => answer.body(json!({ "data": shown, "has_more": next.is_some() }).to_string()),
        ("/token", next) => answer.body(json!({ "data": shown, "next_token": next }).to_string()),
        _ => answer.body(json!({ "data": shown }).to_string()),
    }
}
