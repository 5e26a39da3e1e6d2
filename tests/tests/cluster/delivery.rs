//! The example at work: from `kubectl apply` to a delivered event, its status, a pause, and more workers.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use ropeway_crds::{integration::State, names};
use ropeway_tests::wait::until;

use crate::{
    installed::{Example, NAME, PATIENCE, registrations},
    streams::JetStream,
};

/// The cells of the one row that `kubectl get` prints, by column. No column that is read here is ever empty.
fn row(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let (head, row) = (lines.next().expect("a head"), lines.next().expect("a row"));
    head.into_iter().zip(row).collect()
}

#[tokio::test]
async fn signed_events_reach_the_destinations_and_one_line_of_kubectl_says_so() {
    let example = Example::ready("delivering").await;
    let events = registrations(20);
    let lines: Vec<String> = events.iter().map(|(.., line)| line.clone()).collect();
    example.send(&lines).await;
    let all: Vec<String> = events.iter().map(|(id, ..)| id.clone()).collect();
    let agreed: Vec<String> = events.iter().filter(|(_, agreed, _)| *agreed).map(|(id, ..)| id.clone()).collect();
    assert!(!agreed.is_empty() && agreed.len() < all.len(), "the filter has something to do");
    example.arrive("segment", &all).await;
    example.arrive("hubspot", &all).await;
    example.arrive("braze", &agreed).await;

    let delivered = i64::try_from(2 * all.len() + agreed.len()).expect("a count");
    let status = example.status("all is counted", |status| {
        status.delivery.as_ref().is_some_and(|counts| counts.delivered == delivered && counts.pending == 0)
    });
    let counts = status.await.delivery.expect("counts");
    assert_eq!(counts.received, 20);
    assert_eq!(counts.filtered, i64::try_from(all.len() - agreed.len()).expect("a count"));
    assert_eq!((counts.failed, counts.rejected, counts.dead_lettered), (0, 0, 0));

    let text = example.kubectl(&["get", "intg", "--output", "wide"]);
    println!("{text}");
    let cells = row(&text);
    for (column, value) in [
        ("NAME", NAME),
        ("READY", "True"),
        ("HEALTHY", "True"),
        ("STATE", "Running"),
        ("PATTERN", "Webhook"),
        ("FAILED", "0"),
        ("PENDING", "0"),
        ("DLQ", "0"),
        ("DELIVERED", &delivered.to_string()),
        ("REPLICAS", "1"),
        ("REASON", "Ready"),
    ] {
        assert!(cells.contains(&(column.to_owned(), value.to_owned())), "{column} is not {value}:\n{text}");
    }
    let destinations = example.kubectl(&["get", "dest"]);
    println!("{destinations}");
    assert_eq!(destinations.lines().count(), 4);
}

#[tokio::test]
async fn a_pause_is_reported_when_the_workers_have_confirmed_it_and_loses_nothing() {
    let example = Example::ready("pausing").await;
    let jetstream = JetStream::of(&example).await;
    example.kubectl(&["patch", "intg", NAME, "--type=merge", "--patch", r#"{"spec":{"state":"Paused"}}"#]);
    example.status("Paused", |status| status.state.as_deref() == Some("Paused")).await;
    let states: Vec<_> = jetstream.heartbeats().await.into_iter().map(|report| report.state).collect();
    assert_eq!(states, [Some(State::Paused)], "the status says Paused before the workers do");

    let events = registrations(3);
    let (ids, lines): (Vec<String>, Vec<String>) = events.into_iter().map(|(id, _, line)| (id, line)).unzip();
    example.send(&lines).await;
    let held = example.status("the events are held", |status| {
        status.delivery.as_ref().is_some_and(|counts| counts.received == 3 && counts.pending == 9)
    });
    assert_eq!(held.await.delivery.expect("counts").delivered, 0);
    assert!(example.arrived("segment").await.is_empty(), "something was sent in a pause");

    example.kubectl(&["patch", "intg", NAME, "--type=merge", "--patch", r#"{"spec":{"state":"Running"}}"#]);
    example.arrive("segment", &ids).await;
    let settled = example.status("nothing is pending", |status| {
        status.state.as_deref() == Some("Running") && status.delivery.as_ref().is_some_and(|counts| counts.pending == 0)
    });
    assert_eq!(settled.await.delivery.expect("counts").received, 3);
}

#[tokio::test]
async fn kubectl_scale_changes_the_number_of_workers() {
    let example = Example::ready("scaling").await;
    let deployments: Api<Deployment> = Api::namespaced(example.client.clone(), example.namespace);
    for replicas in [2, 0, 1] {
        example.kubectl(&["scale", "intg/signups-to-marketing", &format!("--replicas={replicas}")]);
        let what = format!("{replicas} workers");
        let status = example
            .status(&what, |status| status.replicas == Some(replicas) && status.ready_replicas == Some(replicas));
        let selector = status.await.selector.expect("a selector");
        let deployment = deployments.get(&names::child(NAME)).await.expect("the workers");
        assert_eq!(deployment.spec.and_then(|spec| spec.replicas), Some(replicas));
        until("as many pods are there", PATIENCE, async || {
            let pods = example.kubectl(&["get", "pods", "--selector", &selector, "--output", "name"]);
            let count = pods.lines().count();
            if i32::try_from(count) == Ok(replicas) { Ok(()) } else { Err(pods) }
        })
        .await
        .expect("the selector finds them");
    }
    assert_eq!(example.kubectl(&["get", "intg", NAME, "--output", "jsonpath={.spec.replicas}"]), "1");
}
