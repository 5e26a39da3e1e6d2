//! The cross-field rules (CEL), each with what passes and what fails, judged offline by the same rules that an API server
//! judges.

use serde_json::{Value, json};

use crate::{Destination, Integration};

mod batch;
mod destination;
mod expose;
mod poll;

fn secret() -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } })
}

fn integration() -> Value {
    json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": { "name": "i" },
        "spec": {
            "source": { "webhook": { "path": "/hooks/x", "verification": { "bearer": { "tokens": [secret()] } } } },
            "destinations": [{ "name": "crm", "ref": "crm" }],
        },
    })
}

fn destination() -> Value {
    json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "d" },
        "spec": { "provider": { "http": { "url": "https://api.example.com/v1" } } },
    })
}

/// Puts a value at a JSON pointer, making the objects on the way.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let mut node = &mut object;
    for step in pointer.trim_start_matches('/').split('/') {
        node = match step.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[step],
        };
    }
    *node = value;
    object
}

fn integration_errors(object: Value) -> String {
    let integration: Integration = serde_json::from_value(object).unwrap();
    integration.validate_cel().err().map(|errors| errors.to_string()).unwrap_or_default()
}

fn destination_errors(object: Value) -> String {
    let destination: Destination = serde_json::from_value(object).unwrap();
    destination.validate_cel().err().map(|errors| errors.to_string()).unwrap_or_default()
}

/// Each row: where, what passes there, what fails there, and a word of the message.
fn check(base: fn() -> Value, errors: fn(Value) -> String, rows: &[(&str, Value, Value, &str)]) {
    assert_eq!(errors(base()), "", "the plain object must pass");
    for (pointer, good, bad, word) in rows {
        let passed = errors(with(base(), pointer, good.clone()));
        assert_eq!(passed, "", "{pointer}: {good} must pass");
        let failed = errors(with(base(), pointer, bad.clone()));
        assert!(failed.contains(word), "{pointer}: {bad} must fail with {word:?}, got {failed:?}");
    }
}

mod auth;
mod probe;
mod provider;
mod webhook;

#[test]
fn rules_of_integrations() {
    let tested = |expect: Value| json!([{ "name": "t", "input": {}, "expect": [expect] }]);
    check(
        integration,
        integration_errors,
        &[
            (
                "/spec/source",
                json!({ "stream": { "stream": "ORDERS" } }),
                json!({}),
                "exactly one of webhook, stream, poll, request and batch",
            ),
            (
                "/spec/source/stream",
                Value::Null,
                json!({ "stream": "S" }),
                "exactly one of webhook, stream, poll, request and batch",
            ),
            (
                "/spec/source",
                json!({ "stream": { "stream": "ORDERS" } }),
                json!({ "stream": { "stream": "ROPEWAY_X" } }),
                "Ropeway's own",
            ),
            (
                "/spec/source",
                json!({ "stream": { "stream": "O", "subjects": ["orders.>"] } }),
                json!({ "stream": { "stream": "O", "subjects": ["$JS.>"] } }),
                "begin with $",
            ),
            (
                "/spec/source",
                json!({ "stream": { "stream": "O", "startTime": "2026-11-01T00:00:00Z" } }),
                json!({ "stream": { "stream": "O", "startTime": "2026-11-01T00:00:00Z", "startAt": "All" } }),
                "at most one of startAt and startTime",
            ),
            (
                "/spec/dedup",
                json!({ "key": "string!(.id)", "window": "24h" }),
                json!({ "key": "string!(.id)", "window": "0s" }),
                "window must be",
            ),
            (
                "/spec/dedup",
                json!({ "key": "string!(.id)", "window": "720h" }),
                json!({ "key": "string!(.id)", "window": "721h" }),
                "window must be",
            ),
            ("/spec/normalize", json!({ "expression": "." }), json!({}), "exactly one of expression"),
            (
                "/spec/tests",
                tested(json!({ "destination": "crm", "filtered": true })),
                tested(json!({ "destination": "crm", "filtered": true, "error": "x" })),
                "exactly one of record",
            ),
            (
                "/spec/tests",
                tested(json!({ "destination": "crm", "record": {} })),
                tested(json!({ "destination": "other", "record": {} })),
                "does not have",
            ),
            (
                "/spec/tests",
                tested(json!({ "destination": "crm", "error": "x" })),
                tested(json!({ "destination": "crm", "filtered": false })),
                "only be true",
            ),
            ("/spec/deadLetter", json!({ "retention": "1m" }), json!({ "retention": "59s" }), "at least 1m"),
            (
                "/spec/template",
                json!({ "labels": { "team": "crm" } }),
                json!({ "labels": { "ropeway.dev/uid": "x" } }),
                "set by Ropeway",
            ),
            ("/spec/destinations/0/delivery", json!({ "timeout": "2m" }), json!({ "timeout": "121s" }), "at most 2m"),
        ],
    );
}

#[test]
fn what_names_streams_and_consumers_cannot_be_changed() {
    let parse = |object: Value| serde_json::from_value::<Integration>(object).unwrap();
    let stream = |start: Value| {
        let mut source = json!({ "stream": "O" });
        source.as_object_mut().unwrap().extend(start.as_object().unwrap().clone());
        parse(with(integration(), "/spec/source", json!({ "stream": source })))
    };
    let (webhook, plain) = (parse(integration()), stream(json!({})));
    let (new, all) = (stream(json!({ "startAt": "New" })), stream(json!({ "startAt": "All" })));
    let time = |time: &str| stream(json!({ "startTime": time }));
    let (then, same, later) =
        (time("2026-11-01T00:00:00Z"), time("2026-11-01T01:00:00+01:00"), time("2026-11-02T00:00:00Z"));
    for (new, old) in [(&webhook, &webhook), (&new, &new), (&plain, &new), (&then, &then), (&same, &then)] {
        assert!(new.validate_cel_update(old).is_ok());
    }
    let errors = |new: &Integration, old: &Integration| new.validate_cel_update(old).unwrap_err().to_string();
    assert!(errors(&new, &webhook).contains("kind of source"));
    for (new, old) in [(&all, &new), (&all, &plain), (&plain, &all), (&then, &plain), (&plain, &then), (&later, &then)]
    {
        assert!(errors(new, old).contains("startTime can't be changed"));
    }
}
