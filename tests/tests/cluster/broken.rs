//! What is wrong is named by a condition, and what runs goes on.

use serde_json::json;

use crate::installed::{Example, NAME, has, registrations};

/// Something that breaks the Integration, what the conditions then say, and its repair.
struct Break {
    what: &'static str,
    patch: serde_json::Value,
    condition: (&'static str, &'static str),
    repair: serde_json::Value,
}

fn breaks() -> [Break; 2] {
    let key = |key: &str| json!([{ "op": "replace", "path": "/spec/dedup/key", "value": key }]);
    let reference = |name: &str| json!([{ "op": "replace", "path": "/spec/destinations/1/ref", "value": name }]);
    [
        Break {
            what: "a key that is no string",
            patch: key("5"),
            condition: ("MappingValid", "MappingInvalid"),
            repair: key("string!(.registration_id)"),
        },
        Break {
            what: "a destination that does not exist",
            patch: reference("nobody"),
            condition: ("DestinationsResolved", "DestinationNotFound"),
            repair: reference("segment-sandbox"),
        },
    ]
}

/// One event through the lane that no break here touches.
async fn delivers(example: &Example, number: usize, sent: &mut Vec<String>) {
    let (id, _, line) = registrations(number + 1).remove(number);
    example.send(&[line]).await;
    sent.push(id);
    example.arrive("segment", sent).await;
}

#[tokio::test]
async fn what_is_broken_is_named_by_a_condition_and_the_running_worker_goes_on() {
    let example = Example::ready("breaking").await;
    let pods = || example.kubectl(&["get", "pods", "--output", "name"]);
    let (before, mut sent) = (pods(), Vec::new());
    for (number, Break { what, patch, condition: (type_, reason), repair }) in breaks().into_iter().enumerate() {
        example.kubectl(&["patch", "intg", NAME, "--type=json", "--patch", &patch.to_string()]);
        let status = example.status(what, |status| has(status, type_, "False", reason)).await;
        assert!(has(&status, "Ready", "False", reason), "{what}: {:#?}", status.conditions);
        delivers(&example, number, &mut sent).await;
        assert_eq!(pods(), before, "{what} has touched the workers");
        example.kubectl(&["patch", "intg", NAME, "--type=json", "--patch", &repair.to_string()]);
        example.status("repaired", |status| has(status, "Ready", "True", "Ready")).await;
    }
}

#[tokio::test]
async fn a_missing_secret_is_named_and_its_return_is_felt() {
    let example = Example::ready("forgetting").await;
    let mut sent = Vec::new();
    example.kubectl(&["delete", "secret", "hubspot-sandbox"]);
    let status = example
        .status("the Secret is missed", |status| has(status, "DestinationsResolved", "False", "SecretNotFound"))
        .await;
    let message = status.conditions.iter().find(|it| it.type_ == "DestinationsResolved").map(|it| it.message.clone());
    assert!(message.expect("a message").contains("hubspot-sandbox"));
    delivers(&example, 0, &mut sent).await;
    let secrets = crate::installed::example().join("secrets.yaml");
    example.kubectl(&["apply", "--filename", &secrets.display().to_string()]);
    example.status("repaired", |status| has(status, "Ready", "True", "Ready")).await;
    example.arrive("hubspot", &sent).await;
}

#[tokio::test]
async fn an_integration_whose_secret_comes_later_becomes_ready_by_itself() {
    let example = Example::applied("early").await;
    example.kubectl(&["delete", "secret", "signups-webhook"]);
    example.status("the Secret is missed", |status| has(status, "Ready", "False", "SecretNotFound")).await;
    let secrets = crate::installed::example().join("secrets.yaml");
    example.kubectl(&["apply", "--filename", &secrets.display().to_string()]);
    example.status("ready", |status| has(status, "Ready", "True", "Ready")).await;
}
