use serde_json::{Value, json};

use super::*;
use crate::provider::table::{check, item, refuses, request};

fn braze() -> Braze {
    Braze::new(serde_json::from_value(json!({ "url": "https://rest.iad-01.braze.com/" })).unwrap())
}

fn event(user: &str) -> Value {
    json!({ "external_id": user, "name": "registered", "time": "2026-11-02T09:30:00Z", "properties": { "plan": "pro" } })
}

fn person(user: &str) -> Value {
    json!({ "external_id": user, "email": "ada@example.com", "first_name": null })
}

fn purchase(user: &str) -> Value {
    json!({ "external_id": user, "product_id": "p1", "currency": "EUR", "price": 9.90, "time": "2026-11-02T09:30:00+01:00" })
}

#[test]
fn records_become_one_request_with_each_array_in_their_order() {
    let given = [
        json!({ "attributes": [person("a")], "events": [event("a")] }),
        json!({ "purchases": [purchase("b")], "events": [event("b"), event("b2")] }),
    ];
    let (target, body) = request(&braze(), &given, &[]);
    assert_eq!(target, "POST https://rest.iad-01.braze.com/users/track");
    let expected = json!({
        "attributes": [person("a")], "events": [event("a"), event("b"), event("b2")], "purchases": [purchase("b")],
    });
    assert_eq!(body, expected);
    assert_eq!(request(&braze(), &[json!({ "events": [event("a")] })], &[]).1, json!({ "events": [event("a")] }));
}

/// An array that the mapping left empty is nothing to Braze, and takes nothing else along.
#[test]
fn an_array_may_be_null() {
    let given =
        [json!({ "attributes": null, "events": [event("a")] }), json!({ "events": [event("b")], "purchases": null })];
    assert_eq!(request(&braze(), &given, &[]).1, json!({ "events": [event("a"), event("b")] }));
}

/// Two complaints about one object of two are not about both.
#[test]
fn what_was_taken_of_a_record_is_told() {
    let given = [json!({ "events": [event("a"), event("b")] })];
    let twice = r#"{"message":"success","errors":[
        {"type":"'name' is odd","input_array":"events","index":0},{"type":"'time' is odd","input_array":"events","index":0}]}"#;
    check(&braze(), &given, &[(201, &[], twice, "delivered: rejected", "a part of the record, and took the rest")]);
}

#[test]
fn a_record_weighs_as_much_as_it_has_objects() {
    let record = json!({ "attributes": [person("a")], "events": [event("a"), event("a")] });
    assert_eq!(item(&braze(), "k", &record).unwrap().weight, 3);
    let many = json!({ "events": vec![event("a"); 76] });
    assert!(item(&braze(), "k", &many).unwrap_err().contains("events has 76 objects"));
    let event = event("a");
    let full = json!({ "events": vec![event; 75], "attributes": [{ "external_id": "a", "x": 1 }] });
    assert_eq!(item(&braze(), "k", &full).unwrap().weight, 76, "some contracts take as many in each array");
}

/// Each row of the vendor's table. The records have three events and one object of attributes among them.
#[test]
fn what_braze_answers() {
    let given = [
        json!({ "attributes": [person("a")], "events": [event("a")] }),
        json!({ "events": [event("b"), event("b2")] }),
    ];
    let partly = |array: &str, index: usize| {
        format!(
            r#"{{"message":"success","errors":[{{"type":"'name' is required","input_array":"{array}","index":{index}}}]}}"#
        )
    };
    let epoch = (crate::provider::table::now().as_second() + 42).to_string();
    check(
        &braze(),
        &given,
        &[
            (201, &[], r#"{"message":"success","attributes_processed":1,"events_processed":3}"#, "delivered", ""),
            (200, &[], r#"{"message":"success","errors":[]}"#, "delivered", ""),
            (
                201,
                &[],
                &partly("events", 0),
                "delivered: rejected, delivered",
                "a part of the record, and took the rest: events[0]: 'name' is required",
            ),
            (201, &[], &partly("events", 2), "delivered: delivered, rejected", "events[1]: 'name' is required"),
            (201, &[], &partly("attributes", 0), "delivered: rejected, delivered", "attributes[0]"),
            (201, &[], &partly("events", 9), "delivered: rejected, rejected", "does not say of which"),
            (
                201,
                &[],
                r#"{"message":"success","errors":["something is wrong"]}"#,
                "delivered: rejected, rejected",
                "something is wrong",
            ),
            (
                200,
                &[],
                r#"{"message":"Valid data must be provided"}"#,
                "rejected",
                "took nothing of the request: Valid data",
            ),
            (201, &[], r#"{"message":"success","errors":null}"#, "delivered", ""),
            (201, &[], "{}", "unaccounted", "without saying that it took anything"),
            (200, &[], "", "unaccounted", ""),
            (400, &[], r#"{"message":"max input length of 75 exceeded"}"#, "rejected", "max input length"),
            (401, &[], r#"{"message":"Error authenticating credentials"}"#, "hold Credentials", "another instance's"),
            (403, &[], r#"{"message":"Forbidden"}"#, "rejected", "403"),
            (404, &[], r#"{"message":"Invalid URL"}"#, "hold Configuration", "provider.braze.url"),
            (413, &[], "", "rejected", "too large"),
            (415, &[], "", "rejected", ""),
            (
                429,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", epoch.as_str())],
                r#"{"message":"Rate limit exceeded"}"#,
                "limited 42s",
                "Rate limit exceeded",
            ),
            (500, &[], "", "retry", ""),
            (502, &[], "", "retry", ""),
            (503, &[], "", "retry", ""),
            (504, &[], "", "retry", ""),
        ],
    );
    let whole = [json!({ "events": [event("a")] })];
    check(
        &braze(),
        &whole,
        &[(201, &[], &partly("events", 0), "delivered: rejected", "refused the record: events[0]")],
    );
}

#[test]
fn what_braze_would_drop_is_refused_before() {
    let good = json!({ "attributes": [person("a")], "events": [event("a")], "purchases": [purchase("a")] });
    let long = "x".repeat(256);
    refuses(
        &braze(),
        &good,
        &[
            ("/users", json!([]), "users is not known"),
            ("/events", json!({}), "events is not an array"),
            ("/events/0", json!(7), "events[0] is not an object"),
            ("/events/0/external_id", Value::Null, "events[0].external_id is missing"),
            ("/events/0/external_id", json!(7), "events[0].external_id is not a text"),
            ("/events/0/name", Value::Null, "events[0].name is missing"),
            ("/events/0/name", json!(""), "events[0].name is empty"),
            ("/events/0/name", json!(long), "256 characters"),
            ("/events/0/time", Value::Null, "events[0].time is missing"),
            ("/events/0/time", json!("yesterday"), "ISO 8601"),
            ("/events/0/properties", json!([]), "events[0].properties is not an object"),
            ("/events/0/properties", json!({ "$x": 1 }), "begins with $"),
            ("/events/0/properties", json!({ "": 1 }), "without a name"),
            ("/events/0/properties", json!({ "x": long }), "events[0].properties.x has 256"),
            ("/events/0/properties", json!({ long.clone(): 1 }), "a name of 256"),
        ],
    );
    refuses(
        &braze(),
        &good,
        &[
            ("/purchases/0/product_id", Value::Null, "purchases[0].product_id is missing"),
            ("/purchases/0/currency", json!("EURO"), "currency has 4"),
            ("/purchases/0/price", json!("9.90"), "price is not a number"),
            ("/attributes/0", json!({ "email": "" }), "attributes[0].email is empty"),
            ("/attributes/0", json!({ "user_alias": { "alias_name": "n" } }), "alias_label is missing"),
            ("/attributes/0", json!({ "email": "a@b.c", "x": "y".repeat(110_000) }), "bytes"),
        ],
    );
    assert!(item(&braze(), "k", &json!({})).unwrap_err().contains("no attributes, no events"));
    assert!(item(&braze(), "k", &json!([])).unwrap_err().contains("not an object"));
}
