//! What a request holds: one event, an array of them, or CloudEvents in one of their three forms. Pure.

use std::{borrow::Cow, collections::BTreeMap};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use ropeway_crds::{headers as h, worker_config::MAX_EVENT_BYTES};
use serde_json::value::RawValue;

use super::{refusal::Refusal, store::Known, verify::IdPlace};
use crate::{cloud_event, raw_json};

/// One event of a request.
#[derive(Debug)]
pub struct Item<'a> {
    /// As it is stored.
    pub body: Bytes,
    /// The part of it that is mapped, where that is not the whole.
    pub data: Option<Bytes>,
    /// What is known of it.
    pub known: Known<'a>,
}

/// How requests to one address are taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The place of the array whose elements are the events; none where the body is one event.
    pub split: Option<String>,
    /// Where the vendor's events carry their ids.
    pub id_place: IdPlace,
}

/// The events of a request. `sender_id` is the sender's id of the whole request.
///
/// # Errors
/// See [`Refusal`]; then none of them may be stored.
pub fn items<'a>(
    headers: &'a HeaderMap,
    body: &Bytes,
    sender_id: Option<String>,
    form: &Form,
) -> Result<Vec<Item<'a>>, Refusal> {
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or("application/json");
    let trace_parent = text(headers, h::TRACE_PARENT);
    if cloud_event::is_batch(content_type) {
        let elements = elements(body, "")?;
        return elements.into_iter().map(|element| structured(element, trace_parent)).collect();
    }
    if cloud_event::is_structured(content_type) {
        return Ok(vec![structured(body.clone(), trace_parent)?]);
    }
    let Some(pointer) = &form.split else {
        let known = binary(headers, content_type, sender_id);
        let other_id = vendor_id(body, form.id_place);
        return Ok(vec![Item { body: fitting(body.clone())?, data: None, known: Known { other_id, ..known } }]);
    };
    let elements = elements(body, pointer).map_err(|refusal| unreadable(refusal, content_type))?;
    let item = |(index, element): (usize, Bytes)| {
        // An id in the event is worth more than its place: a sender may put its repeats together in another way.
        let own = vendor_id(&element, form.id_place);
        let by_place = sender_id.as_ref().map(|id| format!("{id}#{index}"));
        Ok(Item {
            data: None,
            known: Known { other_id: own.or(by_place), trace_parent, ..Known::default() },
            body: fitting(element)?,
        })
    };
    elements.into_iter().enumerate().map(item).collect()
}

/// What a body is that can't be read: something else than JSON if it says so, else broken JSON.
pub fn unreadable(refusal: Refusal, content_type: &str) -> Refusal {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type == "application/json" || media_type.ends_with("+json") {
        true => refusal,
        false => Refusal::NotJson,
    }
}

/// A CloudEvent in structured mode, stored as it came.
fn structured<'a>(body: Bytes, trace_parent: Option<&'a str>) -> Result<Item<'a>, Refusal> {
    let (attributes, data) = cloud_event::from_structured(&body).map_err(|_| Refusal::NotAnEvent)?;
    let known = Known {
        id: attributes.get("id").cloned(),
        source: attributes.get("source").cloned(),
        content_type: cloud_event::STRUCTURED,
        trace_parent,
        ..Known::default()
    };
    Ok(Item { body: fitting(body)?, data: Some(data), known })
}

/// What the headers of a CloudEvent in binary mode say; of any other request, what little they say.
fn binary<'a>(headers: &'a HeaderMap, content_type: &'a str, sender_id: Option<String>) -> Known<'a> {
    let attributes = headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok().filter(|value| !value.is_empty() && value.len() <= 1024)?;
        name.as_str().starts_with(h::CLOUD_EVENT_PREFIX).then_some((name.as_str(), value))
    });
    Known {
        id: text(headers, "ce-id").map(cloud_event::decode_header).or(sender_id),
        other_id: None,
        source: text(headers, "ce-source").map(cloud_event::decode_header),
        content_type,
        attributes: attributes.collect(),
        trace_parent: text(headers, h::TRACE_PARENT),
        version: None,
        reading: None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn fitting(body: Bytes) -> Result<Bytes, Refusal> {
    if body.len() as u64 > MAX_EVENT_BYTES { Err(Refusal::TooLarge) } else { Ok(body) }
}

/// The elements of the array at a JSON pointer, byte for byte.
fn elements(body: &Bytes, pointer: &str) -> Result<Vec<Bytes>, Refusal> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|_| Refusal::NoItems)?;
    let found = raw_json::at(whole, pointer).and_then(raw_json::elements).ok_or(Refusal::NoItems)?;
    Ok(found.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
}

/// The id that a vendor's event carries.
fn vendor_id(body: &[u8], place: IdPlace) -> Option<String> {
    if place == IdPlace::Unknown {
        return None;
    }
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let member = |name: &str| members.get(name).map(|value| value.get().trim_matches('"').to_owned());
    match place {
        IdPlace::Unknown => None,
        IdPlace::Field(name) => member(name).filter(|id| !id.is_empty() && id != "null"),
        // HubSpot's `eventId` is not unique; its attempts differ in `attemptNumber` only.
        IdPlace::HubSpot => {
            let parts = ["portalId", "subscriptionId", "objectId", "propertyName", "occurredAt", "eventId"];
            let parts: Vec<String> = parts.iter().map(|name| member(name).unwrap_or_default()).collect();
            let is_told = [1, 2, 4].iter().all(|index| !parts[*index].is_empty());
            is_told.then(|| parts.join(":"))
        }
    }
}

#[cfg(test)]
mod tests;
