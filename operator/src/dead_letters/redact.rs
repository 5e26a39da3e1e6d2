//! What of a dead letter may be shown. Keys, types and lengths say what an event looks like; values stay hidden.

use ropeway_crds::headers as h;
use serde_json::Value;

/// Attributes that say what an event is and not what is in it. `ce-subject` and extensions may name a person.
const PLAIN: [&str; 9] = [
    "ce-id",
    "ce-source",
    "ce-type",
    "ce-time",
    "ce-specversion",
    "ce-datacontenttype",
    h::CONTENT_TYPE,
    h::TRACE_PARENT,
    "tracestate",
];

/// A header's value as it may be shown.
pub fn header(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase();
    let plain = PLAIN.contains(&name.as_str()) || name.starts_with("ropeway-") || name.starts_with("nats-");
    if plain { value.to_owned() } else { text(value) }
}

/// A body as it may be shown: the same structure with a word on each value. One that is not JSON is only measured.
pub fn body(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(value) => hide(value),
        Err(_) => Value::String(format!("<{} bytes that are not JSON>", body.len())),
    }
}

fn hide(value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => Value::String("<boolean>".into()),
        Value::Number(_) => Value::String("<number>".into()),
        Value::String(value) => Value::String(text(&value)),
        Value::Array(items) => items.into_iter().map(hide).collect(),
        Value::Object(members) => members.into_iter().map(|(key, member)| (key, hide(member))).collect(),
    }
}

fn text(value: &str) -> String {
    format!("<string of {}>", value.chars().count())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structure_keys_types_and_lengths_are_shown_and_no_value() {
        let shown = body(br#"{"email":"ann@example.com","age":41,"ok":true,"none":null,"tags":["a","bc",{"x":1.5}]}"#);
        let expected = json!({
            "email": "<string of 15>", "age": "<number>", "ok": "<boolean>", "none": null,
            "tags": ["<string of 1>", "<string of 2>", { "x": "<number>" }],
        });
        assert_eq!(shown, expected);
        assert_eq!(body(b"secret"), "<6 bytes that are not JSON>");
        assert_eq!(body(b"\"secret\""), "<string of 6>");
    }

    #[test]
    fn headers_that_describe_the_event_are_shown_and_others_are_measured() {
        assert_eq!(header("ce-id", "1"), "1");
        assert_eq!(header("Ropeway-Reason", "Rejected"), "Rejected");
        for name in ["Authorization", "ce-subject", "ce-tenant", "x-token"] {
            assert_eq!(header(name, "secret"), "<string of 6>", "{name}");
        }
    }
}
