use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, refuses, request};

fn mixpanel(spec: Value) -> Mixpanel {
    Mixpanel::new(serde_json::from_value(spec).unwrap())
}

fn event(user: &str) -> Value {
    json!({ "event": "Signed up", "properties": { "distinct_id": user, "time": 1_793_611_800, "plan": "pro" } })
}

#[test]
fn events_become_an_array_with_ids_of_ours() {
    let own = json!({ "event": "x", "properties": { "distinct_id": "", "$insert_id": "own-1" } });
    let (target, body) = request(&mixpanel(json!({ "projectId": 7 })), &[event("a"), own], &[]);
    assert_eq!(target, "POST https://api.mixpanel.com/import?strict=1&project_id=7");
    let mut first = event("a");
    first["properties"]["$insert_id"] = json!("key0");
    let second = json!({ "event": "x", "properties": { "distinct_id": "", "$insert_id": "own-1", "time": 1_793_611_800_000_i64 } });
    assert_eq!(body, json!([first, second]));
    assert!(
        request(&mixpanel(json!({ "region": "Eu" })), &[event("a")], &[])
            .0
            .ends_with("https://api-eu.mixpanel.com/import?strict=1")
    );
    assert!(request(&mixpanel(json!({ "region": "In" })), &[event("a")], &[]).0.contains("api-in"));
}

/// Three events were sent.
#[test]
fn what_mixpanel_answers() {
    let partly = |taken: usize, failed: Value| {
        json!({ "code": 400, "error": "some data points in the request failed validation", "status": "Bad Request",
            "num_records_imported": taken, "failed_records": failed })
        .to_string()
    };
    let failed = |index: usize, id: &str| json!({ "index": index, "insert_id": id, "field": "properties.time", "message": "'properties.time' is invalid" });
    let twin =
        |name: &str| json!({ "event": name, "properties": { "distinct_id": "u", "time": 1, "$insert_id": "one" } });
    let shared =
        [(400, &[][..], &*partly(1, json!([failed(1, "one")])), "delivered: delivered, rejected", "properties.time")];
    check(&mixpanel(json!({})), &[twin("a"), twin("b")], &shared);
    check(
        &mixpanel(json!({})),
        &[event("a"), event("b"), event("c")],
        &[
            (200, &[], r#"{"code":200,"num_records_imported":3,"status":"OK"}"#, "delivered", ""),
            (200, &[], r#"{"code":200,"status":"OK"}"#, "delivered", ""),
            (200, &[], r#"{"code":200,"num_records_imported":2,"status":"OK"}"#, "unaccounted", "took 2 of 3"),
            (
                400,
                &[],
                &partly(2, json!([failed(1, "key1")])),
                "delivered: delivered, rejected, delivered",
                "properties.time",
            ),
            (
                400,
                &[],
                &partly(2, json!([{ "index": 1, "field": null, "message": null }])),
                "delivered: delivered, rejected, delivered",
                "",
            ),
            // The id is right where both are given: the index is of the vendor's own array.
            (400, &[], &partly(2, json!([failed(0, "key2")])), "delivered: delivered, delivered, rejected", ""),
            (
                400,
                &[],
                &partly(2, json!([{ "index": 1, "field": "event", "message": "x" }])),
                "delivered: delivered, rejected, delivered",
                "",
            ),
            (
                400,
                &[],
                &partly(0, json!([failed(0, "key0"), failed(1, "key1"), failed(2, "key2")])),
                "delivered: rejected, rejected, rejected",
                "",
            ),
            (
                400,
                &[],
                &partly(1, json!([failed(1, "key1")])),
                "delivered: unaccounted, rejected, unaccounted",
                "took 1 of 3",
            ),
            (400, &[], &partly(2, json!([failed(9, "other")])), "delivered: unaccounted, unaccounted, unaccounted", ""),
            (
                400,
                &[],
                r#"{"code":400,"error":"request is not valid JSON","status":"Bad Request"}"#,
                "rejected",
                "not valid JSON",
            ),
            (401, &[], r#"{"code":401,"error":"Invalid credentials"}"#, "hold Credentials", ""),
            (413, &[], r#"{"code":413,"error":"too large"}"#, "rejected", "too large"),
            (429, &[], r#"{"code":429}"#, "limited", ""),
            (500, &[], "", "retry", ""),
            (502, &[], "", "retry", ""),
            (503, &[], "", "retry", ""),
            (504, &[], "", "retry", ""),
        ],
    );
}

#[test]
fn what_mixpanel_refuses_is_refused_before() {
    let mut many: serde_json::Map<String, Value> = (0..253).map(|n| (format!("p{n}"), json!(n))).collect();
    many.insert("distinct_id".into(), json!("u"));
    many.insert("time".into(), json!(1));
    refuses(
        &mixpanel(json!({})),
        &event("a"),
        &[
            ("/event", Value::Null, "event is missing"),
            ("/event", json!(""), "event is empty"),
            ("/time", json!(1), "time is not known"),
            ("/properties", Value::Null, "properties is missing"),
            ("/properties", many.into(), "256 members"),
            ("/properties/distinct_id", Value::Null, "distinct_id is missing"),
            ("/properties/distinct_id", json!("Anonymous"), "placeholder"),
            ("/properties/distinct_id", json!("00000000-0000-0000-0000-000000000000"), "placeholder"),
            ("/properties/distinct_id", json!(7), "not a text"),
            ("/properties/time", json!("2026-11-02T09:30:00Z"), "not a whole number"),
            ("/properties/time", json!(1.5), "not a whole number"),
            ("/properties/$insert_id", json!("x".repeat(37)), "37 characters"),
            ("/properties/$insert_id", json!("a b"), "letters, digits and hyphens"),
            ("/properties/text", json!("x".repeat(1_000_001)), "bytes"),
        ],
    );
}
