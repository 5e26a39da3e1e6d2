use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, item, refuses, request};

fn segment(spec: Value) -> Segment {
    Segment::new(serde_json::from_value(spec).unwrap())
}

fn track(user: &str) -> Value {
    json!({ "type": "track", "userId": user, "event": "Order Completed", "properties": { "total": 9.9 } })
}

#[test]
fn calls_become_a_batch_with_ids_of_ours_and_the_time_of_this_attempt() {
    let own =
        json!({ "type": "identify", "anonymousId": "x", "messageId": "own", "timestamp": "2026-11-01T00:00:00Z" });
    let (target, body) = request(&segment(json!({})), &[track("a"), own.clone()], &[]);
    assert_eq!(target, "POST https://api.segment.io/v1/batch");
    let mut first = track("a");
    first["timestamp"] = json!("2026-11-02T09:30:00Z");
    first["messageId"] = json!("ropeway-key0");
    assert_eq!(body, json!({ "batch": [first, own], "sentAt": "2026-11-24T12:00:00.000Z" }));
}

#[test]
fn a_region_and_a_write_key_are_used() {
    let (target, body) = request(&segment(json!({ "region": "Eu" })), &[track("a")], &["w\"k".into()]);
    assert_eq!(
        (target.as_str(), &body["writeKey"]),
        ("POST https://events.eu1.segmentapis.com/v1/batch", &json!("w\"k"))
    );
}

#[test]
fn what_segment_answers() {
    check(
        &segment(json!({})),
        &[track("a"), track("b")],
        &[
            (200, &[], r#"{"success":true}"#, "delivered", ""),
            (200, &[], "", "delivered", ""),
            (200, &[], r#"{"success":false}"#, "unaccounted", "did not take"),
            (400, &[], r#"{"success":false,"message":"malformed JSON"}"#, "rejected", "refused"),
            (401, &[], "", "hold Credentials", ""),
            (413, &[], "", "rejected", "too large"),
            // Both headers are in seconds from now.
            (429, &[("retry-after", "7")], "", "limited 7s", ""),
            (429, &[("x-ratelimit-reset", "9")], "", "limited 9s", ""),
            (500, &[], "", "retry", ""),
            (502, &[], "", "retry", ""),
            (503, &[], "", "retry", ""),
            (504, &[], "", "retry", ""),
        ],
    );
}

#[test]
fn what_segment_would_drop_is_refused_before() {
    let good = track("a");
    refuses(
        &segment(json!({})),
        &good,
        &[
            ("/type", Value::Null, "type is missing"),
            ("/type", json!("tracking"), "none of identify"),
            ("/userId", Value::Null, "userId and anonymousId are missing"),
            ("/userId", json!(""), "userId is empty"),
            ("/userId", json!(7), "userId is not a text"),
            ("/event", Value::Null, "event is missing"),
            ("/type", json!("group"), "groupId is missing"),
            ("/type", json!("alias"), "previousId is missing"),
            ("/messageId", json!("m".repeat(101)), "messageId has 101"),
            ("/timestamp", json!("yesterday"), "timestamp is not a time"),
            ("/properties", json!([]), "properties is not an object"),
            ("/context", json!(7), "context is not an object"),
            ("/properties", json!({ "text": "x".repeat(33_000) }), "the call has"),
            (
                "/properties",
                (0..10_001).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>().into(),
                "10001 members",
            ),
        ],
    );
    for kind in ["identify", "page", "screen"] {
        item(&segment(json!({})), "k", &json!({ "type": kind, "userId": "a" })).unwrap();
    }
}
