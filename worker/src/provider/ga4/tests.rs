use serde_json::{Value, json};

use super::*;
use crate::provider::table::{answer, check, item, refuses, request, short};

fn ga4(extra: Value) -> Ga4 {
    let mut spec = json!({ "measurementId": "G-A1" });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    Ga4::new(serde_json::from_value(spec).unwrap())
}

fn hit() -> Value {
    json!({ "client_id": "c.1", "timestamp_micros": 1_795_521_600_000_000_i64, "events": [
        { "name": "purchase", "params": { "currency": "EUR", "value": 9.9, "items": [{ "item_id": "i" }] } },
    ] })
}

#[test]
fn a_record_is_one_request() {
    let (target, body) = request(&ga4(json!({})), &[hit()], &[]);
    assert_eq!(
        (target.as_str(), body),
        ("POST https://www.google-analytics.com/mp/collect?measurement_id=G-A1", hit())
    );
    let app = ga4(json!({ "measurementId": null, "firebaseAppId": "1:2:web:a", "region": "Eu" }));
    let record = json!({ "app_instance_id": "i", "events": [{ "name": "level_up" }] });
    let (target, body) = request(&app, &[record], &[]);
    assert_eq!(target, "POST https://region1.google-analytics.com/mp/collect?firebase_app_id=1%3A2%3Aweb%3Aa");
    assert_eq!(body["timestamp_micros"], 1_793_611_800_000_000_i64);
}

#[test]
fn what_google_answers() {
    check(
        &ga4(json!({})),
        &[hit()],
        &[
            (204, &[], "", "delivered", ""),
            (200, &[], "GIF89a", "delivered", ""),
            (400, &[], "", "rejected", ""),
            (403, &[], "", "rejected", ""),
            (413, &[], "", "rejected", "too large"),
            (429, &[], "", "limited", ""),
            (500, &[], "", "retry", ""),
            (503, &[], "", "retry", ""),
        ],
    );
}

#[test]
fn the_validation_endpoint_is_asked_where_it_is_wanted() {
    let records = crate::provider::table::records(&ga4(json!({})), &[hit()]);
    let records: Vec<&Record> = records.iter().collect();
    assert!(ga4(json!({})).rehearsal(&records).unwrap().is_none());
    let asked = ga4(json!({ "validate": true })).rehearsal(&records).unwrap().unwrap();
    assert_eq!(asked.uri.path(), "/debug/mp/collect");
    let said = |status, body: &str| {
        ga4(json!({}))
            .rehearsed(&answer(status, &[], body), crate::provider::table::now())
            .map(|verdict| short(&verdict.outcome))
    };
    assert_eq!(said(200, r#"{"validationMessages":[]}"#), None);
    let bad = r#"{"validationMessages":[{"fieldPath":"events","description":"Event at index: [0] has invalid name [_x].","validationCode":"NAME_INVALID"}]}"#;
    let (what, why) = said(200, bad).unwrap();
    assert_eq!(what, "rejected");
    assert!(why.contains("events NAME_INVALID"), "{why}");
    assert_eq!(said(200, "ok").unwrap().0, "unaccounted");
    assert_eq!(said(503, "").unwrap().0, "retry");
}

#[test]
fn what_google_would_drop_is_refused_before() {
    let params = |params: Value| json!([{ "name": "purchase", "params": params }]);
    let named = |name: &str| json!([{ "name": name }]);
    let many: serde_json::Map<String, Value> = (0..26).map(|n| (format!("p{n}"), json!(n))).collect();
    refuses(
        &ga4(json!({})),
        &hit(),
        &[
            ("/client_id", Value::Null, "client_id is missing"),
            ("/events", Value::Null, "events is missing"),
            ("/events", json!([]), "events has 0 elements"),
            ("/events", json!(vec![json!({ "name": "x" }); 26]), "events has 26 elements"),
            ("/events", named("session_start"), "keeps for itself"),
            ("/events", named("notification_open"), "keeps for itself"),
            ("/events", named("in_app_purchase"), "keeps for itself"),
            ("/events", named("ga_x"), "keeps for itself"),
            ("/events", named("1st"), "a letter first"),
            ("/events", named("add to cart"), "letters, digits and underscores"),
            ("/events", named(&"n".repeat(41)), "41 characters"),
            ("/events", params(many.into()), "26 members"),
            ("/events", params(json!({ "n".repeat(41): 1 })), "more than 40"),
            ("/events", params(json!({ "x": "v".repeat(101) })), "101 characters"),
            ("/events", params(json!({ "page_location": "v".repeat(1_001) })), "1000 are the most"),
            ("/events", params(json!({ "x": { "y": 1 } })), "neither a text nor a number"),
            ("/user_properties", json!({ "x": 1 }), "user_properties.x is not an object"),
            ("/user_properties", json!({ "x": { "value": "v".repeat(37) } }), "more than 36"),
            ("/user_properties", json!({ "n".repeat(25): { "value": 1 } }), "more than 24"),
            ("/user_properties", json!({ "user_id": { "value": 1 } }), "keeps for itself"),
            ("/user_properties", json!({ "_x": { "value": 1 } }), "a letter first"),
            ("/user_properties", json!({ "ga_x": { "value": 1 } }), "keeps for itself"),
            ("/timestamp_micros", json!(1_795_521_600), "count of microseconds"),
            ("/user_id", json!(7), "user_id is not a text"),
            ("/consent", json!(7), "consent is not an object"),
        ],
    );
    let heavy = json!({ "client_id": "c", "events": vec![json!({ "name": "x", "params": { "items": ["y".repeat(6_000)] } }); 25] });
    assert!(item(&ga4(json!({})), "k", &heavy).unwrap_err().contains("bytes"));
}
