//! What a vendor speaks. A provider answers pure questions and nothing else: how records become a request, what an answer
//! means for each of them, and what its headers say about limits. One file for each vendor, all of the same shape.

pub mod hint;
pub mod http;
pub mod webhook;

use std::time::Duration;

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::account::Cause;

use hint::{Hint, hint};

/// What a vendor did with one record, or why it could do nothing. A failed delivery is a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took the record.
    Delivered,
    /// It may take the record another time.
    Retry {
        /// When it asked to be tried again, from now.
        after: Option<Duration>,
        /// Whether it was only asked too often.
        limited: bool,
        /// What happened.
        failure: Failure,
    },
    /// It refused this record for good.
    Rejected(Failure),
    /// It answered, but not about this record. Tried again like a failure, and dead-lettered with a reason of its own.
    Unaccounted(Failure),
    /// It can take nothing at all just now, whatever the record.
    Hold {
        /// Why.
        cause: Cause,
        /// What happened.
        failure: Failure,
    },
}

/// What happened to an attempt, in words that may be shown anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status, if there was an answer.
    pub code: Option<u16>,
    /// One sentence without payload, credential or URL query.
    pub message: String,
}

impl Failure {
    /// A failure without an answer.
    pub fn silent(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }
}

/// What an answer means for the request as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it means for each record that it says nothing of its own about.
    pub outcome: Outcome,
    /// What it says about limits.
    pub hint: Hint,
    /// Whether a rule of the user's decided.
    pub by_rule: bool,
}

impl Verdict {
    /// An outcome without anything about limits.
    pub fn plain(outcome: Outcome) -> Self {
        Self { outcome, hint: Hint::default(), by_rule: false }
    }
}

/// What an answer means where neither a rule of the user's nor a vendor's own table says otherwise.
///
/// Sources: RFC 9110 §15.
pub fn default_verdict(response: &Response, now: Timestamp) -> Verdict {
    let code = response.status.as_u16();
    let failure =
        |what: &str| Failure { code: Some(code), message: format!("the destination answered {code}: {what}") };
    let hint = hint(&response.headers, now);
    let limited = code == 429;
    let retry = |what: &str| Outcome::Retry { after: hint.pause(limited), limited, failure: failure(what) };
    let outcome = match code {
        200..=299 => Outcome::Delivered,
        401 => Outcome::Hold { cause: Cause::Credentials, failure: failure("the credentials are refused") },
        408 | 425 => retry("not now"),
        429 => retry("it is asked too often"),
        501 | 505 => Outcome::Rejected(failure("it does not support such a request")),
        500..=599 => retry("it failed"),
        300..=399 => Outcome::Rejected(failure("it redirects, and redirects are not followed; give the final address")),
        403 => Outcome::Rejected(failure("the request is forbidden")),
        404 => Outcome::Rejected(failure("there is nothing at this address")),
        410 => Outcome::Rejected(failure("it is gone")),
        413 => Outcome::Rejected(failure("the request is too large")),
        _ => Outcome::Rejected(failure("the record is refused")),
    };
    Verdict { outcome, hint, by_rule: false }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, StatusCode};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_status_has_its_class() {
        let class = |status| {
            let response = Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            match default_verdict(&response, Timestamp::UNIX_EPOCH).outcome {
                Outcome::Delivered => "delivered",
                Outcome::Retry { .. } => "retry",
                Outcome::Rejected(_) => "rejected",
                Outcome::Unaccounted(_) => "unaccounted",
                Outcome::Hold { .. } => "hold",
            }
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
}
