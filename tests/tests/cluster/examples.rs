//! Every example of the repository as it stands, applied on a node: each becomes Ready, but for those that wait for a vendor
//! that only exists in the example, and these say so.

use std::path::PathBuf;

use kube::Api;
use ropeway_crds::Integration;
use ropeway_tests::{Cluster, install, process::run, programs, wait::until};

use crate::installed::{PATIENCE, has, installed};

/// Examples whose way in asks an address that nobody has: the reason, and a word of what is said.
const WAITING: [(&str, &str, &str); 1] = [("shipments-to-shop", "PollFailing", "the API does not answer")];

/// One example in a namespace of its own.
struct Applied {
    name: String,
    namespace: String,
    integrations: Api<Integration>,
}

impl Applied {
    async fn new(cluster: &Cluster, folder: PathBuf) -> Self {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let namespace = format!("example-{name}");
        install::namespace(cluster.kubeconfig(), &namespace).expect("a namespace");
        let integrations = Api::namespaced(cluster.client().await.expect("a client"), &namespace);
        let applied = Self { name, namespace, integrations };
        applied.kubectl(cluster, &["apply", "--filename", &folder.display().to_string()]);
        applied
    }

    fn kubectl(&self, cluster: &Cluster, arguments: &[&str]) {
        let mut kubectl = cluster.kubectl().expect("kubectl");
        run(kubectl.args(["--namespace", &self.namespace]).args(arguments)).expect("kubectl does it");
    }

    /// Waits until the Integration says what it should.
    async fn says_so(&self) {
        let waiting = WAITING.iter().find(|(name, ..)| *name == self.name);
        let status = until(&format!("{} says what it should", self.name), PATIENCE, async || {
            let found = self.integrations.get(&self.name).await.map_err(|error| error.to_string())?;
            let status = found.status.unwrap_or_default();
            let (value, reason) = waiting.map_or(("True", "Ready"), |(_, reason, _)| ("False", reason));
            let is_working = has(&status, "WorkersAvailable", "True", "WorkersReporting");
            if is_working && has(&status, "Ready", value, reason) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
        .expect("it does");
        for condition in ["MappingValid", "DestinationsResolved"] {
            assert!(status.conditions.iter().any(|it| it.type_ == condition && it.status == "True"), "{status:#?}");
        }
        let source = status.conditions.iter().find(|it| it.type_ == "SourceReady").expect("it is told of the source");
        match waiting {
            None => assert_eq!(source.status, "True", "{source:?}"),
            Some((_, _, words)) => assert!(source.message.contains(words), "{source:?}"),
        }
        println!("{}: {} {}", self.name, source.reason, source.message);
    }
}

#[tokio::test]
async fn every_example_becomes_ready_or_says_which_vendor_it_waits_for() {
    let cluster = installed().await;
    let mut examples = Vec::new();
    for folder in programs::examples() {
        examples.push(Applied::new(cluster, folder).await);
    }
    assert!(examples.len() >= 15, "only {} examples", examples.len());
    for (name, ..) in WAITING {
        assert!(examples.iter().any(|example| example.name == name), "there is no example {name} any more");
    }
    for example in &examples {
        example.says_so().await;
    }
    for example in &examples {
        // Their pods make room at once; what else goes, goes by itself.
        example.kubectl(cluster, &["delete", "intg", &example.name, "--wait=false"]);
    }
}
