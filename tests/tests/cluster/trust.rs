//! What a worker on a node can reach: it has no credentials for the API server, and its Secrets are files and nothing else.

use std::{fs, path::PathBuf};

use ropeway_tests::Cluster;

use crate::installed::Example;

/// The process of a pod, as this machine sees it: the node's processes are its own.
pub fn process_of(pod: &str) -> PathBuf {
    let wanted = format!("POD_NAME={pod}");
    let entries = fs::read_dir("/proc").expect("processes").filter_map(Result::ok).map(|entry| entry.path());
    let found = entries.into_iter().find(|path| {
        let variables = fs::read(path.join("environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    });
    found.unwrap_or_else(|| panic!("there is no process of the pod {pod}"))
}

#[tokio::test]
async fn a_worker_has_no_token_for_the_api_server_and_its_secrets_are_files_alone() {
    let example = Example::ready("confined").await;
    let Cluster::Node(_) = example.cluster else {
        // The processes of somebody else's cluster are not seen from here.
        return;
    };
    let labels = ["--selector", "app.kubernetes.io/name=ropeway-worker"];
    let of_pods = |path: &str| example.kubectl(&[&["get", "pods", "--output", path], &labels[..]].concat());
    assert_eq!(of_pods("jsonpath={.items[*].spec.automountServiceAccountToken}"), "false");
    assert_eq!(of_pods("jsonpath={.items[*].spec.volumes[*].projected}"), "", "a token may be projected");
    let process = process_of(&of_pods("jsonpath={.items[*].metadata.name}"));
    let root = process.join("root");
    assert!(root.join("etc/ropeway/config.json").is_file(), "this is not the file system of a worker");
    for token in ["var/run/secrets", "run/secrets"] {
        assert!(!root.join(token).exists(), "there is a folder {token} in the worker");
    }
    let mounted = root.join("var/run/ropeway/secrets/hubspot-sandbox/token");
    let secret = fs::read_to_string(&mounted).expect("the Secret is mounted");
    assert_eq!(secret, "sandbox-hubspot-private-app-token");
    for place in ["cmdline", "environ"] {
        let text = String::from_utf8_lossy(&fs::read(process.join(place)).expect("it can be read")).into_owned();
        for known in [secret.as_str(), "sandbox-braze", "sandbox-segment", "whsec_"] {
            assert!(!text.contains(known), "{known} stands in {place}");
        }
    }
    let configuration = fs::read_to_string(root.join("etc/ropeway/config.json")).expect("it can be read");
    assert!(!configuration.contains("sandbox-hubspot-private-app-token") && !configuration.contains("whsec_"));
}
