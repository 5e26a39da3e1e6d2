//! The end of an Integration: what its deletion policy says, and nothing else.

use ropeway_crds::names;
use ropeway_tests::{Cluster, install, process::run};

use crate::{
    installed::{Example, NAME, registrations},
    streams::JetStream,
};

/// The children of the Integration that the API server knows.
fn children(example: &Example) -> String {
    let kinds = "deployments,replicasets,pods,services,configmaps,secrets,endpointslices,integrations";
    let labels = "app.kubernetes.io/name=ropeway-worker";
    example.kubectl(&["get", kinds, "--selector", labels, "--output", "name", "--ignore-not-found"])
}

/// `kubectl delete` returns when the object, and with it every finalizer, is gone.
pub fn delete(example: &Example) {
    example.kubectl(&["delete", "intg", NAME, "--timeout=60s"]);
    assert_eq!(example.kubectl(&["get", "intg", "--output", "name"]), "");
    // Pods take their time to stop.
    let labels = "app.kubernetes.io/name=ropeway-worker";
    example.kubectl(&["wait", "--for=delete", "pods", "--selector", labels, "--timeout=60s"]);
}

async fn at_work(namespace: &'static str) -> (Example, JetStream) {
    let example = Example::ready(namespace).await;
    let jetstream = JetStream::of(&example).await;
    let lines: Vec<String> = registrations(3).into_iter().map(|(.., line)| line).collect();
    example.send(&lines).await;
    let delivered = example.status("all is delivered", |status| {
        status.delivery.as_ref().is_some_and(|counts| counts.received == 3 && counts.pending == 0)
    });
    delivered.await;
    (example, jetstream)
}

#[tokio::test]
async fn a_deletion_with_the_policy_delete_leaves_nothing_behind() {
    let (example, jetstream) = at_work("deleting").await;
    let before = children(&example);
    for kind in ["deployment.apps", "replicaset.apps", "pod", "service", "configmap"] {
        assert!(before.contains(&format!("{kind}/{}", names::child(NAME))), "no {kind} before:\n{before}");
    }
    assert!(jetstream.holdings().await.len() > 8, "{:?}", jetstream.holdings().await);
    assert!(!jetstream.keys().await.is_empty());

    delete(&example);
    assert_eq!(children(&example), "");
    assert_eq!(jetstream.holdings().await, Vec::<String>::new());
    assert_eq!(jetstream.keys().await, Vec::<String>::new());
    // What the user made is the user's.
    assert_eq!(example.kubectl(&["get", "dest", "--output", "name"]).lines().count(), 3);
    assert_eq!(example.kubectl(&["get", "secrets", "--output", "name"]).lines().count(), 4);
}

#[tokio::test]
async fn a_deletion_with_the_policy_retain_keeps_the_streams() {
    let (example, jetstream) = at_work("retaining").await;
    example.kubectl(&["patch", "intg", NAME, "--type=merge", "--patch", r#"{"spec":{"deletionPolicy":"Retain"}}"#]);
    let streams = async || {
        let holdings = jetstream.holdings().await;
        holdings.into_iter().filter(|name| !name.contains('/')).collect::<Vec<_>>()
    };
    let before = streams().await;
    delete(&example);
    assert_eq!(children(&example), "");
    assert_eq!(streams().await, before);
    assert!(before.iter().any(|name| name.contains("EVENTS")), "{before:?}");
}

#[tokio::test]
async fn a_namespace_with_an_integration_in_it_can_be_deleted() {
    let (example, jetstream) = at_work("terminating").await;
    run(example.cluster.kubectl().expect("kubectl").args(["delete", "namespace", example.namespace, "--timeout=90s"]))
        .expect("the namespace goes");
    assert_eq!(jetstream.holdings().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_operator_is_never_refused_a_call_and_may_do_nothing_beyond_its_role() {
    let (example, _) = at_work("permitted").await;
    delete(&example);
    let account = format!("--as=system:serviceaccount:{}:ropeway-operator", install::NAMESPACE);
    let may = |verb: &str, what: &str| {
        let mut kubectl = example.cluster.kubectl().expect("kubectl");
        kubectl.args(["auth", "can-i", verb, what, "--namespace", example.namespace, &account]);
        run(&mut kubectl).is_ok()
    };
    assert!(may("create", "deployments.apps"), "the account has another name");
    for (verb, what) in [
        ("create", "pods"),
        ("create", "pods/exec"),
        ("update", "secrets"),
        ("create", "secrets"),
        ("delete", "secrets"),
        ("create", "integrations.ropeway.dev"),
        ("delete", "integrations.ropeway.dev"),
        ("create", "serviceaccounts/token"),
        ("escalate", "clusterroles.rbac.authorization.k8s.io"),
        ("bind", "clusterroles.rbac.authorization.k8s.io"),
        ("impersonate", "users"),
    ] {
        assert!(!may(verb, what), "the operator may {verb} {what}");
    }
    assert_eq!(refusals(example.cluster), Vec::<String>::new());
}

/// What the operator logged about calls that it may not make.
pub fn refusals(cluster: &Cluster) -> Vec<String> {
    let mut kubectl = cluster.kubectl().expect("kubectl");
    kubectl.args(["--namespace", install::NAMESPACE, "logs", "deployment/ropeway-operator"]);
    let log = run(&mut kubectl).expect("its log");
    // In a namespace that goes nothing may be made any more, whoever asks.
    let refused = log.lines().filter(|line| {
        line.to_ascii_lowercase().contains("forbidden") && !line.contains("because it is being terminated")
    });
    refused.map(str::to_owned).collect()
}
