//! The webhook source: a request that was let in is answered as a handshake, or its events get their ids and are stored with
//! an acknowledgement, and only then it gets a 2xx.

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use ropeway_crds::{condition::bounded, report::Problem};
use serde::Deserialize;
use serde_json::json;

use super::{
    address::{Address, Letter},
    items::{Form, Item, items, unreadable},
    refusal::Refusal,
    store::{Incoming, Store},
    verify::Handshake,
};
use crate::io::publish::Stored;

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// One Integration's address.
#[derive(Debug)]
pub struct Webhook {
    /// The address.
    pub address: Address,
    /// How requests are taken apart.
    pub form: Form,
    /// How the vendor tries the address out.
    pub handshake: Option<Handshake>,
    /// Origins that may register the address by the CloudEvents handshake.
    pub allowed_origins: Vec<String>,
    /// Where events are stored.
    pub store: Store,
}

impl Webhook {
    /// Takes a request in.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn receive(&self, request: Request) -> Result<Response, Refusal> {
        if request.method() == Method::OPTIONS && !self.allowed_origins.is_empty() {
            return self.register(request.headers());
        }
        let letter = self.address.open(request).await?;
        if let Some(answer) = self.handshake.and_then(|handshake| shaken(handshake, &letter)) {
            return Ok(answer);
        }
        let Letter { headers, body, verified } = letter;
        let items = items(&headers, &body, verified.id, &self.form)?;
        let events = items.into_iter().map(|item| self.event(item)).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let stored = self.keep(events).await?;
        Ok(told(&self.form, &ids, &stored))
    }

    fn event(&self, item: Item<'_>) -> Result<Incoming, Refusal> {
        let Item { body, data, known } = item;
        let content_type = known.content_type;
        let refusal = if self.form.split.is_some() { Refusal::NoItems } else { Refusal::NotAnEvent };
        self.store.incoming(body, data, known).ok_or_else(|| unreadable(refusal, content_type))
    }

    async fn keep(&self, events: Vec<Incoming>) -> Result<Vec<Stored>, Refusal> {
        let stored = self.store.together(events).await.map_err(|error| {
            tracing::warn!(integration = %self.address.integration, %error, cause = %error.source, "events could not be stored; their sender is asked to come again");
            let message = format!("{error}: {}", error.source);
            self.address.report(Some(Problem { reason: "StoreFailed".into(), message: bounded(&message) }));
            Refusal::NotNow
        })?;
        self.address.report(None);
        Ok(stored)
    }

    /// The handshake of CloudEvents' HTTP webhooks (abuse protection): the origin is told whether it may send.
    fn register(&self, headers: &HeaderMap) -> Result<Response, Refusal> {
        let origin = headers.get(REQUEST_ORIGIN).and_then(|origin| origin.to_str().ok()).ok_or(Refusal::Origin)?;
        let allows = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        if !self.allowed_origins.iter().any(allows) {
            return Err(Refusal::Origin);
        }
        let mut response = StatusCode::OK.into_response();
        let told = HeaderValue::from_str(origin).map_err(|_| Refusal::Origin)?;
        response.headers_mut().insert(ALLOWED_ORIGIN, told);
        // How much is too much is told by 503 and Retry-After.
        response.headers_mut().insert(ALLOWED_RATE, HeaderValue::from_static("*"));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        Ok(response)
    }
}

/// The answer to a handshake; none where the request is something else.
fn shaken(handshake: Handshake, letter: &Letter) -> Option<Response> {
    #[derive(Deserialize)]
    struct Greeting {
        r#type: Option<String>,
        challenge: Option<String>,
        action: Option<String>,
    }
    let Greeting { r#type, challenge, action } = serde_json::from_slice(&letter.body).ok()?;
    match handshake {
        Handshake::SlackChallenge if r#type.as_deref() == Some("url_verification") => {
            Some(Json(json!({ "challenge": challenge? })).into_response())
        }
        Handshake::GreenhousePing if action.as_deref() == Some("ping") => {
            Some(Json(json!({ "pong": true })).into_response())
        }
        Handshake::SlackChallenge | Handshake::GreenhousePing => None,
    }
}

/// What the sender of stored events is told.
fn told(form: &Form, ids: &[String], stored: &[Stored]) -> Response {
    let duplicate = |index: usize| stored.get(index).is_some_and(|stored| stored.duplicate);
    match (ids, &form.split) {
        ([id], None) => Json(json!({ "id": id, "duplicate": duplicate(0) })).into_response(),
        _ => {
            let event = |(index, id): (usize, &String)| json!({ "id": id, "duplicate": duplicate(index) });
            Json(json!({ "events": ids.iter().enumerate().map(event).collect::<Vec<_>>() })).into_response()
        }
    }
}
