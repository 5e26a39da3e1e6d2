//! An operator that looks after some namespaces only, on a node of its own: the shared one has an operator for all.

use ropeway_tests::{Cluster, Node, install, process::run};

use crate::{
    deletion::{delete, refusals},
    installed::{Example, NAME, install, registrations},
    streams::JetStream,
};

#[tokio::test]
async fn an_operator_of_one_namespace_needs_no_right_beyond_it() {
    if let Cluster::Existing { .. } = Cluster::shared().await.expect("a cluster") {
        // Somebody else's cluster may have an operator for all namespaces already.
        return;
    }
    let node = Node::start().await.expect("a node");
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::Node(Box::new(node))));
    for namespace in ["watched", "unwatched"] {
        install::namespace(cluster.kubeconfig(), namespace).expect("a namespace");
    }
    install(cluster, &["watchNamespaces={watched}", "watchSecrets=false"]);

    let example = Example::ready_on(cluster, "watched").await;
    let events = registrations(3);
    let (ids, lines): (Vec<String>, Vec<String>) = events.into_iter().map(|(id, _, line)| (id, line)).unzip();
    example.send(&lines).await;
    example.arrive("segment", &ids).await;
    let jetstream = JetStream::of(&example).await;
    delete(&example);
    assert_eq!(jetstream.holdings().await, Vec::<String>::new());
    assert_eq!(refusals(cluster), Vec::<String>::new());

    let account = format!("--as=system:serviceaccount:{}:ropeway-operator", install::NAMESPACE);
    let may = |verb: &str, what: &str, place: &[&str]| {
        run(cluster.kubectl().expect("kubectl").args(["auth", "can-i", verb, what, &account]).args(place)).is_ok()
    };
    assert!(may("get", "secrets", &["--namespace", "watched"]));
    assert!(!may("list", "secrets", &["--namespace", "watched"]));
    for (verb, what) in [("get", "secrets"), ("list", "integrations.ropeway.dev"), ("patch", "deployments.apps")] {
        assert!(!may(verb, what, &["--namespace", "unwatched"]), "{verb} {what} in another namespace");
        assert!(!may(verb, what, &["--all-namespaces"]), "{verb} {what} everywhere");
    }
    assert_eq!(example.kubectl(&["get", "intg", NAME, "--ignore-not-found"]), "");
}
