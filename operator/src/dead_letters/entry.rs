//! One dead letter, read from its subject and headers. Whose it is and why it is there is what the subject says, since the
//! stream is asked by subject; headers that make no sense count as absent.

use async_nats::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use ropeway_crds::{
    headers as h,
    names::{LaneId, ShortUid},
};

use crate::io::jetstream::Stored;

/// The longest text of a header that is kept, in characters.
const LONGEST_TEXT: usize = 1_024;

/// One dead letter.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its sequence in the dead-letter stream, which names it.
    pub sequence: u64,
    /// When it was written.
    pub time: Timestamp,
    /// The lane that gave it up.
    pub lane: LaneId,
    /// That lane's destination.
    pub destination: String,
    /// Why, in one word.
    pub reason: String,
    /// The delivery id.
    pub delivery: String,
    /// How often it was sent again before it came here.
    pub resend: u32,
    /// The HTTP status of the last answer.
    pub code: Option<u16>,
    /// Attempts that were made.
    pub attempts: u32,
    /// The event's own id.
    pub event_id: Option<String>,
    /// The last error, bounded.
    pub error: String,
    /// When the first attempt failed.
    pub first_failure: Option<Timestamp>,
    /// When it was given up.
    pub last_failure: Option<Timestamp>,
    /// W3C trace context.
    pub trace_parent: Option<String>,
    /// All headers as they are stored.
    pub headers: HeaderMap,
    /// The event as it came; empty in a page, which is for looking at many.
    pub body: Bytes,
}

impl Entry {
    /// Reads a message of the dead-letter stream. `None` for one that is not a dead letter of this Integration.
    pub fn read(integration: &ShortUid, stored: Stored) -> Option<Self> {
        let Stored { subject, sequence, headers, body, time } = stored;
        let Place { lane, destination, reason, delivery, resend } = place(integration, &subject)?;
        let text = |name: &str| headers.get(name).map(|value| bounded(value.as_str()));
        let decoded = |name: &str| text(name).map(|value| percent_decode_str(&value).decode_utf8_lossy().into_owned());
        let instant = |name: &str| text(name).and_then(|value| value.parse::<Timestamp>().ok());
        Some(Self {
            code: text(h::CODE).and_then(|code| code.parse().ok()),
            attempts: text(h::ATTEMPT).and_then(|count| count.parse().ok()).unwrap_or(1),
            event_id: decoded("ce-id"),
            error: decoded(h::ERROR).unwrap_or_default(),
            first_failure: instant(h::FIRST_FAILURE),
            last_failure: instant(h::LAST_FAILURE),
            trace_parent: text(h::TRACE_PARENT),
            lane: LaneId::new(integration, destination),
            destination: destination.to_owned(),
            reason: reason.to_owned(),
            delivery: delivery.to_owned(),
            resend,
            sequence,
            time,
            headers,
            body,
        })
        .filter(|entry| entry.lane.as_str() == lane)
    }
}

/// What a subject says.
struct Place<'a> {
    lane: &'a str,
    destination: &'a str,
    reason: &'a str,
    delivery: &'a str,
    resend: u32,
}

/// The parts of `ropeway.<namespace>.dead.<integration>.<lane>.<reason>.<delivery>.<resend>`.
fn place<'a>(integration: &ShortUid, subject: &'a str) -> Option<Place<'a>> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let [_, _, "dead", owner, lane, reason, delivery, resend] = tokens[..] else { return None };
    let destination = lane.strip_prefix(integration.as_str())?.strip_prefix('-')?;
    let bounded = reason.len() <= 63 && delivery.len() <= 64;
    let resend = resend.parse().ok()?;
    (owner == integration.as_str() && bounded).then_some(Place { lane, destination, reason, delivery, resend })
}

/// Destination and reason of a dead letter's subject.
pub fn destination_and_reason<'a>(integration: &ShortUid, subject: &'a str) -> Option<(&'a str, &'a str)> {
    place(integration, subject).map(|place| (place.destination, place.reason))
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A dead letter of the Integration `i`.
    pub fn stored(destination: &str, reason: &str, delivery: &str, resend: u32) -> Stored {
        let uid = ShortUid::of("i");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (h::DELIVERY, delivery),
            (h::ATTEMPT, "3"),
            (h::CODE, "422"),
            (h::ERROR, "caf%C3%A9 is closed"),
            (h::FIRST_FAILURE, "2026-01-02T03:04:05Z"),
            (h::LAST_FAILURE, "yesterday"),
            ("ce-id", "order%201"),
        ] {
            headers.insert(name, value);
        }
        Stored {
            subject: format!("ropeway.ns.dead.{uid}.{uid}-{destination}.{reason}.{delivery}.{resend}"),
            sequence: 7,
            headers,
            body: Bytes::from_static(b"{}"),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn subject_and_headers_become_an_entry_and_nonsense_counts_as_absent() {
        let entry = Entry::read(&ShortUid::of("i"), stored("crm-eu", "Rejected", "01J", 2)).unwrap();
        assert_eq!((entry.destination.as_str(), entry.reason.as_str()), ("crm-eu", "Rejected"));
        assert_eq!((entry.delivery.as_str(), entry.resend, entry.attempts), ("01J", 2, 3));
        assert_eq!((entry.code, entry.event_id.as_deref()), (Some(422), Some("order 1")));
        assert_eq!(entry.error, "café is closed");
        assert!(entry.first_failure.is_some() && entry.last_failure.is_none());
    }

    #[test]
    fn what_belongs_to_another_or_is_no_dead_letter_is_none() {
        let of = |subject: &str| Stored { subject: subject.to_owned(), ..stored("crm", "Rejected", "01J", 0) };
        let uid = ShortUid::of("i");
        assert!(Entry::read(&ShortUid::of("j"), stored("crm", "Rejected", "01J", 0)).is_none());
        for subject in [
            "short".to_owned(),
            format!("ropeway.ns.dead.{uid}.other-crm.Rejected.01J.0"),
            format!("ropeway.ns.dead.{uid}.{uid}-crm.Rejected.01J.many"),
            format!("ropeway.ns.later.{uid}.{uid}-crm.Rejected.01J.0"),
        ] {
            assert!(Entry::read(&uid, of(&subject)).is_none(), "{subject}");
        }
    }

    #[test]
    fn dead_letters_are_told_apart_by_destination_and_reason() {
        let uid = ShortUid::of("i");
        let subject = format!("ropeway.ns.dead.{uid}.{uid}-crm.Rejected.01J.0");
        assert_eq!(destination_and_reason(&uid, &subject), Some(("crm", "Rejected")));
        assert_eq!(destination_and_reason(&ShortUid::of("j"), &subject), None);
    }
}
