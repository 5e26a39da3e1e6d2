//! A receiver of deliveries in the test's own process: it answers as it is told and remembers what arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, http::Uri};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Error;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The first segment of its path.
    pub destination: String,
    /// The member `id` of its record.
    pub id: String,
    /// The whole record.
    pub record: Value,
    /// When it arrived.
    pub time: Instant,
    /// What it was answered.
    pub status: u16,
}

/// What to answer: destination, id, and how often that id has arrived there, this time included.
pub type Answer = dyn Fn(&str, &str, usize) -> u16 + Send + Sync;

#[derive(Clone)]
struct Shared {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
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
        let accept: Arc<Answer> = Arc::new(|_: &str, _: &str, _| 200);
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

    /// Says how to answer from now on.
    pub fn answer(&self, answer: impl Fn(&str, &str, usize) -> u16 + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that arrived.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.lock().clone()
    }

    /// How often each id was accepted (2xx) at a destination.
    #[must_use]
    pub fn accepted(&self, destination: &str) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        for arrival in self.lock().iter() {
            if arrival.destination == destination && (200..300).contains(&arrival.status) {
                *accepted.entry(arrival.id.clone()).or_default() += 1;
            }
        }
        accepted
    }

    /// The different ids that were accepted at a destination.
    #[must_use]
    pub fn ids(&self, destination: &str) -> BTreeSet<String> {
        self.accepted(destination).into_keys().collect()
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, body: Bytes) -> StatusCode {
    let destination = uri.path().split('/').nth(1).unwrap_or_default().to_owned();
    let record: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = record["id"].as_str().unwrap_or_default().to_owned();
    let answer = Arc::clone(&shared.answer.lock().unwrap_or_else(PoisonError::into_inner));
    let mut arrivals = shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let times = 1 + arrivals.iter().filter(|it| it.destination == destination && it.id == id).count();
    let status = answer(&destination, &id, times);
    arrivals.push(Arrival { destination, id, record, time: Instant::now(), status });
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}
