//! The message that sends a dead letter again: the event with its own headers, to the one lane that gave it up.

use async_nats::HeaderMap;
use ropeway_crds::{headers as h, names::NamespaceNames};

use super::Entry;

/// What a dead letter says of its past and a new delivery does not have: the new one begins with its first attempt.
const PAST: [&str; 7] = [h::FIRST_FAILURE, h::LAST_FAILURE, h::HELD_MS, h::PARKS, h::REASON, h::CODE, h::ERROR];

/// Headers that only the server may set begin so.
const SERVER: &str = "nats-";

/// A message that is to be published.
#[derive(Clone, Debug)]
pub struct Resend {
    /// Where the lane's retries arrive.
    pub subject: String,
    /// The event's own headers and those of the new delivery. The message id makes a repeat harmless.
    pub headers: HeaderMap,
    /// What makes the same addition to the counter `resent` harmless.
    pub count_id: String,
}

/// Says how a dead letter is sent again.
pub fn resend(names: &NamespaceNames, entry: &Entry) -> Resend {
    let mut headers = HeaderMap::new();
    for (name, values) in entry.headers.iter() {
        let text: &str = name.as_ref();
        let past = PAST.iter().any(|past| past.eq_ignore_ascii_case(text));
        if !past && !text.to_ascii_lowercase().starts_with(SERVER) {
            values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
        }
    }
    let number = entry.resend.saturating_add(1);
    headers.insert(h::DELIVERY, entry.delivery.as_str());
    headers.insert(h::DESTINATION, entry.destination.as_str());
    headers.insert(h::ATTEMPT, "1");
    headers.insert(h::RESEND, number.to_string());
    headers.insert(h::MESSAGE_ID, format!("{}:{}:{number}:1", entry.delivery, entry.lane));
    Resend {
        subject: names.again(&entry.lane),
        headers,
        count_id: format!("resent:{}:{}:{number}", entry.delivery, entry.lane),
    }
}

#[cfg(test)]
mod tests {
    use ropeway_crds::names::ShortUid;

    use super::*;
    use crate::dead_letters::entry::tests::stored;

    #[test]
    fn a_resend_is_a_first_attempt_with_the_events_own_headers_and_without_its_past() {
        let mut stored = stored("crm", "Exhausted", "01J", 4);
        for (name, value) in [
            ("traceparent", "00-1-2-01"),
            ("Nats-TTL", "720s"),
            ("nats-expected-last-subject-sequence", "0"),
            (h::REASON, "Exhausted"),
            (h::HELD_MS, "100"),
            (h::PARKS, "2"),
            (h::INTEGRATION, "signups"),
        ] {
            stored.headers.insert(name, value);
        }
        stored.headers.append("x-list", "1");
        stored.headers.append("x-list", "2");
        let entry = Entry::read(&ShortUid::of("i"), stored).unwrap();
        let names = NamespaceNames::new(ShortUid::of("n"));
        let Resend { subject, headers, count_id } = resend(&names, &entry);
        assert_eq!(subject, names.again(&entry.lane));
        let mut shown: Vec<String> = headers.iter().map(|(name, values)| format!("{name}={}", values.len())).collect();
        shown.sort();
        let expected = [
            "Nats-Msg-Id=1",
            "Ropeway-Attempt=1",
            "Ropeway-Delivery=1",
            "Ropeway-Destination=1",
            "Ropeway-Integration=1",
            "Ropeway-Resend=1",
            "ce-id=1",
            "traceparent=1",
            "x-list=2",
        ];
        assert_eq!(shown, expected);
        let text = |name: &str| headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
        assert_eq!((text(h::ATTEMPT), text(h::RESEND)), ("1".into(), "5".into()));
        assert_eq!(text(h::MESSAGE_ID), format!("01J:{}:5:1", entry.lane));
        assert_eq!(count_id, format!("resent:01J:{}:5", entry.lane));
    }
}
