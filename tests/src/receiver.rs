//! A receiver of deliveries in the test's own process: it answers as it is told and remembers what arrived.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Error;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The first segment of its path.
    pub destination: String,
    /// The member `id` of its record, or of the first of them.
    pub id: String,
    /// The members `id` of all its records: several where the body is an array or lines of JSON.
    pub ids: Vec<String>,
    /// The whole body.
    pub record: Value,
    /// The body's bytes, as they came.
    pub body: Bytes,
    /// Its query, as it came.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// When it arrived.
    pub time: Instant,
    /// What it was answered.
    pub status: u16,
}

/// What a request is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// How long the answer is held back.
    pub delay: Duration,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// One request as an answer is made for it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The first segment of its path.
    pub destination: &'a str,
    /// The ids in it.
    pub ids: &'a [String],
    /// How often the first id has arrived there, this time included.
    pub times: usize,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// What to answer.
pub type Answer = dyn Fn(Asked<'_>) -> Reply + Send + Sync;

/// What has arrived, with a count by destination and id: to count them anew each time takes too long with many.
#[derive(Default)]
struct Arrivals {
    all: Vec<Arrival>,
    times: HashMap<(String, String), usize>,
}

impl Arrivals {
    fn seen(&mut self, destination: &str, id: &str) -> usize {
        let times = self.times.entry((destination.to_owned(), id.to_owned())).or_default();
        *times += 1;
        *times
    }
}

#[derive(Clone)]
struct Shared {
    arrivals: Arc<Mutex<Arrivals>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

/// A running receiver. It ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts a receiver that answers 200.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self, Error> {
        Self::on(TcpListener::bind("127.0.0.1:0").await.map_err(Error::Port)?)
    }

    /// Starts a receiver on a listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn on(listener: TcpListener) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(Error::Port)?;
        let accept: Arc<Answer> = Arc::new(|_: Asked<'_>| 200.into());
        let shared = Shared { arrivals: Arc::default(), answer: Arc::new(Mutex::new(accept)) };
        let router = Router::new().fallback(take).with_state(shared.clone());
        let task = tokio::spawn(async move {
            // It ends with the test; a failure shows there.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// The address of one destination.
    #[must_use]
    pub fn url(&self, destination: &str) -> String {
        format!("http://{}/{destination}", self.address)
    }

    /// Says how to answer from now on: destination, id, and how often that id has arrived there, this time included.
    pub fn answer(&self, answer: impl Fn(&str, &str, usize) -> u16 + Send + Sync + 'static) {
        self.reply(move |asked| answer(asked.destination, &asked.ids[0], asked.times).into());
    }

    /// Says how to answer from now on, whatever is in a request.
    pub fn reply(&self, answer: impl Fn(Asked<'_>) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that arrived.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.lock().all.clone()
    }

    /// How often each id was accepted (2xx) at a destination.
    #[must_use]
    pub fn accepted(&self, destination: &str) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        for arrival in &self.lock().all {
            if arrival.destination == destination && (200..300).contains(&arrival.status) {
                for id in &arrival.ids {
                    *accepted.entry(id.clone()).or_default() += 1;
                }
            }
        }
        accepted
    }

    /// How many different first ids have arrived at a destination, whatever they were answered.
    #[must_use]
    pub fn ids_seen(&self, destination: &str) -> usize {
        self.lock().times.keys().filter(|(named, _)| named == destination).count()
    }

    /// The different ids that were accepted at a destination.
    #[must_use]
    pub fn ids(&self, destination: &str) -> BTreeSet<String> {
        self.accepted(destination).into_keys().collect()
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let destination = uri.path().split('/').nth(1).unwrap_or_default().to_owned();
    let record = parse(&body);
    let of = |record: &Value| record["id"].as_str().unwrap_or_default().to_owned();
    let ids: Vec<String> = match &record {
        Value::Array(records) => records.iter().map(of).collect(),
        record => vec![of(record)],
    };
    let id = ids.first().cloned().unwrap_or_default();
    let reply = {
        let answer = Arc::clone(&shared.answer.lock().unwrap_or_else(PoisonError::into_inner));
        let mut arrivals = shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let times = arrivals.seen(&destination, &id);
        let reply = answer(Asked { destination: &destination, ids: &ids, times, headers: &headers });
        arrivals.all.push(Arrival {
            destination,
            id,
            ids,
            record,
            body,
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
            time: Instant::now(),
            status: reply.status,
        });
        reply
    };
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = (status, reply.body).into_response();
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A body as JSON; lines of JSON become an array.
fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Value::Array(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default()).collect())
    })
}
