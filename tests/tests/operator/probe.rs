//! `Destination.spec.probe` as a user sees it: what the condition `CredentialsValid` says on a real API server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use ropeway_crds::{Destination, Integration};
use ropeway_tests::{
    receiver::Receiver,
    scene::{http_client, post, webhook_to},
    wait::until,
};
use serde_json::json;

use crate::{
    kubelet::run_pod,
    place::{PATIENCE, Place, destination, integration, shared_nats},
};

/// Credentials that are refused are proved again every ten seconds here, and a probe may have been made a moment ago.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_valid_then_refused_then_valid_again_as_the_probe_shows() {
    let place = Place::new("probed", shared_nats().await).await;
    let receiver = Receiver::start().await.expect("the receiver starts");
    let status = Arc::new(AtomicU16::new(204));
    let answer = Arc::clone(&status);
    receiver.reply(move |asked| match asked.destination {
        "me" => answer.load(Ordering::Relaxed).into(),
        _ => 200.into(),
    });
    let _operator = place.operator(None);
    let mut account = destination("crm", &receiver.url("crm"));
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    account["spec"]["auth"] = json!({ "bearer": { "token": token } });
    account["spec"]["probe"] = json!({ "path": "/me?verbose=1", "expect": ["204"], "interval": "10s" });
    place.apply::<Destination>(account).await;
    place.apply::<Integration>(integration("signups", webhook_to(&["crm"]))).await;
    place.destination_condition("crm", "CredentialsValid", "Unknown", "Pending").await;
    place.condition("signups", "WorkersAvailable", "False", "WorkersStarting").await;
    let worker = run_pod(&place, "signups", "pod-1").await;

    // Proven without an event.
    let shown = |code: &str| format!("the probe GET {} answered {code}", receiver.url("me"));
    let wanted = |status: &'static str, reason: &'static str| ("CredentialsValid", status, reason);
    let told = place.condition_within::<Destination>("crm", wanted("True", "CredentialsProven"), LONG).await;
    assert_eq!(told, shown("204"));

    status.store(401, Ordering::Relaxed);
    let told = place.condition_within::<Destination>("crm", wanted("False", "CredentialsRefused"), LONG).await;
    // While it is held, it may be the circuit that tells the reason.
    assert!(told.contains(&shown("401")) && told.contains("renew the Secret in spec.auth"), "{told}");
    place.condition("signups", "Healthy", "False", "CredentialsRefused").await;
    assert!(receiver.ids_seen("crm") == 0, "no event was there to be spent");

    status.store(204, Ordering::Relaxed);
    let told = place.condition_within::<Destination>("crm", wanted("True", "CredentialsProven"), LONG).await;
    assert_eq!(told, shown("204"));
    assert!(matches!(post(&http_client(), &worker.url, "one").await, Some(200..=299)));
    until("the event is delivered", PATIENCE, async || {
        if receiver.ids("crm").contains("one") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("it is");
}
