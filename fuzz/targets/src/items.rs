//! A verified request's body, taken apart into events.

use bytes::Bytes;
use ropeway_crds::worker_config::MAX_EVENT_BYTES;
use ropeway_worker::intake::{
    items::{Form, items},
    verify::IdPlace,
};

use crate::message::{Message, choose};

/// How the body is split, and where ids are looked for; chosen by the first byte, from `a` on.
const FORMS: [(Option<&str>, IdPlace); 6] = [
    (None, IdPlace::Unknown),
    (None, IdPlace::Field("id")),
    (Some(""), IdPlace::HubSpot),
    (Some(""), IdPlace::Field("sg_event_id")),
    (Some("/data/items"), IdPlace::Unknown),
    (Some("/a~1b/~0"), IdPlace::Field("id")),
];

/// A letter, headers and a body.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes, FORMS.len()) else { return };
    let (split, id_place) = FORMS[choice];
    let form = Form { split: split.map(str::to_owned), id_place };
    let message = Message::read(rest);
    let (headers, body) = (message.headers(), Bytes::copy_from_slice(message.body));
    let Ok(items) = items(&headers, &body, Some("sender".into()), &form) else { return };
    for item in &items {
        assert!(item.body.len() as u64 <= MAX_EVENT_BYTES);
        assert!(item.body.len() <= body.len(), "an event is larger than its request");
        if split.is_some() || item.data.is_some() {
            let is_json = |bytes: &[u8]| serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok();
            assert!(is_json(&item.body), "an element that is no JSON: {item:?}");
            assert!(item.data.as_deref().is_none_or(is_json), "data that is no JSON: {item:?}");
        }
        assert!(item.known.attributes.iter().all(|(name, value)| name.starts_with("ce-") && value.len() <= 1024));
    }
}
