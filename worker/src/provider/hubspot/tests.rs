use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, item, refuses, request};

fn hubspot(extra: Value) -> Hubspot {
    let mut spec = json!({ "object": "contacts", "idProperty": "email" });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    Hubspot::new(serde_json::from_value(spec).unwrap())
}

fn contact(email: &str) -> Value {
    json!({ "properties": { "email": email, "seats": 5, "big": 9007199254740993_u64, "active": true, "phone": null } })
}

#[test]
fn records_become_inputs_with_texts_ids_and_trace_ids() {
    let (target, body) = request(&hubspot(json!({})), &[contact("a@example.com"), contact("b@example.com")], &[]);
    assert_eq!(target, "POST https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert");
    let properties =
        json!({ "email": "a@example.com", "seats": "5", "big": "9007199254740993", "active": "true", "phone": "" });
    let first =
        json!({ "properties": properties, "id": "a@example.com", "idProperty": "email", "objectWriteTraceId": "key0" });
    assert_eq!(body["inputs"][0], first);
    assert_eq!(body["inputs"][1]["objectWriteTraceId"], "key1");
}

#[test]
fn operations_and_versions_have_their_paths() {
    let create =
        hubspot(json!({ "operation": "Create", "idProperty": null, "object": "deals", "apiVersion": "2026-03" }));
    let (target, body) = request(&create, &[json!({ "properties": { "dealname": "d" } })], &[]);
    assert_eq!(target, "POST https://api.hubapi.com/crm/objects/2026-03/deals/batch/create");
    assert_eq!(
        body["inputs"][0],
        json!({ "properties": { "dealname": "d" }, "associations": [], "objectWriteTraceId": "key0" })
    );
    let update = hubspot(json!({ "operation": "Update", "idProperty": null, "url": "http://proxy:8080/hs/" }));
    let (target, body) = request(&update, &[json!({ "id": 51, "properties": { "x": "y" } })], &[]);
    assert_eq!(target, "POST http://proxy:8080/hs/crm/v3/objects/contacts/batch/update");
    assert_eq!(body["inputs"][0], json!({ "id": "51", "properties": { "x": "y" }, "objectWriteTraceId": "key0" }));
}

#[test]
fn two_inputs_for_one_object_stay_apart() {
    let apart = |email: &str| item(&hubspot(json!({})), "k", &contact(email)).unwrap().apart;
    assert_eq!(apart("A@example.com"), apart("a@example.com"));
    assert_ne!(apart("a@example.com"), apart("b@example.com"));
}

/// Three contacts were sent.
#[test]
fn what_hubspot_answers() {
    let given = [contact("a@example.com"), contact("b@example.com"), contact("c@example.com")];
    let done = |traces: &[&str], errors: Value| {
        let results: Vec<Value> = traces
            .iter()
            .map(|trace| json!({ "id": "1", "new": true, "objectWriteTraceId": trace, "properties": {} }))
            .collect();
        json!({ "status": "COMPLETE", "results": results, "errors": errors }).to_string()
    };
    let error = |category: &str, trace: &str| json!([{ "status": "error", "category": category, "message": "Ada's mail is odd", "context": { "objectWriteTraceId": [trace] } }]);
    let by_mail = json!({ "results": [
        { "id": "3", "properties": { "email": "c@example.com" } }, { "id": "1", "properties": { "email": "A@example.com" } },
    ], "errors": [] });
    let limited =
        |policy: &str| json!({ "status": "error", "errorType": "RATE_LIMIT", "policyName": policy }).to_string();
    let named = r#"{"status":"error","category":"VALIDATION_ERROR","message":"Invalid input","errors":[{"code":"INVALID_EMAIL"}]}"#;
    check(
        &hubspot(json!({})),
        &given,
        &[
            (200, &[], &done(&["key2", "key0", "key1"], json!([])), "delivered: delivered, delivered, delivered", ""),
            (
                207,
                &[],
                &done(&["key2", "key0"], error("VALIDATION_ERROR", "key1")),
                "delivered: delivered, rejected, delivered",
                "VALIDATION_ERROR",
            ),
            (
                207,
                &[],
                &done(&["key2", "key0"], error("RATE_LIMITS", "key1")),
                "delivered: delivered, limited, delivered",
                "",
            ),
            (
                207,
                &[],
                &done(&["key0"], error("CONFLICT", "key1")),
                "delivered: delivered, rejected, unaccounted",
                "neither did nor refused",
            ),
            (200, &[], &by_mail.to_string(), "delivered: delivered, unaccounted, delivered", ""),
            (
                201,
                &[],
                r#"{"status":"COMPLETE","results":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#,
                "delivered: delivered, delivered, delivered",
                "",
            ),
            (
                207,
                &[],
                &done(&["key0"], json!([{ "category": "OBJECT_NOT_FOUND", "context": { "ids": ["B@example.com"] } }])),
                "delivered: delivered, rejected, unaccounted",
                "OBJECT_NOT_FOUND",
            ),
            // It answers so now and then, and has done nothing.
            (
                200,
                &[],
                r#"{"status":"COMPLETE","results":[],"errors":[]}"#,
                "delivered: unaccounted, unaccounted, unaccounted",
                "neither did nor refused",
            ),
            (202, &[], "", "delivered: unaccounted, unaccounted, unaccounted", ""),
            (400, &[], named, "rejected", "the request is refused (VALIDATION_ERROR, INVALID_EMAIL)"),
            (401, &[], r#"{"category":"EXPIRED_AUTHENTICATION"}"#, "hold Credentials", ""),
            (207, &[], r#"{"results":null,"errors":null}"#, "delivered: unaccounted, unaccounted, unaccounted", ""),
            (
                207,
                &[],
                &done(&["key0"], json!([{ "category": "ODD", "context": "odd" }, "odd"])),
                "delivered: delivered, rejected, rejected",
                "ODD",
            ),
            (
                403,
                &[],
                r#"{"category":"MISSING_SCOPES","errors":[{"message":"x","context":"{missingScopes=[a, b]}"}]}"#,
                "hold Credentials",
                "lacks a scope",
            ),
            (403, &[], r#"{"category":"MISSING_SCOPES"}"#, "hold Credentials", "lacks a scope"),
            (403, &[], r#"{"category":"BANNED"}"#, "rejected", "BANNED"),
            (404, &[], "", "hold Configuration", "provider.hubspot"),
            (409, &[], r#"{"category":"CONFLICT"}"#, "rejected", "CONFLICT"),
            (413, &[], "", "rejected", "too large"),
            (414, &[], "", "rejected", ""),
            (423, &[], "", "retry 2s", "locked"),
            (429, &[], &limited("DAILY"), "hold Quota", "daily limit"),
            (429, &[], &limited("TEN_SECONDLY_ROLLING"), "limited 10s", "too often"),
            (429, &[], &limited("SECONDLY"), "limited 1s", ""),
            (429, &[], r#"{"message":"You have reached your secondly limit."}"#, "limited 1s", ""),
            (429, &[("x-hubspot-ratelimit-interval-milliseconds", "10000")], "", "limited 10s", ""),
            (429, &[("retry-after", "3")], &limited("TEN_SECONDLY_ROLLING"), "limited 3s", ""),
            (477, &[("retry-after", "3600")], "", "hold Errors", "moved to another data centre"),
            (500, &[], "", "retry", ""),
            (502, &[], "", "retry 5s", "too much to do"),
            (503, &[], "", "retry", ""),
            (504, &[], "", "retry 5s", ""),
            (521, &[], "", "retry", ""),
            (522, &[], "", "retry", ""),
            (523, &[], "", "retry", ""),
            (524, &[], "", "retry", ""),
            (525, &[], "", "retry", ""),
            (526, &[], "", "retry", ""),
        ],
    );
}

#[test]
fn nothing_of_a_person_is_told() {
    let body = json!({ "results": [], "errors": [{ "message": "Email ada@example.com is not valid", "context": { "objectWriteTraceId": ["key0"] } }] });
    let response = crate::provider::table::answer(207, &[], &body.to_string());
    let said = crate::provider::table::messages(&crate::provider::table::verdict(
        &hubspot(json!({})),
        &[contact("a@example.com")],
        &response,
    ));
    assert_eq!(said, "HubSpot refused the record: Email … is not valid");
}

#[test]
fn what_hubspot_does_not_take_is_refused_before() {
    refuses(
        &hubspot(json!({})),
        &contact("a@example.com"),
        &[
            ("/properties", Value::Null, "properties is missing"),
            ("/properties", json!({}), "id is missing, and so is properties.email"),
            ("/properties/email", json!("  "), "id is missing"),
            ("/properties/list", json!([1]), "properties.list is not a text"),
            ("/properties/text", json!("x".repeat(65_537)), "65537 characters"),
            ("/email", json!("a@example.com"), "email is not known"),
            ("/associations", json!(7), "associations is not an array"),
            ("/associations", json!([]), "operation is Create"),
            ("/objectWriteTraceId", json!(7), "objectWriteTraceId is not a text"),
        ],
    );
    let create = hubspot(json!({ "operation": "Create", "idProperty": null }));
    assert!(
        item(&create, "k", &json!({ "id": "1", "properties": { "x": "y" } }))
            .unwrap_err()
            .contains("operation is Create")
    );
    assert!(item(&create, "k", &json!({ "properties": {} })).unwrap_err().contains("properties is empty"));
    let update = hubspot(json!({ "operation": "Update", "idProperty": null }));
    assert!(item(&update, "k", &contact("a@example.com")).unwrap_err().contains("the object to update"));
    let associated = json!({ "id": "1", "properties": { "x": "y" }, "associations": [] });
    assert!(item(&update, "k", &associated).unwrap_err().contains("operation is Create"));
}
