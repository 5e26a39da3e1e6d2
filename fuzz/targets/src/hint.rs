//! The headers of a destination's answer, and the answer as an expression sees it.

use jiff::Timestamp;
use ropeway_mapping::Data;
use ropeway_worker::provider::hint::hint;

use crate::message::Message;

/// Headers and a body.
pub fn run(bytes: &[u8]) {
    let message = Message::read(bytes);
    let headers = message.headers();
    for now in [Timestamp::UNIX_EPOCH, Timestamp::MAX, Timestamp::MIN] {
        let found = hint(&headers, now);
        if let Some(pause) = found.pause(false) {
            assert!(found.pause(true).is_some(), "a pause of {pause:?} that a refusal takes back");
        }
    }
    let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let answer = Data::from_response(429, texts, message.body);
    assert!(answer.is_object());
    let _ = answer.to_json_bytes();
}
