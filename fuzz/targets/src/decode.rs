//! A message of a stream: anybody may write to a user's stream, so its headers and body are a stranger's.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::worker_config::EventDefaults;
use ropeway_mapping::Data;
use ropeway_worker::{cloud_event, decode, message::Position};

use crate::message::Message;

/// Headers and a body.
pub fn run(bytes: &[u8]) {
    let message = Message::read(bytes);
    let mut headers = HeaderMap::new();
    for (name, value) in &message.lines {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
        let encoded = cloud_event::encode_header(&cloud_event::decode_header(&value));
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()), "{encoded:?} can't stand in a header");
    }
    let position = Position { stream: "USERS".into(), sequence: 7, stored: Timestamp::UNIX_EPOCH, deliveries: 1 };
    let history = decode::history(Some(&headers), &position, Timestamp::UNIX_EPOCH);
    let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    assert!(!history.delivery.is_empty() && is_token(&history.delivery), "{history:?}");
    assert!(history.attempt >= 1, "{history:?}");
    let body = Bytes::copy_from_slice(message.body);
    let defaults = EventDefaults { r#type: "signup".into(), source: "/crm/signups".into(), id: None };
    if let Ok(event) = decode::event(Some(&headers), &body, &history.delivery, &defaults) {
        assert!(event.data.is_object());
        assert!(!event.attributes.source.is_empty() && !event.attributes.r#type.is_empty());
        assert_eq!(Data::parse(&event.data.to_json_bytes()).expect("what was written can be read"), event.data);
    }
}
