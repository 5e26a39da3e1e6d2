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

fn bulk(extra: Value) -> Salesforce {
    let mut spec = json!({ "bulk": { "threshold": 201 } });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    salesforce(spec)
}

#[test]
fn a_record_that_makes_no_row_is_refused_where_jobs_are_used() {
    refuses(
        &bulk(json!({})),
        &lead("a"),
        &[
            ("/Tags__c", json!(["x"]), "Tags__c is an array or an object"),
            ("/Account", json!({ "Ext__c": "a", "Name": "b" }), "Account has to name the other record by one field"),
            ("/Account", json!({ "Owner": { "Email": "a" } }), "Account.Owner is an array or an object"),
            ("/FirstName", json!("#N/A"), "FirstName is the text #N/A"),
            ("/lastname", json!("x"), "is there twice"),
            ("/Notes__c", json!("x".repeat(32_001)), "Notes__c has 32001 characters; 32000 are the most"),
        ],
    );
    let mut long = lead("a");
    (0..13).for_each(|field| long[format!("F{field}__c")] = json!("é".repeat(31_000)));
    assert!(item(&bulk(json!({})), "k", &long).unwrap_err().contains("with bulk 400000 are the most"));
    long["F12__c"] = json!("");
    assert!(item(&bulk(json!({})), "k", &long).is_ok());
    assert!(item(&salesforce(json!({})), "k", &json!({ "Ext": [1], "Application__c": "a" })).is_ok());
}

/// The first of a job's requests that has a file, if there is a job.
fn file_of(vendor: &Salesforce, given: &[Value]) -> Option<String> {
    let made = crate::provider::table::records(vendor, given);
    let mut job = vendor.large()?.job(&made.iter().collect::<Vec<_>>())?;
    job.answered(&crate::provider::table::answer(200, &[], r#"{"id":"750"}"#), crate::provider::table::now());
    let crate::provider::large::Need::Answer(request) = job.need() else { panic!("{job:?}") };
    Some(String::from_utf8(request.body.to_vec()).unwrap())
}

#[test]
fn records_become_rows_whatever_fields_each_has() {
    let mut given: Vec<Value> = (0..201).map(|number| json!({ "Application__c": format!("a{number}") })).collect();
    given[0] = json!({ "LastName": "Love, \"lace\"\nAda", "application__C": "a0", "Score__c": 1.50, "Done__c": true });
    given[1]["lastname"] = Value::Null;
    given[1]["Account"] = json!({ "Number__c": 7 });
    given[2]["Owner"] = json!({ "attributes": { "type": "User" }, "Email": "a@example.com" });
    given[2]["LastName"] = json!("");
    let csv = file_of(&bulk(json!({})), &given).unwrap();
    let expected = "Application__c,Done__c,LastName,Score__c,Account.Number__c,User:Owner.Email\n\
        a0,true,\"Love, \"\"lace\"\"\nAda\",1.5,,\n\
        a1,,#N/A,,7,\n\
        a2,,#N/A,,,a@example.com\n\
        a3,,,,,\n";
    assert_eq!(&csv[..expected.len()], expected);
    assert_eq!(csv.lines().count(), 203);
    let update = bulk(json!({ "operation": "Update", "externalIdField": null }));
    let given: Vec<Value> = (0..201).map(|number| json!({ "id": number, "LastName": "x" })).collect();
    assert!(file_of(&update, &given).unwrap().starts_with("Id,LastName\n0,x\n"));
}

#[test]
fn a_portion_that_makes_no_file_goes_in_collections() {
    let leads = |count: usize| (0..count).map(|number| lead(&format!("a{number}"))).collect::<Vec<_>>();
    assert_eq!(file_of(&salesforce(json!({})), &leads(201)), None);
    assert_eq!(file_of(&bulk(json!({})), &leads(200)), None);
    assert!(file_of(&bulk(json!({})), &leads(201)).is_some());
    let mut twins = leads(201);
    twins[200] = lead("A0");
    assert_eq!(file_of(&bulk(json!({})), &twins), None);
    let mut wide = leads(201);
    (0..400).for_each(|field| wide[field % 201][format!("{}{field}__c", "F".repeat(75))] = json!(1));
    assert_eq!(file_of(&bulk(json!({})), &wide), None);
}

#[test]
fn what_is_too_much_for_a_collection_is_cut_in_order() {
    let vendor = bulk(json!({}));
    let piece = |given: &[Value]| {
        let made = crate::provider::table::records(&vendor, given);
        vendor.piece(&made.iter().collect::<Vec<_>>())
    };
    let leads: Vec<Value> = (0..450).map(|number| lead(&format!("a{number}"))).collect();
    assert_eq!((piece(&leads), piece(&leads[400..]), piece(&leads[..1])), (200, 50, 1));
    let mut large = lead("a");
    (0..12).for_each(|field| large[format!("F{field}__c")] = json!("é".repeat(31_000)));
    assert_eq!(piece(&vec![large; 20]), 8);
}

#[test]
fn what_stands_in_an_error_is_told_without_its_words() {
    for (error, expected) in [
        (
            "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
            "REQUIRED_FIELD_MISSING (LastName)",
        ),
        ("DUPLICATE_VALUE:duplicate value found: Ada duplicates 001:--", "DUPLICATE_VALUE"),
        ("A_CODE:Ada: is odd:First__c, Last__c --", "A_CODE (First__c, Last__c)"),
        ("A_CODE:Ada is odd", "A_CODE"),
        ("A_CODE:it is:Ada Lovelace --", "A_CODE"),
        ("Ada Lovelace is odd", "no code"),
        ("", "no code"),
    ] {
        let (word, message) = crate::provider::table::short(&super::results::complaint(error).outcome(200));
        assert_eq!(
            (word.as_str(), message.as_str()),
            ("rejected", format!("Salesforce answered 200: {expected}").as_str())
        );
    }
}
