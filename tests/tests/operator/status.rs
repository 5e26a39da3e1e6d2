//! What workers report becomes the status, and nothing is written where nothing happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
};
use kube::{Api, Resource, ResourceExt as _};
use ropeway_crds::{Destination, Integration, status::IntegrationStatus};
use ropeway_tests::{
    process::run,
    receiver::Receiver,
    scene::{Worker, http_client, post, webhook_to},
    wait::until,
};
use serde::de::DeserializeOwned;

use crate::{
    kubelet::run_pod,
    place::{Operator, PATIENCE, Place, destination, integration, shared_nats},
};

const NAME: &str = "signups";

struct Running {
    place: Place,
    receiver: Receiver,
    worker: Worker,
    operator: Operator,
}

/// An Integration with its operator, one worker and a receiver, ready.
async fn running(namespace: &str) -> Running {
    let place = Place::new(namespace, shared_nats().await).await;
    let receiver = Receiver::start().await.expect("the receiver starts");
    let operator = place.operator(None);
    place.apply::<Destination>(destination("crm", &receiver.url("crm"))).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    place.condition(NAME, "Ready", "False", "WorkersStarting").await;
    let worker = run_pod(&place, NAME, "pod-1").await;
    place.condition(NAME, "Ready", "True", "Ready").await;
    Running { place, receiver, worker, operator }
}

async fn status(place: &Place) -> Result<IntegrationStatus, String> {
    let found = place.all::<Integration>().get(NAME).await.map_err(|error| error.to_string())?;
    found.status.ok_or_else(|| "no status".to_owned())
}

/// `ropeway dlq` finds the namespace's streams through the kubeconfig, and says what is missing.
async fn dead_letters_are_in_reach(place: &Place) {
    let nats = shared_nats().await.url();
    let dlq = |arguments: &[&str]| place.ropeway(&[&["dlq"], arguments].concat());
    let page = run(&mut dlq(&["ls", NAME, "--nats-url", &nats, "--output", "json"])).expect("a page");
    let page: serde_json::Value = serde_json::from_str(&page).expect("a document");
    let reasons = page["entries"].as_array().expect("entries").iter().map(|entry| entry["reason"].as_str());
    assert_eq!(reasons.collect::<BTreeSet<_>>(), [Some("Exhausted"), Some("Rejected")].into());
    let unknown = run(&mut dlq(&["ls", "orders", "--nats-url", &nats])).expect_err("no such Integration").to_string();
    assert!(unknown.contains("there is no Integration \"orders\" in the namespace"), "{unknown}");
    let silent = run(&mut dlq(&["ls", NAME, "--nats-url", "nats://127.0.0.1:9"])).expect_err("nobody").to_string();
    assert!(silent.contains("port-forward service/nats 4222"), "{silent}");
}

#[tokio::test]
async fn what_became_of_every_event_stands_in_the_status() {
    let Running { place, receiver, worker, operator } = running("counted").await;
    receiver.answer(|_, id, times| match id {
        "refused" => 400,
        "never" => 503,
        "second-time" if times == 1 => 500,
        _ => 200,
    });
    let client = http_client();
    for id in ["one", "two", "second-time", "refused", "never"] {
        assert!(matches!(post(&client, &worker.url, id).await, Some(200..=299)), "{id} was not taken");
    }
    let counted = until("every event is counted", PATIENCE, async || {
        let status = status(&place).await?;
        let delivery = status.delivery.clone().unwrap_or_default();
        let dead = status.dead_letters.clone().unwrap_or_default().messages;
        let counts = [
            ("received", delivery.received, 5),
            ("delivered", delivery.delivered, 3),
            ("rejected", delivery.rejected, 1),
            ("failed", delivery.failed, 1),
            ("retried", delivery.retried, 2),
            ("dead letters", dead, 2),
            ("dead lettered", delivery.dead_lettered, 2),
            ("pending", delivery.pending, 0),
        ];
        let wrong: Vec<_> = counts.iter().filter(|(_, found, wanted)| found != wanted).collect();
        if wrong.is_empty() { Ok(status) } else { Err(format!("{wrong:?}")) }
    });
    let counted = counted.await.expect("the status says what happened");
    assert_eq!(receiver.accepted("crm").values().sum::<usize>(), 3);
    assert_eq!(counted.destinations.len(), 1);
    assert_eq!((counted.destinations[0].name.as_str(), counted.destinations[0].delivered), ("crm", 3));
    place.condition(NAME, "Healthy", "False", "DeliveryFailing").await;

    let letters = counted.dead_letters.unwrap_or_default();
    assert!(letters.oldest_time.is_some() && letters.oldest_time <= letters.newest_time, "{letters:?}");
    dead_letters_are_in_reach(&place).await;
    let labels = r#"{integration_namespace="counted",integration="signups",destination="crm"}"#;
    let series = format!("ropeway_operator_dead_letters{labels} 2\n");
    let metrics = client.get(format!("{}/metrics", operator.admin)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains(&series) && metrics.contains("dead_letters_oldest_age_seconds{"), "{metrics}");

    let table = run(place.kubectl().args(["get", "intg"])).expect("kubectl prints a table");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = ["NAME", "READY", "HEALTHY", "STATE", "PATTERN", "FAILED", "PENDING", "DLQ"];
    assert_eq!(rows[0][..8], head, "{table}");
    assert_eq!(rows[1][..8], [NAME, "True", "False", "Running", "Webhook", "1", "0", "2"], "{table}");
}

#[tokio::test]
async fn a_pause_is_said_only_after_the_worker_has_confirmed_it() {
    let Running { place, worker, receiver, operator: _operator } = running("paused").await;
    worker.process.freeze().await;
    let mut spec = webhook_to(&["crm"]);
    spec["state"] = "Paused".into();
    place.apply::<Integration>(integration(NAME, spec.clone())).await;
    place.condition(NAME, "Ready", "True", "StateChanging").await;
    assert_eq!(status(&place).await.expect("a status").state.as_deref(), Some("Running"));
    worker.process.thaw();
    until("the state is Paused", PATIENCE, async || {
        let state = status(&place).await?.state;
        if state.as_deref() == Some("Paused") { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await
    .expect("paused");
    place.condition(NAME, "Ready", "True", "Paused").await;

    // Events are taken and kept; none is sent before the end of the pause.
    assert!(matches!(post(&http_client(), &worker.url, "kept").await, Some(200..=299)), "a pause refuses events");
    until("the event is pending", PATIENCE, async || {
        let pending = status(&place).await?.delivery.unwrap_or_default().pending;
        if pending == 1 { Ok(()) } else { Err(pending.to_string()) }
    })
    .await
    .expect("pending");
    assert!(receiver.ids("crm").is_empty());
    spec["state"] = "Running".into();
    place.apply::<Integration>(integration(NAME, spec)).await;
    until("the event arrives", PATIENCE, async || {
        if receiver.ids("crm").contains("kept") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("sent after the pause");
}

/// The versions of all objects of a kind, of ours or not.
async fn versions<K>(api: Api<K>, found: &mut BTreeMap<String, String>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    for object in api.list(&Default::default()).await.expect("the API server answers").items {
        let name = format!("{} {}", K::kind(&()), object.name_any());
        found.insert(name, object.resource_version().unwrap_or_default());
    }
}

async fn all_versions(place: &Place) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    versions(place.all::<Integration>(), &mut found).await;
    versions(place.all::<Destination>(), &mut found).await;
    versions(place.all::<Deployment>(), &mut found).await;
    versions(place.all::<Service>(), &mut found).await;
    versions(place.all::<ConfigMap>(), &mut found).await;
    found
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let Running { place, receiver, worker, operator: _operator } = running("at-rest").await;
    assert!(matches!(post(&http_client(), &worker.url, "one").await, Some(200..=299)));
    until("the event is counted", PATIENCE, async || {
        let status = status(&place).await?;
        let delivered = status.delivery.unwrap_or_default();
        let is_calm = !status.conditions.iter().any(|condition| condition.type_ == "Reconciling");
        let is_it = delivered.delivered == 1 && delivered.last_success_time.is_some() && is_calm;
        if is_it { Ok(()) } else { Err(format!("{delivered:?}")) }
    })
    .await
    .expect("counted");
    until("the Destination has it too", PATIENCE, async || {
        let found = place.all::<Destination>().get("crm").await.map_err(|error| error.to_string())?;
        let delivery = found.status.unwrap_or_default().delivery.unwrap_or_default();
        let is_it = delivery.delivered == 1 && delivery.last_success_time.is_some();
        if is_it { Ok(()) } else { Err(format!("{delivery:?}")) }
    })
    .await
    .expect("counted");
    assert_eq!(receiver.ids("crm").len(), 1);
    let before = all_versions(&place).await;
    // The one thing here that only time can show: heartbeats go on, and nothing is written for them.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(all_versions(&place).await, before);
}
