//! CloudEvents 1.0 as they come in: attributes in headers (binary mode) or around the data (structured mode). Pure.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use ropeway_crds::worker_config::EventDefaults;
use ropeway_mapping::EventAttributes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What the CloudEvents HTTP binding (§3.1.3.2) encodes in header values, beside everything that is not ASCII.
const HEADER_VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The longest attribute value that is kept, in bytes: headers must fit beside the data.
const LONGEST_VALUE: usize = 1024;

/// The most extension attributes that are kept.
const MOST_EXTENSIONS: usize = 32;

/// A body in structured mode that is no CloudEvent.
#[derive(Debug, thiserror::Error)]
pub enum StructuredError {
    /// It is not JSON, or a member has the wrong type.
    #[error("it can't be read (line {line}, column {column})")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: usize,
    },
    /// It carries no data that could be mapped.
    #[error("it has no JSON `data`")]
    NoData,
}

/// The media type of structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// Whether a content type announces structured mode.
pub fn is_structured(content_type: &str) -> bool {
    media_type(content_type).eq_ignore_ascii_case(STRUCTURED)
}

/// Whether a content type announces a batch of events in structured mode.
pub fn is_batch(content_type: &str) -> bool {
    media_type(content_type).eq_ignore_ascii_case("application/cloudevents-batch+json")
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Takes a body in structured mode apart: its attributes, and its data byte for byte.
///
/// # Errors
/// See [`StructuredError`].
pub fn from_structured(body: &Bytes) -> Result<(BTreeMap<String, String>, Bytes), StructuredError> {
    let unreadable =
        |error: serde_json::Error| StructuredError::Unreadable { line: error.line(), column: error.column() };
    // Two passes: the data byte for byte, then the attributes around it.
    #[derive(Deserialize)]
    struct DataOnly<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let data: DataOnly<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let raw = data.data.ok_or(StructuredError::NoData)?;
    let members: BTreeMap<String, serde_json::Value> = serde_json::from_slice(body).map_err(unreadable)?;
    let attributes = members
        .into_iter()
        .filter(|(name, _)| name != "data" && name != "data_base64")
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            serde_json::Value::Number(number) => Some((name, number.to_string())),
            serde_json::Value::Bool(flag) => Some((name, flag.to_string())),
            _ => None,
        })
        .collect();
    Ok((attributes, Bytes::copy_from_slice(raw.get().as_bytes())))
}

/// The attributes of an event, with the Integration's defaults for those that carry none. The id is empty where none is
/// given. Of two with one name the later one counts.
pub fn attributes<'a>(
    given: impl IntoIterator<Item = (Cow<'a, str>, String)>,
    defaults: &EventDefaults,
) -> EventAttributes {
    let mut found = EventAttributes::default();
    for (name, value) in given {
        match name.as_ref() {
            "id" => found.id = value,
            "source" => found.source = value,
            "type" => found.r#type = value,
            "time" => found.time = Some(value).filter(|value| !value.is_empty()),
            "subject" => found.subject = Some(value).filter(|value| !value.is_empty()),
            "datacontenttype" => found.data_content_type = Some(value).filter(|value| !value.is_empty()),
            "specversion" => {}
            name if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && value.len() <= LONGEST_VALUE => {
                found.extensions.insert(name.to_owned(), value);
            }
            _ => {}
        }
    }
    while found.extensions.len() > MOST_EXTENSIONS {
        found.extensions.pop_last();
    }
    for (value, default) in [(&mut found.source, &defaults.source), (&mut found.r#type, &defaults.r#type)] {
        if value.is_empty() {
            value.clone_from(default);
        }
    }
    found
}

/// A value as it may stand in a header of HTTP or NATS.
pub fn encode_header(value: &str) -> String {
    utf8_percent_encode(value, HEADER_VALUE).to_string()
}

/// The value that stands in a header. What is not valid percent encoding is taken as it is.
pub fn decode_header(value: &str) -> String {
    percent_decode_str(value).decode_utf8().map_or_else(|_| value.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_mode_keeps_the_data_byte_for_byte() {
        let body = Bytes::from_static(
            br#"{"specversion":"1.0","id":"A 1","retries":3,"data": {"n":1.10, "a":[ ]}, "x":null}"#,
        );
        let (attributes, data) = from_structured(&body).unwrap();
        assert_eq!(data, Bytes::from_static(br#"{"n":1.10, "a":[ ]}"#));
        assert_eq!(attributes["id"], "A 1");
        assert_eq!(attributes["retries"], "3");
        assert!(!attributes.contains_key("x"));
    }

    #[test]
    fn structured_mode_without_data_is_refused() {
        assert!(matches!(from_structured(&Bytes::from_static(b"{}")), Err(StructuredError::NoData)));
        assert!(matches!(from_structured(&Bytes::from_static(b"nope")), Err(StructuredError::Unreadable { .. })));
    }

    #[test]
    fn header_values_survive_the_way_through_a_header() {
        for value in ["plain", "caf\u{e9} 100%", "a\r\nb: c", "\"quoted\"", ""] {
            let encoded = encode_header(value);
            assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()), "{encoded}");
            assert_eq!(decode_header(&encoded), value);
        }
    }

    #[test]
    fn content_types_are_compared_without_parameters_and_case() {
        assert!(is_structured("Application/CloudEvents+JSON; charset=utf-8"));
        assert!(!is_structured("application/json"));
    }
}
