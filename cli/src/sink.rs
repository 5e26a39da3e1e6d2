//! The sink: answers for every destination locally and remembers what it took. Its behaviour comes from a script, and
//! what it remembers is the independent side of the check at the end of a demo.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::dev::evidence::id_at;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use ropeway_crds::duration::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod fixture;

pub use fixture::{Fixture, ScriptError};

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
    /// APIs that are polled, by the name of the Integration, which is then the first segment of the path.
    #[serde(default)]
    pub sources: BTreeMap<String, Fixture>,
}

impl Script {
    /// Reads a script, and the rows that it names, beside it.
    ///
    /// # Errors
    /// With the file's name, and line and column of what can't be understood.
    pub fn read(path: &std::path::Path) -> Result<Self, ScriptError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::File { what: format!("read the sink's script {shown}"), source })?;
        let mut script: Self = serde_saphyr::from_str(&text)
            .map_err(|error| ScriptError::Script { path: shown, message: error.to_string() })?;
        let folder = path.parent().unwrap_or(path);
        script.sources.values_mut().try_for_each(|fixture| fixture.read(folder))?;
        Ok(script)
    }
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
        let id = id_at(&record, &behaviour.id).unwrap_or_default();
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
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&sink, &destination, &uri, &headers, &body)
}

async fn answer(
    sink: State<Sink>,
    Path((destination, _)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&sink, &destination, &uri, &headers, &body)
}

fn respond(sink: &Sink, destination: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let response = match sink.script.sources.get(destination) {
        Some(fixture) => Json(fixture.page(uri.query().unwrap_or_default())).into_response(),
        None => sink.take(destination, body),
    };
    if sink.show {
        let proof =
            if headers.contains_key(header::AUTHORIZATION) { "with credentials" } else { "without credentials" };
        let path = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
        // Bodies are shown here and nowhere else: the sink is the user's own screen.
        eprintln!("{destination} /{path} {} ({proof}) {}", response.status(), String::from_utf8_lossy(body));
    }
    response
}
