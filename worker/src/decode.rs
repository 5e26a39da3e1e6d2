//! Stage decode: a [`Message`] comes in, an [`Event`] with its delivery's history goes out. Pure.

use std::{borrow::Cow, time::Duration};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
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
    let mut history =
        History { delivery: String::new(), attempt: 1, resend: 0, first_failure: None, held: Duration::ZERO, parks: 0 };
    // One look at each header costs less than a search for each name, and most events carry one of them at most.
    for (name, values) in headers.iter().flat_map(|headers| headers.iter()) {
        let Some(value) = values.first().map(HeaderValue::as_str) else { continue };
        let number = || value.parse::<u64>().ok();
        let small = |default: u32| number().and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
        match name.as_ref() {
            headers::DELIVERY if is_token(value) => value.clone_into(&mut history.delivery),
            headers::ATTEMPT => history.attempt = small(1).max(1),
            headers::RESEND => history.resend = small(0),
            headers::FIRST_FAILURE => history.first_failure = value.parse().ok(),
            headers::HELD_MS => history.held = Duration::from_millis(number().unwrap_or(0)),
            headers::PARKS => history.parks = small(0),
            _ => {}
        }
    }
    if history.delivery.is_empty() {
        // A user's stream has no delivery ids.
        history.delivery = delivery_in_stream(stream_created, position.sequence, position.stored);
    }
    history
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
    let content_type = text(headers::CONTENT_TYPE);
    let (attributes, data) = if content_type.is_some_and(cloud_event::is_structured) {
        let (given, data) = cloud_event::from_structured(body)?;
        (cloud_event::attributes(given.into_iter().map(|(name, value)| (name.into(), value)), defaults), data)
    } else {
        let binary = headers.iter().flat_map(|headers| headers.iter()).filter_map(attribute);
        let content_type = content_type.map(|value| ("datacontenttype".into(), value.to_owned()));
        (cloud_event::attributes(binary.chain(content_type), defaults), body.clone())
    };
    let data = Data::parse_shared(&data).map_err(DecodeError::NotJson)?;
    if !data.is_object() {
        return Err(DecodeError::NotAnObject);
    }
    let mut attributes = attributes;
    if attributes.id.is_empty() {
        attributes.id = text(headers::MESSAGE_ID).unwrap_or(delivery).to_owned();
    }
    Ok(Event { attributes, data })
}

/// The attribute that a header of binary mode carries, if it is one.
fn attribute<'a>((name, values): (&'a HeaderName, &'a Vec<HeaderValue>)) -> Option<(Cow<'a, str>, String)> {
    let name: &str = name.as_ref();
    let (prefix, name) = name.split_at_checked(headers::CLOUD_EVENT_PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(headers::CLOUD_EVENT_PREFIX) {
        return None;
    }
    let name = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    };
    Some((name, cloud_event::decode_header(values.first()?.as_str())))
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
