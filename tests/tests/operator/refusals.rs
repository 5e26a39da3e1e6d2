//! What the API server itself refuses, with our words: no operator is needed for that.

use std::fs;

use ropeway_tests::{process::run, scene::webhook_to};
use serde_json::{Value, json};

use crate::place::{Place, destination, integration, shared_nats};

/// Applies a manifest as a user does, and gives what the API server says against it.
pub fn refusal(place: &Place, manifest: &Value) -> String {
    let file = place.scratch.path().join("manifest.json");
    fs::write(&file, manifest.to_string()).expect("a file can be written");
    match run(place.kubectl().args(["apply", "--dry-run=server", "-f"]).arg(&file)) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// The manifest with another value at a JSON pointer's place.
pub fn with(manifest: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = manifest.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
    changed.pointer_mut(parent).expect("the parent is there")[name] = value;
    changed
}

#[tokio::test]
async fn what_can_not_work_is_refused_with_our_words() {
    let place = Place::new("refusals", shared_nats().await).await;
    let signups = integration("signups", webhook_to(&["crm"]));
    let crm = destination("crm", "http://127.0.0.1:9/");
    assert_eq!(refusal(&place, &signups), "");
    assert_eq!(refusal(&place, &crm), "");
    let expected = json!([{ "destination": "billing", "filtered": true }]);
    let cases = [
        (&signups, "/spec/source", json!({}), "exactly one of webhook, stream, poll, request and batch"),
        (&signups, "/spec/source", json!({ "stream": { "stream": "ROPEWAY_EVENTS_x" } }), "Ropeway's own"),
        (&signups, "/spec/dedup", json!({ "key": "string!(.id)", "window": "0s" }), "window must be at least 1s"),
        (&signups, "/spec/normalize", json!({}), "exactly one of expression and configMapKeyRef"),
        (&signups, "/spec/deadLetter", json!({ "retention": "5s" }), "retention must be at least 1m"),
        (
            &signups,
            "/spec/tests",
            json!([{ "name": "t", "input": {}, "expect": expected }]),
            "a destination that spec.destinations does not have",
        ),
        (&signups, "/spec/destinations", json!([]), "spec.destinations"),
        (&signups, "/spec/replicas", json!(-1), "spec.replicas"),
        (&crm, "/spec/provider", json!({}), "exactly one provider"),
        (&crm, "/spec/provider/http/url", json!("https://me:secret@crm.example/"), "must not hold credentials"),
        (&crm, "/spec/auth", json!({}), "exactly one of bearer"),
        (&crm, "/spec/delivery/timeout", json!("0s"), "longer than 0s"),
        // A word that we do not know is a mistake and not something to drop.
        (&signups, "/spec/destinatons", json!([]), "unknown field \"spec.destinatons\""),
        (&crm, "/spec/provider/http/uri", json!("x"), "unknown field \"spec.provider.http.uri\""),
    ];
    for (manifest, pointer, value, words) in cases {
        let said = refusal(&place, &with(manifest, pointer, value.clone()));
        assert!(said.contains(words), "{pointer}: {value} must be refused with {words:?}, not {said:?}");
    }
}

#[tokio::test]
async fn what_names_streams_can_not_be_changed() {
    let place = Place::new("unchangeable", shared_nats().await).await;
    let signups = integration("signups", webhook_to(&["crm"]));
    place.apply::<ropeway_crds::Integration>(signups.clone()).await;
    let other = with(&signups, "/spec/source", json!({ "webhook": null, "stream": { "stream": "ORDERS" } }));
    let said = refusal(&place, &other);
    assert!(said.contains("the kind of source can't be changed"), "{said}");
}
