use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, item, refuses, request};

fn salesforce(extra: Value) -> Salesforce {
    let mut spec = json!({ "object": "Lead", "externalIdField": "Application__c" });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    Salesforce::new(serde_json::from_value(spec).unwrap())
}

fn lead(id: &str) -> Value {
    json!({ "Application__c": id, "LastName": "Lovelace", "Score__c": 1.50 })
}

#[test]
fn records_become_a_collection() {
    let (target, body) =
        request(&salesforce(json!({ "instanceUrl": "https://acme.my.salesforce.com/" })), &[lead("a"), lead("b")], &[]);
    assert_eq!(
        target,
        "PATCH https://acme.my.salesforce.com/services/data/v62.0/composite/sobjects/Lead/Application__c"
    );
    let mut first = lead("a");
    first["attributes"] = json!({ "type": "Lead" });
    assert_eq!(body["allOrNone"], false);
    assert_eq!((&body["records"][0], body["records"].as_array().unwrap().len()), (&first, 2));
}

#[test]
fn without_an_address_the_access_token_brings_it() {
    let insert = salesforce(json!({ "operation": "Insert", "externalIdField": null, "apiVersion": "v65.0" }));
    assert_eq!(request(&insert, &[json!({ "LastName": "x" })], &[]).0, "POST /services/data/v65.0/composite/sobjects");
    let update = salesforce(json!({ "operation": "Update", "externalIdField": null }));
    assert_eq!(
        request(&update, &[json!({ "Id": "00Q1", "LastName": "x" })], &[]).0,
        "PATCH /services/data/v62.0/composite/sobjects"
    );
}

/// Three records were sent.
#[test]
fn what_salesforce_answers() {
    let done = |errors: [Option<&str>; 3]| {
        let result = |error: Option<&str>| match error {
            None => json!({ "id": "00Q1", "success": true, "created": true, "errors": [] }),
            Some(code) => {
                json!({ "success": false, "errors": [{ "statusCode": code, "message": "Ada is odd", "fields": ["LastName"] }] })
            }
        };
        json!(errors.map(result)).to_string()
    };
    let refused = |code: &str| json!([{ "message": "Ada is odd", "errorCode": code }]).to_string();
    check(
        &salesforce(json!({})),
        &[lead("a"), lead("b"), lead("c")],
        &[
            (200, &[], &done([None, None, None]), "delivered: delivered, delivered, delivered", ""),
            (
                200,
                &[],
                &done([None, Some("REQUIRED_FIELD_MISSING"), None]),
                "delivered: delivered, rejected, delivered",
                "REQUIRED_FIELD_MISSING (LastName)",
            ),
            (
                200,
                &[],
                &done([Some("DUPLICATES_DETECTED"), Some("INVALID_FIELD"), Some("STRING_TOO_LONG")]),
                "delivered: rejected, rejected, rejected",
                "",
            ),
            (
                200,
                &[],
                &done([Some("FIELD_CUSTOM_VALIDATION_EXCEPTION"), Some("MALFORMED_ID"), Some("ENTITY_IS_DELETED")]),
                "delivered: rejected, rejected, rejected",
                "",
            ),
            (200, &[], &done([Some("UNABLE_TO_LOCK_ROW"), None, None]), "delivered: retry, delivered, delivered", ""),
            (
                200,
                &[],
                &done([Some("REQUEST_LIMIT_EXCEEDED"), None, None]),
                "delivered: hold Quota, delivered, delivered",
                "",
            ),
            (
                200,
                &[],
                r#"[{"success":true,"errors":[]}]"#,
                "delivered: unaccounted, unaccounted, unaccounted",
                "1 results for 3 records",
            ),
            (200, &[], "", "delivered: unaccounted, unaccounted, unaccounted", ""),
            (
                200,
                &[],
                r#"[{"success":false},{"success":true},{"success":true}]"#,
                "delivered: unaccounted, delivered, delivered",
                "did not take",
            ),
            (300, &[], r#"["/services/data/v62.0/sobjects/Lead/1"]"#, "rejected", ""),
            (400, &[], &refused("JSON_PARSER_ERROR"), "rejected", "JSON_PARSER_ERROR"),
            (400, &[], &refused("UNABLE_TO_LOCK_ROW"), "retry", ""),
            (400, &[], &refused("INVALID_TYPE"), "hold Configuration", ""),
            (401, &[], &refused("INVALID_SESSION_ID"), "hold Credentials", "INVALID_SESSION_ID"),
            (403, &[], &refused("REQUEST_LIMIT_EXCEEDED"), "hold Quota", "REQUEST_LIMIT_EXCEEDED"),
            (403, &[], &refused("API_DISABLED_FOR_ORG"), "hold Credentials", ""),
            (403, &[], &refused("FORBIDDEN"), "rejected", ""),
            (404, &[], &refused("NOT_FOUND"), "hold Configuration", ""),
            (409, &[], &refused("CONFLICT"), "rejected", ""),
            (412, &[], &refused("PRECONDITION"), "rejected", ""),
            (429, &[], "", "limited", ""),
            (500, &[], &refused("UNKNOWN_EXCEPTION"), "retry", ""),
            (500, &[], "oops", "retry", ""),
            (503, &[], &refused("SERVER_UNAVAILABLE"), "limited 5s", ""),
        ],
    );
}

#[test]
fn what_is_left_of_the_day_is_known() {
    let response = crate::provider::table::answer(200, &[("sforce-limit-info", "api-usage=18/5000")], "[]");
    assert_eq!(
        crate::provider::table::verdict(&salesforce(json!({})), &[lead("a")], &response).hint.remaining,
        Some(4_982)
    );
}

#[test]
fn what_salesforce_does_not_take_is_refused_before() {
    refuses(
        &salesforce(json!({})),
        &lead("a"),
        &[
            ("/Application__c", Value::Null, "Application__c is missing"),
            ("/Application__c", json!(""), "Application__c is missing"),
            ("/Id", json!("00Q1"), "Id can't be given"),
            ("/attributes", json!({ "type": "Contact" }), "attributes.type is not Lead"),
        ],
    );
    let update = salesforce(json!({ "operation": "Update", "externalIdField": null }));
    assert!(item(&update, "k", &lead("a")).unwrap_err().contains("Id is missing"));
    assert!(item(&update, "k", &json!({})).unwrap_err().contains("no fields"));
    let apart = |id: &str| item(&salesforce(json!({})), "k", &lead(id)).unwrap().apart;
    assert_eq!(apart("A"), apart("a"));
    assert_ne!(apart("a"), apart("b"));
}
