//! What a vendor speaks. A provider answers pure questions and nothing else: how a record becomes a request, and what an
//! answer means for it. One file for each vendor, all of the same shape.

pub mod http;

use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

/// A request before credentials are put on it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// Headers, the content type among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer, read whole or up to the cap.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut at the cap.
    pub body: Bytes,
}

/// What a vendor did with one record, or why it could do nothing. A failed delivery is a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took the record.
    Delivered,
    /// It may take the record another time.
    Retry {
        /// When it asked to be tried again, from now.
        after: Option<Duration>,
        /// What happened.
        failure: Failure,
    },
    /// It refused this record for good.
    Rejected(Failure),
    /// It can take nothing at all just now, whatever the record.
    Hold {
        /// Why.
        cause: HoldCause,
        /// What happened.
        failure: Failure,
    },
}

/// Why a destination as a whole is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldCause {
    /// Our credentials are refused or missing.
    Credentials,
    /// An outcome rule says so.
    Rule,
    /// The address is not one that deliveries may go to.
    Address,
}

/// What happened to an attempt, in words that may be shown anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status, if there was an answer.
    pub code: Option<u16>,
    /// One sentence without payload, credential or URL query.
    pub message: String,
}

/// What an answer means where neither a rule of the user's nor a vendor's own table says otherwise.
///
/// Sources: RFC 9110 §15; `Retry-After` RFC 9110 §10.2.3.
pub fn default_outcome(response: &Response, now: Timestamp) -> Outcome {
    let code = response.status.as_u16();
    let failure =
        |what: &str| Failure { code: Some(code), message: format!("the destination answered {code}: {what}") };
    match code {
        200..=299 => Outcome::Delivered,
        401 => Outcome::Hold { cause: HoldCause::Credentials, failure: failure("the credentials are refused") },
        408 | 425 | 429 => Outcome::Retry { after: retry_after(&response.headers, now), failure: failure("not now") },
        501 | 505 => Outcome::Rejected(failure("it does not support such a request")),
        500..=599 => Outcome::Retry { after: retry_after(&response.headers, now), failure: failure("it failed") },
        300..=399 => Outcome::Rejected(failure("it redirects, and redirects are not followed; give the final address")),
        403 => Outcome::Rejected(failure("the request is forbidden")),
        404 | 410 => Outcome::Rejected(failure("there is nothing at this address")),
        413 => Outcome::Rejected(failure("the record is too large")),
        _ => Outcome::Rejected(failure("the record is refused")),
    }
}

/// How long a destination asks to be left alone: `Retry-After` in seconds or as a date. A date that has passed means now.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(::http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, retry_after: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().unwrap());
        }
        Response { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::new() }
    }

    #[test]
    fn every_status_has_its_class() {
        let class = |status| match default_outcome(&response(status, None), Timestamp::UNIX_EPOCH) {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "retry",
            Outcome::Rejected(_) => "rejected",
            Outcome::Hold { .. } => "hold",
        };
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], "delivered"),
            (&[408, 425, 429, 500, 502, 503, 504, 521, 599], "retry"),
            (&[301, 302, 307, 400, 403, 404, 409, 410, 413, 415, 422, 477, 501, 505], "rejected"),
            (&[401], "hold"),
        ] {
            for status in statuses {
                assert_eq!(class(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 12:00:30 GMT", Some(30)),
            ("Tue, 24 Nov 2020 12:00:30 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("99999999999999999999999", None),
        ] {
            let found = retry_after(&response(429, Some(text)).headers, now).map(|after| after.as_secs());
            assert_eq!(found, expected, "{text}");
        }
    }
}
