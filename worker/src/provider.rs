//! What a vendor speaks. A provider answers pure questions and nothing else: how records become a request, what an answer
//! means for each of them, and what its headers say about limits. One file for each vendor, all of the same shape.

mod amplitude;
mod braze;
mod ga4;
pub mod hint;
pub mod http;
mod hubspot;
pub mod large;
mod mixpanel;
mod object;
mod salesforce;
mod segment;
mod told;
pub mod webhook;

use std::{fmt, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{account::Cause, provider::Provider};
use ropeway_mapping::EventAttributes;

use crate::map::Record;

use hint::{Hint, hint};
use http::RequestError;
use large::Large;

/// A vendor whose records, requests and answers have a shape of their own. Everything here is pure.
pub trait Vendor: fmt::Debug + Send + Sync {
    /// The record as it is sent: checked against what the vendor would refuse or silently drop, and completed by what it can
    /// tell a repeat by.
    ///
    /// # Errors
    /// If the vendor takes no such record.
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid>;

    /// How records become a request.
    ///
    /// # Errors
    /// If the address is none.
    fn request(&self, records: &[&Record], sending: Sending<'_>) -> Result<Request, RequestError>;

    /// What an answer means for each of the records, and for the request as a whole.
    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict;

    /// A request that is made before and shows whether the vendor would take the records, if there is one.
    ///
    /// # Errors
    /// If the address is none.
    fn rehearsal(&self, _records: &[&Record]) -> Result<Option<Request>, RequestError> {
        Ok(None)
    }

    /// What the rehearsal's answer means; none where the records may be sent.
    fn rehearsed(&self, _response: &Response, _now: Timestamp) -> Option<Verdict> {
        None
    }

    /// How portions go that are too large for one request, where there are such.
    fn large(&self) -> Option<&dyn Large> {
        None
    }
}

/// What is known of a record beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The key by which the destination can tell a repeat, 32 characters of base 32.
    pub key: &'a str,
    /// The attributes of the event that it was made of.
    pub attributes: &'a EventAttributes,
}

/// What an attempt brings with it.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The time of this attempt.
    pub now: Timestamp,
    /// The values of the provider's Secrets, in the order of the spec.
    pub secrets: &'a [String],
}

/// A record as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its JSON.
    pub body: Bytes,
    /// How many of the vendor's items it is, at least 1.
    pub weight: usize,
    /// Two records with equal numbers can't be in one request.
    pub apart: Option<u64>,
}

impl Item {
    /// One item that goes with any other.
    pub fn one(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), weight: 1, apart: None }
    }
}

/// The mapping made a record that the vendor does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// What an answer says about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// This became of it.
    Known(Outcome),
    /// Nothing: it was refused along with others, and is sent again at once without them.
    Again,
}

/// The vendor behind a provider; none where any API can be behind it.
pub fn vendor(provider: &Provider) -> Option<Box<dyn Vendor>> {
    let Provider { http: _, webhook: _, nats: _, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } =
        provider;
    let given: [Option<Box<dyn Vendor>>; 7] = [
        braze.clone().map(|given| Box::new(braze::Braze::new(given)) as _),
        segment.clone().map(|given| Box::new(segment::Segment::new(given)) as _),
        hubspot.clone().map(|given| Box::new(hubspot::Hubspot::new(given)) as _),
        salesforce.clone().map(|given| Box::new(salesforce::Salesforce::new(given)) as _),
        ga4.clone().map(|given| Box::new(ga4::Ga4::new(given)) as _),
        mixpanel.clone().map(|given| Box::new(mixpanel::Mixpanel::new(given)) as _),
        amplitude.clone().map(|given| Box::new(amplitude::Amplitude::new(given)) as _),
    ];
    given.into_iter().flatten().next()
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
    /// It is not waited for: the record is given back as it came, and nothing is spent.
    Left(Failure),
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
    /// What it means for each record, in order; empty where it says nothing of its own about any.
    pub each: Vec<Fate>,
}

impl Verdict {
    /// An outcome without anything about limits.
    pub fn plain(outcome: Outcome) -> Self {
        Self { outcome, hint: Hint::default(), by_rule: false, each: Vec::new() }
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
    Verdict { outcome, hint, by_rule: false, each: Vec::new() }
}

#[cfg(test)]
mod table;

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
                Outcome::Left(_) => "left",
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
