//! Stage decode: a [`Message`] comes in, an [`Event`] with its delivery's history goes out. Pure.

use std::{collections::BTreeMap, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{
    headers,
    names::delivery_in_stream,
    worker_config::{EventDefaults, MAX_EVENT_BYTES},
};
use ropeway_mapping::{Data, EventAttributes, ParseError};

use crate::{cloud_event, message::Position};

/// One event on its way to one destination.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its CloudEvents attributes.
    pub attributes: EventAttributes,
    /// Its data.
    pub data: Data,
}

/// What a delivery has behind it. All of it travels in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The delivery id.
    pub delivery: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// How often the event was sent again out of the dead letters.
    pub resend: u32,
    /// When the first attempt failed.
    pub first_failure: Option<Timestamp>,
    /// How long it waited after it had come due: for its destination as a whole, for a slot, for a worker.
    pub held: Duration,
    /// How often it was parked in all.
    pub parks: u32,
}

/// A message that holds no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not JSON.
    #[error("the event's data is {0}")]
    NotJson(#[source] ParseError),
    /// The body is JSON, but no object.
    #[error("the event's data is not a JSON object")]
    NotAnObject,
    /// The body is larger than a mapping may be given.
    #[error("the event has {size} bytes, more than the limit of {MAX_EVENT_BYTES}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// The body says it is a CloudEvent in structured mode and is none.
    #[error("the event is not a CloudEvent in structured mode: {0}")]
    NotACloudEvent(#[from] cloud_event::StructuredError),
}

/// Reads what a delivery has behind it. Headers that make no sense count as absent, since anyone may write to a user's stream.
pub fn history(headers: Option<&HeaderMap>, position: &Position, stream_created: Timestamp) -> History {
    let text = |name| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
    let number = |name| text(name).and_then(|value| value.parse::<u64>().ok());
    let small = |name, default: u32| number(name).and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
    let delivery = match text(headers::DELIVERY) {
        Some(delivery) if is_token(delivery) => delivery.to_owned(),
        // A user's stream has no delivery ids.
        _ => delivery_in_stream(stream_created, position.sequence, position.stored),
    };
    History {
        delivery,
        attempt: small(headers::ATTEMPT, 1).max(1),
        resend: small(headers::RESEND, 0),
        first_failure: text(headers::FIRST_FAILURE).and_then(|value| value.parse().ok()),
        held: Duration::from_millis(number(headers::HELD_MS).unwrap_or(0)),
        parks: small(headers::PARKS, 0),
    }
}

/// Reads the event itself.
///
/// # Errors
/// See [`DecodeError`]; such a message becomes a dead letter.
pub fn event(
    headers: Option<&HeaderMap>,
    body: &Bytes,
    delivery: &str,
    defaults: &EventDefaults,
) -> Result<Event, DecodeError> {
    if body.len() as u64 > MAX_EVENT_BYTES {
        return Err(DecodeError::TooLarge { size: body.len() });
    }
    let text = |name| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
    let (attributes, body) = if text(headers::CONTENT_TYPE).is_some_and(cloud_event::is_structured) {
        cloud_event::from_structured(body)?
    } else {
        let mut attributes = BTreeMap::new();
        for (name, values) in headers.iter().flat_map(|headers| headers.iter()) {
            let name: &str = name.as_ref();
            let attribute = name.to_ascii_lowercase();
            if let (Some(attribute), Some(value)) =
                (attribute.strip_prefix(headers::CLOUD_EVENT_PREFIX), values.first())
            {
                attributes.insert(attribute.to_owned(), cloud_event::decode_header(value.as_str()));
            }
        }
        if let Some(content_type) = text(headers::CONTENT_TYPE) {
            attributes.insert("datacontenttype".into(), content_type.to_owned());
        }
        (attributes, body.clone())
    };
    let data = Data::parse(&body).map_err(DecodeError::NotJson)?;
    if !data.is_object() {
        return Err(DecodeError::NotAnObject);
    }
    let message_id = text(headers::MESSAGE_ID).unwrap_or(delivery);
    Ok(Event { attributes: cloud_event::attributes(attributes, defaults, message_id), data })
}

/// Whether a text may stand in a subject as one token.
fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> EventDefaults {
        EventDefaults { r#type: "signup".into(), source: "/crm/signups".into(), id: None }
    }

    fn position(sequence: u64) -> Position {
        Position { stream: "USERS".into(), sequence, stored: Timestamp::UNIX_EPOCH, deliveries: 1 }
    }

    #[test]
    fn a_stored_event_is_read_with_its_attributes() {
        let mut headers = HeaderMap::new();
        headers.insert("ce-id", "caf%C3%A9");
        headers.insert("CE-Type", "com.example.signup");
        headers.insert("ce-tenant", "eu");
        let event =
            event(Some(&headers), &Bytes::from_static(br#"{"id":18446744073709551615}"#), "d1", &defaults()).unwrap();
        assert_eq!(event.attributes.id, "café");
        assert_eq!(event.attributes.r#type, "com.example.signup");
        assert_eq!(event.attributes.source, "/crm/signups");
        assert_eq!(event.attributes.extensions["tenant"], "eu");
        assert_eq!(event.data.to_json_bytes(), br#"{"id":"18446744073709551615"}"#);
    }

    #[test]
    fn a_foreign_message_gets_a_delivery_id_from_its_place_in_a_stream_of_that_age() {
        let (old, new) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let first = history(None, &position(7), old);
        assert_eq!(first, history(None, &position(7), old));
        assert_ne!(first.delivery, history(None, &position(8), old).delivery);
        assert_ne!(first.delivery, history(None, &position(7), new).delivery);
        assert_eq!((first.attempt, first.resend), (1, 0));
    }

    #[test]
    fn hostile_headers_count_as_absent() {
        let mut headers = HeaderMap::new();
        headers.insert(headers::DELIVERY, "a.b.>");
        headers.insert(headers::ATTEMPT, "-4");
        headers.insert(headers::HELD_MS, "99999999999999999999999");
        headers.insert(headers::FIRST_FAILURE, "yesterday");
        let history = history(Some(&headers), &position(7), Timestamp::UNIX_EPOCH);
        assert!(!history.delivery.contains('.'));
        assert_eq!((history.attempt, history.held, history.first_failure), (1, Duration::ZERO, None));
    }

    #[test]
    fn what_is_no_event_says_so() {
        let refuse =
            |body: &[u8]| event(None, &Bytes::copy_from_slice(body), "d", &defaults()).unwrap_err().to_string();
        assert!(refuse(b"{").contains("not valid JSON"));
        assert!(refuse(b"[1]").contains("not a JSON object"));
        assert!(refuse(&vec![b' '; 300_000]).contains("more than the limit"));
    }
}
