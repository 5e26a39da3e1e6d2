//! Our kinds in the API server: waited for, kept as they were written, scaled, and able to hold every example.

use std::{fs, path::Path};

use k8s_openapi::api::apps::v1::Deployment;
use ropeway_crds::{Integration, names};
use ropeway_tests::{
    ApiServer,
    process::run,
    programs::repository,
    scene::{http_client, webhook_to},
    scratch::Scratch,
    wait::until,
};
use serde_json::Value;

use crate::place::{Operator, PATIENCE, Place, apply_crds, crds, shared_nats, start_operator};

/// What /readyz answers: status and text.
async fn readyz(admin: &str) -> Result<(u16, String), String> {
    let answer = http_client().get(format!("{admin}/readyz")).send().await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.map_err(|error| error.to_string())?))
}

#[tokio::test]
async fn an_operator_without_crds_says_which_are_missing_and_starts_when_they_appear() {
    let api = ApiServer::start().await.expect("the API server starts");
    let scratch = Scratch::new("no-crds").expect("a folder can be made");
    let mut operator = start_operator(&api, "default", &shared_nats().await.url(), None, &scratch, &[], &[]);
    let Operator { process, admin } = &mut operator;
    let answers = async |wanted: u16| {
        let (status, text) = readyz(admin).await?;
        let is_told = status == wanted && !text.contains("starting");
        if is_told { Ok(text) } else { Err(format!("{status} {text}")) }
    };
    let text = process.until("not ready, with reasons", PATIENCE, async || answers(503).await).await.expect("503");
    for kind in ["integrations.ropeway.dev", "destinations.ropeway.dev"] {
        assert!(text.contains(kind), "{kind} is not named in {text:?}");
    }
    apply_crds(&api).expect("the CRDs are accepted");
    process.until("ready", PATIENCE, async || answers(200).await).await.expect("200");
}

/// Where `found` lacks something that is in `written`, or has it otherwise.
fn lost(written: &Value, found: &Value, place: &str, all: &mut Vec<String>) {
    match (written, found) {
        (Value::Object(members), Value::Object(kept)) => {
            for (name, value) in members {
                lost(value, kept.get(name).unwrap_or(&Value::Null), &format!("{place}.{name}"), all);
            }
        }
        (Value::Array(items), Value::Array(kept)) if items.len() == kept.len() => {
            for (index, (value, found)) in items.iter().zip(kept).enumerate() {
                lost(value, found, &format!("{place}[{index}]"), all);
            }
        }
        // 100.0 and 100 are one number.
        _ if written == found || (written.is_number() && written.as_f64() == found.as_f64()) => {}
        _ => all.push(format!("{place}: {written} became {found}")),
    }
}

#[tokio::test]
async fn the_crds_are_kept_as_they_are_written_and_applying_them_again_changes_nothing() {
    let place = Place::new("read-back", shared_nats().await).await;
    for kind in ["integrations", "destinations"] {
        let file = crds().join(format!("{kind}.yaml"));
        let get = || -> Value {
            let name = format!("{kind}.ropeway.dev");
            let text = run(place.kubectl().args(["get", "crd", &name, "--show-managed-fields", "-o", "json"]));
            serde_json::from_str(&text.expect("the CRD is there")).expect("kubectl prints JSON")
        };
        let before = get();
        let text = fs::read_to_string(&file).expect("the CRD can be read");
        let written: Value = serde_saphyr::from_str(&text).expect("the CRD is YAML");
        let mut all = Vec::new();
        lost(&written, &before, kind, &mut all);
        assert!(all.is_empty(), "the API server keeps something else than was applied: {all:#?}");
        let dry = ["apply", "--server-side", "--dry-run=server", "--show-managed-fields", "-o", "json", "-f"];
        let again = run(place.kubectl().args(dry).arg(&file)).expect("the CRD is accepted again");
        let again: Value = serde_json::from_str(&again).expect("kubectl prints JSON");
        assert_eq!(again["spec"], before["spec"]);
        assert_eq!(again["metadata"]["generation"], before["metadata"]["generation"]);
        assert_eq!(again["metadata"]["managedFields"], before["metadata"]["managedFields"]);
    }
}

#[tokio::test]
async fn workers_are_scaled_as_those_of_a_deployment_are() {
    let place = Place::new("scaled", shared_nats().await).await;
    let _operator = place.operator(None);
    place.ask_for_workers("signups", webhook_to(&["crm"])).await;
    run(place.kubectl().args(["scale", "intg/signups", "--replicas=3"])).expect("kubectl scales an Integration");
    let integration = place.all::<Integration>().get("signups").await.expect("the Integration is there");
    assert_eq!(integration.spec.replicas, Some(3));
    let deployments = place.all::<Deployment>();
    until("the Deployment has three workers", PATIENCE, async || {
        let found = deployments.get(&names::child("signups")).await.map_err(|error| error.to_string())?;
        let replicas = found.spec.and_then(|spec| spec.replicas);
        if replicas == Some(3) { Ok(()) } else { Err(format!("{replicas:?}")) }
    })
    .await
    .expect("scaled");
    until("the scale says what is there", PATIENCE, async || {
        let mut get = place.kubectl();
        let text = run(get.args(["get", "intg", "signups", "--subresource=scale", "-o", "json"]));
        let scale: Value = serde_json::from_str(&text.map_err(|error| error.to_string())?).unwrap_or_default();
        let is_there = scale["spec"]["replicas"] == 3 && scale["status"]["replicas"] == 3;
        let selects = scale["status"]["selector"].as_str().is_some_and(|selector| selector.contains("ropeway.dev/"));
        if is_there && selects { Ok(()) } else { Err(scale.to_string()) }
    })
    .await
    .expect("the scale subresource follows");
}

/// The manifests below a folder; what a demo needs besides is none.
fn manifests(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the examples can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path).expect("an example can be read");
            found.extend(text.contains("\nkind: ").then_some(path));
        }
    }
}

#[tokio::test]
async fn every_example_is_accepted() {
    let place = Place::new("examples", shared_nats().await).await;
    let mut files = Vec::new();
    manifests(&repository().join("examples"), &mut files);
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        run(place.kubectl().args(["apply", "--dry-run=server", "-f"]).arg(&file)).expect("the example is accepted");
    }
}
