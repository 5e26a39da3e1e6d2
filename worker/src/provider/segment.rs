//! Segment: `POST /v1/batch`.
//!
//! Segment answers 200 to nearly everything and drops what it does not like, so whatever it documents is checked here.
//! Sources: Segment's pages of the HTTP API, of the common fields and of duplicate data, 2026; vendor contracts §2.

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::provider::SegmentProvider;
use serde::Deserialize;

use super::{
    Failure, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, envelope, json_request},
};
use crate::map::Record;

/// Bytes of one call.
const CALL_BYTES: usize = 32 << 10;

/// Properties and traits of one call.
const PROPERTIES: usize = 10_000;

/// Characters of an id of ours or of a call's.
const MESSAGE_ID: usize = 100;

/// A source of Segment's.
#[derive(Debug)]
pub(super) struct Segment(SegmentProvider);

/// What Segment answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    success: Option<bool>,
}

impl Segment {
    pub(super) fn new(provider: SegmentProvider) -> Self {
        Self(provider)
    }
}

impl Vendor for Segment {
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid> {
        let mut call = Object::record(record)?;
        let kind = call.needs_text("", "type", 16)?;
        let user = call.takes_text("", "userId", 1_000)?;
        let anonymous = call.takes_text("", "anonymousId", 1_000)?;
        match kind.as_str() {
            "track" => {
                call.needs_text("", "event", 1_000)?;
            }
            "group" => {
                call.needs_text("", "groupId", 1_000)?;
            }
            "alias" => {
                call.needs_text("", "previousId", 1_000)?;
                call.needs_text("", "userId", 1_000)?;
            }
            "identify" | "page" | "screen" => {}
            _ => return Err(Invalid("type is none of identify, track, page, screen, group and alias".into())),
        }
        if user.is_none() && anonymous.is_none() {
            return Err(Invalid("userId and anonymousId are missing; Segment drops a call with neither".into()));
        }
        for name in ["properties", "traits"] {
            let count = call.takes_object("", name)?.map_or(0, |found| found.len());
            if count > PROPERTIES {
                return Err(Invalid(format!("{name} has {count} members; {PROPERTIES} are the most")));
            }
        }
        call.takes_object("", "context")?;
        call.takes_object("", "integrations")?;
        if let Some(time) = call.takes_text("", "timestamp", 64)? {
            let known = time.parse::<Timestamp>().is_ok() || time.parse::<jiff::civil::DateTime>().is_ok();
            if !known {
                return Err(Invalid("timestamp is not a time in ISO 8601, such as 2026-11-02T09:30:00Z".into()));
            }
        } else if let Some(time) = known.attributes.time.as_deref().filter(|time| time.parse::<Timestamp>().is_ok()) {
            // Without it an event that was tried again would have happened when it arrived.
            call.set("timestamp", &time);
        }
        call.takes_text("", "messageId", MESSAGE_ID)?;
        // The ids of all sources are compared with each other.
        call.set_missing("messageId", &format!("ropeway-{}", known.key));
        let body = call.to_bytes();
        if body.len() > CALL_BYTES {
            return Err(Invalid(format!("the call has {} bytes; {CALL_BYTES} are the most", body.len())));
        }
        Ok(Item::one(body))
    }

    fn request(&self, records: &[&Record], sending: Sending<'_>) -> Result<Request, RequestError> {
        let uri = address(&format!("{}/v1/batch", self.0.base()), "provider.segment.url")?;
        let key = sending.secrets.first().map(|key| {
            let key = serde_json::to_string(key).expect("a text is writable");
            format!("\"writeKey\":{key},")
        });
        // Segment takes the time that passed until it was sent off an event's own, so that it is right on every attempt.
        let sent = format!(",\"sentAt\":\"{:.3}\"", sending.now);
        let bodies = records.iter().map(|record| &record.body);
        let body = envelope(key.as_deref().unwrap_or_default(), "batch", bodies, &sent);
        Ok(json_request(Method::POST, uri, body))
    }

    fn verdict(&self, response: &Response, _: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        let code = response.status.as_u16();
        let answer: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status.is_success() && answer.success == Some(false) {
            let message = format!("Segment answered {code}, and that it did not take the calls");
            verdict.outcome = Outcome::Unaccounted(Failure { code: Some(code), message });
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
