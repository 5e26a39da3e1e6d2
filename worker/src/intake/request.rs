//! The request source: the caller gets the destination's answer. Nothing is stored, so nothing is tried again: a caller
//! that gets no 2xx decides for itself. Whatever goes wrong is a problem document (RFC 9457).

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ropeway_crds::integration::State;
use ropeway_mapping::{Context, Data, EventAttributes, Input, IntegrationName, Limits, Program, run_transform};
use serde_json::json;
use tokio::time::Instant;

use super::{
    address::{Address, Letter},
    items::{Form, items, unreadable},
    refusal::Refusal,
    store::Store,
    verify::IdPlace,
};
use crate::{
    decode,
    lane::{Lane, direct::Answer},
};

/// The longest idempotency key of a caller's that is passed on.
const LONGEST_KEY: usize = 255;

/// One Integration's address for callers that wait.
#[derive(Debug)]
pub struct Direct {
    /// The address.
    pub address: Address,
    /// What makes an event of a body.
    pub store: Store,
    /// The way to the destination.
    pub lane: Arc<Lane>,
    /// How long a caller waits at most.
    pub timeout: Duration,
    /// What becomes of the destination's answer.
    pub reply: Option<Program>,
}

/// Something that went wrong, for the caller.
struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// The destination's own status.
    code: Option<u16>,
    after: Option<Duration>,
}

impl Direct {
    /// Answers a request.
    pub async fn receive(&self, request: Request) -> Response {
        let deadline = Instant::now() + self.timeout;
        // A caller can't be kept waiting for a pause to end.
        if *self.address.state.borrow() != Some(State::Running) {
            return refused(Refusal::NotNow);
        }
        let letter = match self.address.open(request).await {
            Ok(letter) => letter,
            Err(refusal) => return refused(refusal),
        };
        let Letter { headers, body, verified } = letter;
        let form = Form { split: None, id_place: IdPlace::Unknown };
        let item = items(&headers, &body, verified.id, &form).map(|mut items| items.pop());
        let event = item.and_then(|item| {
            let item = item.ok_or(Refusal::NotAnEvent)?;
            let content_type = item.known.content_type;
            let incoming = self.store.incoming(item.body, item.data, item.known);
            let incoming = incoming.ok_or_else(|| unreadable(Refusal::NotAnEvent, content_type))?;
            let (headers, body) = incoming.parts();
            decode::event(Some(headers), body, &incoming.id, &self.store.defaults).map_err(|_| Refusal::NotAnEvent)
        });
        match event {
            Ok(event) => self.told(self.lane.answer(event, idempotency_key(&headers), deadline).await),
            Err(refusal) => refused(refusal),
        }
    }

    fn told(&self, answer: Answer) -> Response {
        let problem = |status, title, detail: String| Problem { status, title, detail, code: None, after: None };
        match answer {
            Answer::Taken(None) => StatusCode::ACCEPTED.into_response(),
            Answer::Taken(Some(response)) => self.reply(response),
            Answer::Filtered => StatusCode::NO_CONTENT.into_response(),
            Answer::Unprocessable { reason, message } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, reason, message).into_response()
            }
            Answer::Unavailable(after, detail) => Problem {
                after: Some(after),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "the destination is not served now", detail)
            }
            .into_response(),
            Answer::Busy(after) => {
                let detail = "as many requests as the destination's limit allows are under way; ask again".to_owned();
                Problem { after: Some(after), ..problem(StatusCode::TOO_MANY_REQUESTS, "too many requests", detail) }
                    .into_response()
            }
            Answer::TimedOut(detail) => {
                problem(StatusCode::GATEWAY_TIMEOUT, "the destination did not answer in time", detail).into_response()
            }
            Answer::Failed(failure) => Problem {
                code: failure.code,
                ..problem(StatusCode::BAD_GATEWAY, "the destination did not take the record", failure.message)
            }
            .into_response(),
        }
    }

    /// The destination's answer: as `reply` makes it, else as it came.
    fn reply(&self, response: ropeway_auth::http::Response) -> Response {
        let ropeway_auth::http::Response { status, headers, body } = response;
        let Some(program) = &self.reply else {
            let mut answer = Response::new(Body::from(body));
            *answer.status_mut() = status;
            if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
                answer.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            }
            return answer;
        };
        let lines = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let data = Data::from_response(status.as_u16(), lines, &body);
        let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
        match run_transform(program, Input { data: &data, context: &context }, &Limits::default()) {
            Ok(data) => ([(header::CONTENT_TYPE, "application/json")], data.to_json_bytes()).into_response(),
            Err(error) => Problem {
                status: StatusCode::BAD_GATEWAY,
                title: "the destination took the record, but its answer could not be mapped",
                detail: format!("spec.source.request.reply: {error}"),
                code: Some(status.as_u16()),
                after: None,
            }
            .into_response(),
        }
    }
}

/// The caller's own key, by which the destination can tell a repeat.
fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    (1..=LONGEST_KEY).contains(&key.len()).then(|| key.to_owned())
}

fn refused(refusal: Refusal) -> Response {
    let (status, reason) = refusal.told();
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { status, title, detail: reason.to_owned(), code: None, after: None };
    let mut response = problem.into_response();
    refusal.headers(&mut response);
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, title, detail, code, after } = self;
        let mut document = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        if let Some(code) = code {
            document["destinationStatus"] = json!(code);
        }
        let headers = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, headers, document.to_string()).into_response();
        if let Some(after) = after {
            let seconds = after.as_secs().max(1).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
