//! The circuit of a Destination as a user sees it and commands it.

use std::time::Duration;

use kube::ResourceExt as _;
use ropeway_crds::{Destination, Integration, status::DestinationStatus};
use ropeway_tests::{
    process::run,
    receiver::Receiver,
    scene::{http_client, post, webhook_to},
    wait::until,
};
use serde_json::json;

use crate::{
    kubelet::run_pod,
    place::{PATIENCE, Place, destination, integration, shared_nats},
};

const NAME: &str = "signups";

async fn circuit(place: &Place, state: &str, reason: &str) -> DestinationStatus {
    until(&format!("the circuit is {state} because {reason}"), PATIENCE, async || {
        let found = place.all::<Destination>().get("crm").await.map_err(|error| error.to_string())?;
        let status = found.status.unwrap_or_default();
        let condition = status.conditions.iter().find(|condition| condition.type_ == "CircuitClosed").cloned();
        let seen =
            (status.circuit.as_ref().map(|circuit| circuit.state.clone()), condition.map(|condition| condition.reason));
        let is_it = seen == (Some(state.to_owned()), Some(reason.to_owned()));
        if is_it { Ok(status) } else { Err(format!("{seen:?}")) }
    })
    .await
    .expect("the status says so")
}

async fn arrived(receiver: &Receiver, count: usize) {
    until(&format!("{count} events arrive"), PATIENCE, async || {
        let arrived = receiver.ids("crm").len();
        if arrived == count { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("they arrive");
}

#[tokio::test]
async fn a_circuit_is_shown_and_a_person_commands_it_by_annotations() {
    let place = Place::new("circuits", shared_nats().await).await;
    let receiver = Receiver::start().await.expect("the receiver starts");
    let _operator = place.operator(None);
    let mut account = destination("crm", &receiver.url("crm"));
    account["spec"]["circuitBreaker"] = json!({ "failureThreshold": 2, "openDuration": "1h" });
    place.apply::<Destination>(account).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    place.condition(NAME, "Ready", "False", "WorkersStarting").await;
    let worker = run_pod(&place, NAME, "pod-1").await;
    place.condition(NAME, "Ready", "True", "Ready").await;
    receiver.answer(|_, _, _| 503);
    let client = http_client();
    for id in ["one", "two", "three"] {
        assert!(matches!(post(&client, &worker.url, id).await, Some(200..=299)), "{id} was not taken");
    }
    let open = circuit(&place, "Open", "CircuitOpen").await;
    let shown = open.circuit.expect("a circuit");
    assert_eq!(shown.last_open_reason.as_deref(), Some("Errors"));
    assert!(shown.next_probe_time.is_some() && shown.message.is_some_and(|message| message.contains("503")));
    place.condition(NAME, "Healthy", "False", "CircuitOpen").await;
    place.condition(NAME, "Ready", "True", "Ready").await;

    receiver.answer(|_, _, _| 200);
    let annotate = |annotation: &str| {
        let arguments = ["annotate", "destination", "crm", annotation];
        run(place.kubectl().args(arguments)).expect("the annotation is accepted")
    };
    annotate("ropeway.dev/resume=now");
    circuit(&place, "Closed", "CircuitClosed").await;
    arrived(&receiver, 3).await;
    until("the annotation is gone, since it was done", PATIENCE, async || {
        let found = place.all::<Destination>().get("crm").await.map_err(|error| error.to_string())?;
        let there = found.annotations().contains_key("ropeway.dev/resume");
        if there { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .await
    .expect("it is taken away");

    annotate("ropeway.dev/circuit=open");
    circuit(&place, "Open", "HeldByHand").await;
    assert!(matches!(post(&client, &worker.url, "four").await, Some(200..=299)));
    let sent = tokio::time::timeout(Duration::from_secs(3), arrived(&receiver, 4)).await;
    assert!(sent.is_err(), "something was sent although a person holds the circuit open");
    annotate("ropeway.dev/circuit-");
    arrived(&receiver, 4).await;
    circuit(&place, "Closed", "CircuitClosed").await;

    let told = run(place.kubectl().args(["get", "events", "--output", "jsonpath={.items[*].reason}"])).expect("events");
    for reason in ["CircuitOpened", "CircuitClosed"] {
        assert!(told.contains(reason), "{told}");
    }
    let columns = run(place.kubectl().args(["get", "destination", "crm"])).expect("a table");
    assert!(columns.contains("CIRCUIT") && columns.contains("Closed"), "{columns}");
}
