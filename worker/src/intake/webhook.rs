//! The webhook source: size and time limits, then the signature over the raw bytes, then the event's id, then the store
//! with its acknowledgement, and only then a 2xx.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{headers as h, integration::State, report::Problem, source::Verification};
use serde_json::json;
use tokio::sync::watch;

use super::{
    store::{Incoming, Known, Store},
    verify::{SignedRequest, VerifyError, verify},
};
use crate::{cloud_event, secret::Secrets};

/// How long a sender may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// When a sender that met a full or unreachable stream is asked to come again, in seconds.
const COME_AGAIN: &str = "5";

/// One Integration's address.
#[derive(Debug)]
pub struct Webhook {
    /// Where its events are stored.
    pub store: Store,
    /// How senders prove who they are.
    pub verification: Verification,
    /// The largest body that is read, in bytes.
    pub max_body: usize,
    /// The wished state.
    pub state: watch::Receiver<Option<State>>,
    /// What keeps it from receiving.
    pub problem: watch::Sender<Option<Problem>>,
    /// The mounted secrets.
    pub secrets: Secrets,
}

/// All addresses of this worker, by path.
pub type Webhooks = Arc<HashMap<String, Webhook>>;

/// Why a request gets no 2xx. The sender learns the status and one short reason, and not which check failed.
#[derive(Debug)]
enum Refusal {
    Unknown,
    Method,
    TooSlow,
    TooLarge,
    Unverified,
    NotAnEvent,
    NotNow,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, reason) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "there is no webhook at this path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "events are sent by POST"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this webhook takes"),
            Self::Unverified => (StatusCode::UNAUTHORIZED, "the request is not verified"),
            Self::NotAnEvent => (StatusCode::BAD_REQUEST, "the body is not a JSON object"),
            Self::NotNow => (StatusCode::SERVICE_UNAVAILABLE, "the event can't be stored now; send it again later"),
        };
        let mut response = (status, Json(json!({ "error": reason }))).into_response();
        match self {
            Self::NotNow => response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(COME_AGAIN)),
            Self::Method => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST")),
            _ => None,
        };
        response
    }
}

/// The HTTP routes for these addresses.
pub fn router(webhooks: Webhooks) -> Router {
    Router::new().fallback(receive).with_state(webhooks)
}

async fn receive(Shared(webhooks): Shared<Webhooks>, request: Request) -> Response {
    let Some(webhook) = webhooks.get(request.uri().path()) else { return Refusal::Unknown.into_response() };
    match webhook.accept(request).await {
        Ok((id, duplicate)) => (StatusCode::OK, Json(json!({ "id": id, "duplicate": duplicate }))).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl Webhook {
    /// Takes a request in. The answer is the event's id and whether it was known already.
    async fn accept(&self, request: Request) -> Result<(String, bool), Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        if !matches!(*self.state.borrow(), Some(State::Running | State::Paused)) {
            return Err(Refusal::NotNow);
        }
        let (parts, body) = request.into_parts();
        let body = self.read(&parts.headers, body).await?;
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let signed = SignedRequest { method: &parts.method, path, headers: &parts.headers, body: &body };
        let verified = verify(&self.verification, &self.secrets, signed, Timestamp::now()).map_err(|error| {
            tracing::info!(integration = %self.store.integration.name, %error, "a webhook request was refused");
            match error {
                VerifyError::Refused(_) => Refusal::Unverified,
                VerifyError::Unable(missing) => {
                    self.report(Some(Problem { reason: "SecretMissing".into(), message: missing.to_string() }));
                    Refusal::NotNow
                }
            }
        })?;
        let event = self.event(&parts.headers, body, verified.id).ok_or(Refusal::NotAnEvent)?;
        let id = event.id.clone();
        let stored = self.store.one(event).await.map_err(|error| {
            tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "an event could not be stored; its sender is asked to come again");
            let message = format!("{error}: {}", error.source);
            self.report(Some(Problem { reason: "StoreFailed".into(), message: ropeway_crds::condition::bounded(&message) }));
            Refusal::NotNow
        })?;
        self.report(None);
        Ok((id, stored.duplicate))
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.max_body) {
            return Err(Refusal::TooLarge);
        }
        match tokio::time::timeout(BODY_DEADLINE, axum::body::to_bytes(body, self.max_body)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::TooSlow),
        }
    }

    fn report(&self, problem: Option<Problem>) {
        self.problem.send_if_modified(|known| {
            let changed = *known != problem;
            *known = problem;
            changed
        });
    }

    /// The event in a body; `None` where there is none.
    fn event(&self, given: &HeaderMap, body: Bytes, sender_id: Option<String>) -> Option<Incoming> {
        let text = |name| given.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE.as_str()).unwrap_or("application/json");
        let mut known = Known { content_type, id: sender_id, ..Known::default() };
        known.trace_parent = text(h::TRACE_PARENT);
        let data = if cloud_event::is_structured(content_type) {
            let (attributes, data) = cloud_event::from_structured(&body).ok()?;
            known.id = attributes.get("id").cloned().or(known.id);
            known.source = attributes.get("source").cloned();
            Some(data)
        } else {
            for (name, value) in given {
                let value = value.to_str().unwrap_or_default();
                if name.as_str().starts_with(h::CLOUD_EVENT_PREFIX) && value.len() <= 1024 && !value.is_empty() {
                    known.attributes.push((name.as_str(), value));
                }
            }
            known.id = text("ce-id").map(cloud_event::decode_header).or(known.id);
            known.source = text("ce-source").map(cloud_event::decode_header);
            None
        };
        self.store.incoming(body, data, known)
    }
}
