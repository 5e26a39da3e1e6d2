//! Why a request gets no 2xx. The sender learns the status and one short reason, and not which check failed.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// When a sender that met a full or unreachable stream is asked to come again, in seconds.
const COME_AGAIN: &str = "5";

/// Why a request gets no 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is received at this path.
    Unknown,
    /// Another method than POST.
    Method,
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off.
    Broken,
    /// The body, or one of its events, is too large.
    TooLarge,
    /// It does not prove who sent it, or came without the TLS that is asked for.
    Unverified,
    /// The body is something else than JSON, and says so.
    NotJson,
    /// The body is no event.
    NotAnEvent,
    /// The body has no array where its events should be.
    NoItems,
    /// The handshake's origin is not allowed.
    Origin,
    /// It can't be stored now.
    NotNow,
}

impl Refusal {
    /// Status and reason.
    pub fn told(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "nothing is received at this path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "events are sent by POST"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than is taken here"),
            Self::Unverified => (StatusCode::UNAUTHORIZED, "the request is not verified"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not JSON; send application/json"),
            Self::NotAnEvent => (StatusCode::BAD_REQUEST, "the body is not a JSON object"),
            Self::NoItems => {
                (StatusCode::BAD_REQUEST, "the body has no array of JSON objects where events are expected")
            }
            Self::Origin => (StatusCode::FORBIDDEN, "this origin is not allowed"),
            Self::NotNow => (StatusCode::SERVICE_UNAVAILABLE, "nothing can be taken now; send it again later"),
        }
    }

    /// What goes along with the status.
    pub fn headers(self, response: &mut Response) {
        match self {
            Self::NotNow => response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(COME_AGAIN)),
            Self::Method => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST")),
            _ => None,
        };
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, reason) = self.told();
        let mut response = (status, Json(json!({ "error": reason }))).into_response();
        self.headers(&mut response);
        response
    }
}
