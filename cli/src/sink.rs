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
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use serde::Serialize;
use serde_json::{Value, json};

mod fixture;
mod script;
mod vendor;

pub use fixture::{Fixture, ScriptError};
pub use script::{Behaviour, Expects, Jobs, Refuse, Script, Throttle};
pub use vendor::Vendor;
use vendor::{Asked, Fake, JobWishes, Reply, Wishes};

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
    /// Repeats that the vendor knew and dropped.
    pub repeated: u64,
    /// Planted for a test: records that were answered with a 2xx and forgotten.
    #[serde(skip)]
    forgotten: u64,
}

/// A running sink.
#[derive(Clone)]
pub struct Sink {
    script: Arc<Script>,
    memories: Arc<Mutex<HashMap<String, Memory>>>,
    /// The vendors that are played, by the name of the Destination.
    fakes: Arc<Mutex<HashMap<String, Box<dyn Fake>>>>,
    /// Planted for a test: how many records of each destination are answered with a 2xx and then forgotten.
    lose: u64,
    show: bool,
}

impl Sink {
    /// A sink that behaves as its script says. `lose` plants a loss; `show` prints each request.
    pub fn new(script: Script, lose: u64, show: bool) -> Self {
        let played = script.destinations.iter().filter_map(|(name, it)| Some((name.clone(), it.vendor?.fake())));
        let fakes = Arc::new(Mutex::new(played.collect()));
        Self { script: Arc::new(script), memories: Arc::default(), fakes, lose, show }
    }

    /// Plays a vendor for a destination, from where it was left.
    pub fn play(&self, destination: &str, vendor: Vendor) {
        let mut fakes = self.fakes.lock().unwrap_or_else(PoisonError::into_inner);
        fakes.entry(destination.to_owned()).or_insert_with(|| vendor.fake());
    }

    /// What the vendor answers that is played for a destination, if one is.
    fn as_vendor(&self, destination: &str, asked: &Asked<'_>) -> Option<Response> {
        let mut fakes = self.fakes.lock().unwrap_or_else(PoisonError::into_inner);
        let fake = fakes.get_mut(destination)?;
        let behaviour = self.script.destinations.get(destination).cloned().unwrap_or_default();
        let mut memories = self.lock();
        let memory = memories.entry(destination.to_owned()).or_default();
        memory.requests += 1;
        let throttle = behaviour.throttle.filter(|throttle| memory.requests <= throttle.requests);
        memory.throttled += u64::from(throttle.is_some());
        let refuse = |item: &Value| behaviour.refuse.as_ref().is_some_and(|refuse| refuse.means(item));
        let throttle = throttle.map(|throttle| throttle.retry_after.std());
        let Jobs { looks, fail } = behaviour.jobs;
        let jobs = JobWishes { looks: (looks > 0).then_some(looks), fail };
        let Reply { status, headers, body, csv, taken, refused, repeated } =
            fake.answer(asked, &Wishes { throttle, refuse: &refuse, jobs });
        let id = |item: &Value| id_at(item, &behaviour.id).unwrap_or_default();
        for item in &taken {
            if memory.forgotten < self.lose {
                memory.forgotten += 1;
            } else {
                *memory.accepted.entry(id(item)).or_default() += 1;
            }
        }
        for item in &refused {
            *memory.refused.entry(id(item)).or_default() += 1;
        }
        memory.repeated += repeated;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match csv {
            Some(csv) => (status, [(header::CONTENT_TYPE, "text/csv")], csv).into_response(),
            None if body.is_null() => status.into_response(),
            None => (status, Json(body)).into_response(),
        };
        for (name, value) in headers {
            response
                .headers_mut()
                .extend(HeaderValue::try_from(value).ok().map(|value| (HeaderName::from_static(name), value)));
        }
        Some(response)
    }

    /// The routes: everything below `/<destination>/` is that destination.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "alive" }))
            .route("/memory", get(|State(sink): State<Self>| async move { Json(json!(*sink.lock())) }))
            .route("/{destination}", any(answer_at_root))
            .route("/{destination}/{*rest}", any(answer))
            // The largest of all is the file of a Salesforce job.
            .layer(DefaultBodyLimit::max(150_000_000))
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
        if let Some(refuse) = behaviour.refuse.as_ref().filter(|refuse| refuse.means(&record)) {
            *memory.refused.entry(id).or_default() += 1;
            let status = StatusCode::from_u16(refuse.status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, Json(json!({"message": "the record is not valid"}))).into_response();
        }
        if memory.forgotten < self.lose {
            memory.forgotten += 1;
        } else {
            *memory.accepted.entry(id).or_default() += 1;
        }
        (StatusCode::OK, Json(json!({"message": "success"}))).into_response()
    }
}

async fn answer_at_root(sink: State<Sink>, Path(destination): Path<String>, parts: Parts, body: Bytes) -> Response {
    respond(&sink, &destination, &parts, &body)
}

async fn answer(
    sink: State<Sink>,
    Path((destination, _)): Path<(String, String)>,
    parts: Parts,
    body: Bytes,
) -> Response {
    respond(&sink, &destination, &parts, &body)
}

fn respond(sink: &Sink, destination: &str, parts: &Parts, body: &[u8]) -> Response {
    let Parts { uri, headers, method, .. } = parts;
    let query = uri.query().unwrap_or_default();
    let path = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
    let below = format!("/{path}");
    let asked = Asked { path: &below, method: method.as_str(), query, headers, body };
    let response = match sink.script.sources.get(destination) {
        Some(fixture) => Json(fixture.page(query)).into_response(),
        None => sink.as_vendor(destination, &asked).unwrap_or_else(|| sink.take(destination, body)),
    };
    if sink.show {
        let proof =
            if headers.contains_key(header::AUTHORIZATION) { "with credentials" } else { "without credentials" };
        // Bodies are shown here and nowhere else: the sink is the user's own screen. A form holds a client's secret.
        let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"urlencoded"));
        let body = if is_form { "(a form)".into() } else { String::from_utf8_lossy(body) };
        eprintln!("{destination} /{path} {} ({proof}) {body}", response.status());
    }
    response
}
