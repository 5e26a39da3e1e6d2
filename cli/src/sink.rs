//! The sink: answers for every destination locally and remembers what it took. Its behaviour comes from a script, and
//! what it remembers is the independent side of the check at the end of a demo.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use ropeway_crds::duration::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the sink answers, by destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// A JSON pointer to the id in an input of the demo.
    #[serde(default)]
    pub id: String,
    /// Behaviours by the name of the Destination, which is the first segment of the path.
    #[serde(default)]
    pub destinations: BTreeMap<String, Behaviour>,
}

/// How the sink answers for one destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// A JSON pointer to the id in a record.
    #[serde(default)]
    pub id: String,
    /// Which inputs are expected to arrive; all of them where it is absent.
    pub expects: Option<Expects>,
    /// Refuses the first requests for being too many.
    pub throttle: Option<Throttle>,
    /// Refuses some records for good.
    pub refuse: Option<Refuse>,
}

/// A rule on an input of the demo.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expects {
    /// A JSON pointer into the input.
    pub pointer: String,
    /// What must stand there.
    pub equals: Value,
}

/// Too many requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Throttle {
    /// How many of the first requests get this answer.
    pub requests: u64,
    /// The status.
    pub status: u16,
    /// What `Retry-After` says.
    pub retry_after: Duration,
}

/// A refusal for good.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    /// A JSON pointer into the record.
    pub pointer: String,
    /// How the text there must end.
    pub ends_with: String,
    /// The status.
    pub status: u16,
}

/// What the sink remembers of one destination.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Requests in all.
    pub requests: u64,
    /// How often each id was accepted.
    pub accepted: BTreeMap<String, u64>,
    /// Ids that were refused for good.
    pub refused: BTreeMap<String, u64>,
    /// Requests that were too many.
    pub throttled: u64,
    /// Planted for a test: records that were answered with a 2xx and forgotten.
    #[serde(skip)]
    forgotten: u64,
}

/// A running sink.
#[derive(Clone, Debug)]
pub struct Sink {
    script: Arc<Script>,
    memories: Arc<Mutex<HashMap<String, Memory>>>,
    /// Planted for a test: how many records of each destination are answered with a 2xx and then forgotten.
    lose: u64,
    show: bool,
}

impl Sink {
    /// A sink that behaves as its script says. `lose` plants a loss; `show` prints each request.
    pub fn new(script: Script, lose: u64, show: bool) -> Self {
        Self { script: Arc::new(script), memories: Arc::default(), lose, show }
    }

    /// The routes: everything below `/<destination>/` is that destination.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "alive" }))
            .route("/memory", get(|State(sink): State<Self>| async move { Json(json!(*sink.lock())) }))
            .route("/{destination}", any(answer_at_root))
            .route("/{destination}/{*rest}", any(answer))
            .with_state(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was remembered of a destination.
    pub fn memory(&self, destination: &str) -> Memory {
        self.lock().get(destination).cloned().unwrap_or_default()
    }

    fn take(&self, destination: &str, body: &[u8]) -> Response {
        let record: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let behaviour = self.script.destinations.get(destination).cloned().unwrap_or_default();
        let id = record.pointer(&behaviour.id).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut memories = self.lock();
        let memory = memories.entry(destination.to_owned()).or_default();
        memory.requests += 1;
        if let Some(throttle) = &behaviour.throttle
            && memory.requests <= throttle.requests
        {
            memory.throttled += 1;
            let seconds = HeaderValue::from(throttle.retry_after.std().as_secs());
            let status = StatusCode::from_u16(throttle.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
            return (status, [(header::RETRY_AFTER, seconds)], Json(json!({"message": "too many requests"})))
                .into_response();
        }
        if let Some(refuse) = &behaviour.refuse {
            let text = record.pointer(&refuse.pointer).and_then(Value::as_str).unwrap_or_default();
            if text.ends_with(&refuse.ends_with) {
                *memory.refused.entry(id).or_default() += 1;
                let status = StatusCode::from_u16(refuse.status).unwrap_or(StatusCode::BAD_REQUEST);
                return (status, Json(json!({"message": "the record is not valid"}))).into_response();
            }
        }
        if memory.forgotten < self.lose {
            memory.forgotten += 1;
        } else {
            *memory.accepted.entry(id).or_default() += 1;
        }
        (StatusCode::OK, Json(json!({"message": "success"}))).into_response()
    }
}

async fn answer_at_root(
    sink: State<Sink>,
    Path(destination): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&sink, &destination, "", &headers, &body)
}

async fn answer(
    sink: State<Sink>,
    Path((destination, rest)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&sink, &destination, &rest, &headers, &body)
}

fn respond(sink: &Sink, destination: &str, rest: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let response = sink.take(destination, body);
    if sink.show {
        let proof =
            if headers.contains_key(header::AUTHORIZATION) { "with credentials" } else { "without credentials" };
        // Bodies are shown here and nowhere else: the sink is the user's own screen.
        eprintln!("{destination} /{rest} {} ({proof}) {}", response.status(), String::from_utf8_lossy(body));
    }
    response
}
