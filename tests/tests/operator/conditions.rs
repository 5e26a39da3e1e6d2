//! What is wrong is said as a condition that names the field and the remedy, and goes when it is repaired.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use ropeway_crds::{Destination, Integration, names};
use ropeway_tests::{NatsServer, scene::webhook_to};
use serde_json::json;

use crate::place::{Place, destination, integration, shared_nats};

const NAME: &str = "signups";

#[tokio::test]
async fn a_mapping_of_the_wrong_type_is_shown_with_its_place_and_the_last_good_workers_stay() {
    let place = Place::new("wrong-type", shared_nats().await).await;
    let _operator = place.operator(None);
    let mut spec = webhook_to(&["crm"]);
    place.ask_for_workers(NAME, spec.clone()).await;
    let deployments = place.all::<Deployment>();
    let child = names::child(NAME);
    let good = deployments.get(&child).await.expect("the Deployment is there").spec;

    spec["destinations"][0]["transform"] =
        json!({ "expression": "id = string!(.id)\n{ \"email\": downcase(.email) }" });
    place.apply::<Integration>(integration(NAME, spec.clone())).await;
    let message = place.condition(NAME, "MappingValid", "False", "MappingInvalid").await;
    for part in ["spec.destinations[crm].transform", "line 2, column 21", "fix:", "`string!(.email)`"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    place.condition(NAME, "Stalled", "True", "MappingInvalid").await;
    let kept = deployments.get(&child).await.expect("the Deployment is there").spec;
    assert_eq!(kept, good, "a mapping that does not compile changed the workers");

    spec["destinations"][0]["transform"] = json!({ "expression": "{ \"email\": downcase(string!(.email)) }" });
    place.apply::<Integration>(integration(NAME, spec)).await;
    place.condition(NAME, "MappingValid", "True", "MappingCompiled").await;
    place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    let next = deployments.get(&child).await.expect("the Deployment is there").spec;
    assert_ne!(next, good, "the repaired mapping did not reach the workers");
}

#[tokio::test]
async fn a_test_that_fails_is_shown_with_its_name() {
    let place = Place::new("failing-test", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let mut spec = webhook_to(&["crm"]);
    spec["normalize"] = json!({ "expression": ". = { \"id\": string!(.id), \"tier\": \"gold\" }" });
    let expected = json!([{ "destination": "crm", "record": { "id": "1", "tier": "silver" } }]);
    spec["tests"] = json!([{ "name": "tiers are kept", "input": { "id": "1" }, "expect": expected }]);
    place.apply::<Integration>(integration(NAME, spec.clone())).await;
    let message = place.condition(NAME, "MappingValid", "False", "MappingTestFailed").await;
    for part in ["spec.tests", "tiers are kept", "crm"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    spec["tests"][0]["expect"][0]["record"]["tier"] = json!("gold");
    place.apply::<Integration>(integration(NAME, spec)).await;
    place.condition(NAME, "MappingValid", "True", "MappingCompiled").await;
}

#[tokio::test]
async fn a_missing_secret_is_named_and_missed_no_more_when_it_appears() {
    let place = Place::new("no-secret", shared_nats().await).await;
    let _operator = place.operator(None);
    let mut crm = destination("crm", "http://127.0.0.1:9/");
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "crm-account", "key": "api-key" } } });
    crm["spec"]["auth"] = json!({ "bearer": { "token": token } });
    place.apply::<Destination>(crm).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    let message = place.condition(NAME, "DestinationsResolved", "False", "SecretNotFound").await;
    assert!(message.contains("crm-account"), "{message}");
    place.condition(NAME, "Ready", "False", "SecretNotFound").await;

    place.secret("crm-account", "another-key", "x").await;
    let message = place.condition(NAME, "DestinationsResolved", "False", "SecretKeyNotFound").await;
    assert!(message.contains("crm-account") && message.contains("api-key"), "{message}");

    place.secret("crm-account", "api-key", "x").await;
    place.condition(NAME, "DestinationsResolved", "True", "Resolved").await;
    place.condition(NAME, "Ready", "False", "WorkersStarting").await;
}

#[tokio::test]
async fn a_missing_config_map_is_named_with_its_field_and_missed_no_more_when_it_appears() {
    let place = Place::new("no-config-map", shared_nats().await).await;
    let _operator = place.operator(None);
    let mut crm = destination("crm", "http://127.0.0.1:9/");
    let user = json!({ "valueFrom": { "configMapKeyRef": { "name": "crm-settings", "key": "user" } } });
    crm["spec"]["auth"] = json!({ "basic": { "username": user } });
    place.apply::<Destination>(crm).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    let field = "spec.auth.basic.username.valueFrom.configMapKeyRef: ";
    let message = place.condition(NAME, "DestinationsResolved", "False", "ConfigMapNotFound").await;
    assert!(message.contains(field) && message.contains("crm-settings"), "{message}");
    let message = place.destination_condition("crm", "Ready", "False", "ConfigMapNotFound").await;
    assert!(message.starts_with(field) && message.contains("crm-settings"), "{message}");

    let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "crm-settings" },
        "data": { "user": "robot" } });
    place.apply::<ConfigMap>(settings).await;
    place.condition(NAME, "DestinationsResolved", "True", "Resolved").await;
    place.destination_condition("crm", "Ready", "True", "Resolved").await;
    let child = place.all::<Deployment>().get(&names::child(NAME)).await.expect("the Deployment is there");
    let pod = serde_json::to_value(child.spec).expect("it is writable as JSON")["template"]["spec"].clone();
    let mounted = pod["volumes"].as_array().into_iter().flatten().find(|it| it["configMap"]["name"] == "crm-settings");
    let mounted = mounted.expect("the ConfigMap is mounted");
    assert_eq!(
        (&mounted["configMap"]["optional"], &mounted["configMap"]["items"][0]["key"]),
        (&json!(true), &json!("user"))
    );
}

#[tokio::test]
async fn an_unknown_destination_is_named_and_found_when_it_appears() {
    let place = Place::new("no-destination", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Integration>(integration(NAME, webhook_to(&["billing"]))).await;
    let message = place.condition(NAME, "DestinationsResolved", "False", "DestinationNotFound").await;
    assert!(message.contains("\"billing\"") && message.contains("spec.destinations[billing].ref"), "{message}");
    place.apply::<Destination>(destination("billing", "http://127.0.0.1:9/")).await;
    place.condition(NAME, "DestinationsResolved", "True", "Resolved").await;
}

#[tokio::test]
async fn refused_nats_credentials_are_told_from_a_nats_that_is_away() {
    // Whoever brings no credentials gets an account without JetStream; that is how the harness sees that it runs.
    let accounts = r#"
        accounts {
          GUESTS: { users: [{ user: guest, password: guest }] }
          ROPEWAY: { jetstream: enabled, users: [{ user: ropeway, password: "right" }] }
        }
        no_auth_user: guest
    "#;
    let nats = NatsServer::start_with(accounts).await.expect("the nats-server starts");
    let place = Place::new("wrong-password", &nats).await;
    place.secrets("ropeway-nats", json!({ "username": "ropeway", "password": "not-this-one" })).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    let message = place.condition(NAME, "SourceReady", "False", "NatsUnauthorized").await;
    assert!(!message.contains("not-this-one"), "the password stands in the status: {message}");
    place.secrets("ropeway-nats", json!({ "username": "ropeway", "password": "right" })).await;
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}

#[tokio::test]
async fn a_nats_that_is_away_is_waited_for() {
    let mut nats = NatsServer::start().await.expect("the nats-server starts");
    nats.stop().await;
    let place = Place::new("no-nats", &nats).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    place.condition(NAME, "SourceReady", "False", "NatsUnavailable").await;
    nats.restart().await.expect("the nats-server starts again");
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
    // The same once everything ran.
    nats.kill();
    place.condition(NAME, "SourceReady", "False", "NatsUnavailable").await;
    nats.restart().await.expect("the nats-server starts again");
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}
