use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, item, refuses, request};

fn amplitude(spec: Value) -> Amplitude {
    Amplitude::new(serde_json::from_value(spec).unwrap())
}

fn event(user: &str) -> Value {
    json!({ "event_type": "signup", "user_id": user, "time": 1_793_611_800_000_i64 })
}

#[test]
fn events_become_a_request_with_ids_of_ours() {
    let (target, body) =
        request(&amplitude(json!({})), &[event("user1"), json!({ "event_type": "x", "device_id": "device" })], &[]);
    assert_eq!(target, "POST https://api2.amplitude.com/2/httpapi");
    let mut first = event("user1");
    first["insert_id"] = json!("key0");
    let second =
        json!({ "event_type": "x", "device_id": "device", "time": 1_793_611_800_000_i64, "insert_id": "key1" });
    assert_eq!(body, json!({ "events": [first, second] }));
    let (target, body) =
        request(&amplitude(json!({ "region": "Eu", "api": "Batch", "minIdLength": 1 })), &[event("u")], &[]);
    assert_eq!(
        (target.as_str(), &body["options"]),
        ("POST https://api.eu.amplitude.com/batch", &json!({ "min_id_length": 1 }))
    );
}

/// Three events were sent, of user1, user2 and user3.
#[test]
fn what_amplitude_answers() {
    let bad = |lists: Value| {
        let mut answer = json!({ "code": 400, "error": "Request missing required field" });
        answer.as_object_mut().unwrap().extend(lists.as_object().unwrap().clone());
        answer.to_string()
    };
    let limited = |lists: Value| {
        let mut answer =
            json!({ "code": 429, "error": "Too many requests for some devices and users", "eps_threshold": 30 });
        answer.as_object_mut().unwrap().extend(lists.as_object().unwrap().clone());
        answer.to_string()
    };
    check(
        &amplitude(json!({})),
        &[event("user1"), event("user2"), event("user3")],
        &[
            (200, &[], r#"{"code":200,"events_ingested":3,"payload_size_bytes":50}"#, "delivered", ""),
            (200, &[], "{}", "delivered", ""),
            (200, &[], r#"{"code":200,"events_ingested":1}"#, "unaccounted", "took 1 of 3"),
            (400, &[], &bad(json!({ "error": "Invalid API key: 0123456789" })), "hold Credentials", "not valid"),
            (400, &[], &bad(json!({ "missing_field": "api_key" })), "rejected", "api_key is missing"),
            (
                400,
                &[],
                &bad(json!({ "events_with_invalid_fields": { "time": [1] } })),
                "delivered: again, rejected, again",
                "time is not valid",
            ),
            (
                400,
                &[],
                &bad(json!({ "events_with_missing_fields": { "event_type": [0] }, "silenced_events": [2] })),
                "delivered: rejected, again, rejected",
                "silenced",
            ),
            (
                400,
                &[],
                &bad(json!({ "events_with_invalid_id_lengths": { "user_id": [0, 1, 2] } })),
                "delivered: rejected, rejected, rejected",
                "user_id is too short",
            ),
            (400, &[], &bad(json!({ "silenced_devices": ["d"] })), "rejected", ""),
            (400, &[], "", "rejected", ""),
            (400, &[], &bad(json!({ "events_with_invalid_fields": { "time": [9] } })), "rejected", ""),
            (
                400,
                &[],
                &bad(json!({ "events_with_missing_fields": null, "silenced_events": [0] })),
                "delivered: rejected, again, again",
                "",
            ),
            (413, &[], r#"{"code":413,"error":"Payload too large"}"#, "rejected", "too large"),
            (
                429,
                &[],
                &limited(json!({ "throttled_events": [0], "throttled_users": { "user1": 32 } })),
                "limited 30s: limited 30s, again, again",
                "too often",
            ),
            (
                429,
                &[],
                &limited(json!({ "throttled_users": { "user2": 32 } })),
                "limited 30s: again, limited 30s, again",
                "",
            ),
            (
                429,
                &[],
                &limited(json!({ "throttled_events": [2], "exceeded_daily_quota_users": { "user3": 500_001 } })),
                "limited 30s: again, again, limited 3600s",
                "",
            ),
            (429, &[], &limited(json!({})), "limited 30s", ""),
            (500, &[], "", "retry", ""),
            (502, &[], "", "retry", ""),
            (503, &[], "", "retry", ""),
            (504, &[], "", "retry", ""),
        ],
    );
}

#[test]
fn what_amplitude_refuses_is_refused_before() {
    refuses(
        &amplitude(json!({})),
        &event("user1"),
        &[
            ("/event_type", Value::Null, "event_type is missing"),
            ("/user_id", Value::Null, "user_id and device_id are missing"),
            ("/user_id", json!("abcd"), "4 characters; 5 are the fewest"),
            ("/user_id", json!(7), "user_id is not a text"),
            ("/time", json!("now"), "time is not a number"),
            ("/event_properties", json!([]), "event_properties is not an object"),
            ("/user_properties", json!(7), "user_properties is not an object"),
            ("/insert_id", json!(""), "insert_id is empty"),
        ],
    );
    item(&amplitude(json!({ "minIdLength": 2 })), "k", &event("ab")).unwrap();
}
