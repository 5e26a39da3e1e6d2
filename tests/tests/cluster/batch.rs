//! A batch source on a node: the CronJob is there, a Job made of it by hand reads a file on a claim, its rows arrive, and the
//! status says what became of them.

use kube::Api;
use ropeway_crds::{Integration, status::RunStatus};
use ropeway_tests::{process::run, scratch::Scratch, wait::until};
use serde_json::json;

use crate::installed::{Example, PATIENCE};

const ROWS: usize = 300;

/// A volume on the node, a claim on it, a Destination at the sandbox, and an Integration that reads the claim.
fn manifests(folder: &str) -> serde_json::Value {
    let storage = || json!({ "storage": "1Mi" });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "ropeway-exports" },
        "spec": {
            "capacity": storage(), "accessModes": ["ReadOnlyMany"], "storageClassName": "",
            "hostPath": { "path": folder, "type": "Directory" }, "persistentVolumeReclaimPolicy": "Retain",
        },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "exports" },
        "spec": {
            "accessModes": ["ReadOnlyMany"], "storageClassName": "", "volumeName": "ropeway-exports",
            "resources": { "requests": storage() },
        },
    });
    let destination = json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "crm" },
        "spec": {
            "provider": { "hubspot": {
                "object": "contacts", "idProperty": "registration_id", "url": "http://marketing-sandbox:8080/hubspot",
            } },
            "auth": { "bearer": { "token": { "valueFrom": { "secretKeyRef": { "name": "hubspot-sandbox", "key": "token" } } } } },
        },
    });
    let integration = json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": { "name": "accounts" },
        "spec": {
            "source": { "batch": {
                "schedule": "0 2 * * *", "format": { "csv": {} },
                "from": { "file": { "claimName": "exports", "path": "accounts.csv" } },
            } },
            // Where the sandbox looks for an id in what hubspot gets.
            "destinations": [{ "name": "crm", "ref": "crm", "transform": {
                "expression": "{ \"properties\": { \"registration_id\": .id } }",
            } }],
        },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [volume, claim, destination, integration] })
}

async fn last_run(integrations: &Api<Integration>, outcome: &str) -> RunStatus {
    until("the run is told", PATIENCE, async || {
        let found = integrations.get("accounts").await.map_err(|error| error.to_string())?;
        let run = found.status.and_then(|status| status.source).and_then(|source| source.last_run).unwrap_or_default();
        if run.outcome == outcome { Ok(run) } else { Err(format!("{run:?}")) }
    })
    .await
    .expect("it is")
}

#[tokio::test]
async fn a_job_made_by_hand_reads_a_file_and_its_rows_are_delivered() {
    let example = Example::ready("batching").await;
    let scratch = Scratch::new("exports").expect("a folder");
    let rows = (0..ROWS).map(|row| format!("a{row},x\n"));
    let file: String = ["id,name\n".to_owned()].into_iter().chain(rows).chain(["broken\n".to_owned()]).collect();
    std::fs::write(scratch.path().join("accounts.csv"), file).expect("a file can be written");
    let path = scratch.path().join("manifests.json");
    std::fs::write(&path, manifests(&scratch.path().display().to_string()).to_string()).expect("a file can be written");
    example.kubectl(&["apply", "--filename", &path.display().to_string()]);
    example.kubectl(&["wait", "--for=condition=Ready", "intg/accounts", "--timeout=90s"]);
    let columns = example.kubectl(&[
        "get",
        "cronjob",
        "ropeway-accounts",
        "--output",
        "jsonpath={.spec.schedule} {.spec.suspend}",
    ]);
    assert_eq!(columns, "0 2 * * * false");

    for (name, outcome, rows) in [("now", "Complete", 301), ("again", "Unchanged", 0)] {
        example.kubectl(&["create", "job", "--from=cronjob/ropeway-accounts", name]);
        example.kubectl(&["wait", "--for=condition=Complete", &format!("job/{name}"), "--timeout=90s"]);
        let told = last_run(&example.integrations, outcome).await;
        assert_eq!(told.rows, Some(rows), "{told:?}");
        println!("{told:?}\n{}", example.kubectl(&["logs", &format!("job/{name}")]));
    }
    let ids: Vec<String> = (0..ROWS).map(|row| format!("a{row}")).collect();
    example.arrive("hubspot", &ids).await;
    // The pods of Jobs are no workers.
    let selector = example.kubectl(&["get", "intg", "accounts", "--output", "jsonpath={.status.selector}"]);
    let pods = example.kubectl(&["get", "pods", "--selector", &selector, "--output", "name"]);
    assert_eq!(pods.lines().count(), 1, "{pods}");
    example.kubectl(&["delete", "intg", "accounts", "--timeout=90s"]);
    let left = example.kubectl(&["get", "cronjobs,jobs", "--output", "name"]);
    assert!(left.is_empty(), "{left}");
    let mut kubectl = example.cluster.kubectl().expect("kubectl");
    example.kubectl(&["delete", "pvc", "exports", "--timeout=60s"]);
    run(kubectl.args(["delete", "pv", "ropeway-exports", "--timeout=60s"])).expect("the volume goes");
}
