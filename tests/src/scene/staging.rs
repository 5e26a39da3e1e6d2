//! The manifests of a scene, and the plan that the operator makes of them.

use std::collections::{BTreeMap, BTreeSet};

use ropeway_cli::{
    manifest::{Manifests, load},
    stage::{Staged, stage},
};
use ropeway_crds::azure::AzureSettings;
use ropeway_operator::offline::Settings;
use serde_json::{Value, json};

use super::write;
use crate::{Error, receiver::Receiver, scratch::Scratch};

/// Name, key and value of a Secret's entry.
pub(super) type SecretEntry = (String, String, String);

/// What workers see of Secrets and ConfigMaps.
pub(super) struct Mounted {
    pub(super) secrets: Vec<SecretEntry>,
    pub(super) config_maps: Vec<SecretEntry>,
    /// What an administrator decided about Azure.
    pub(super) azure: AzureSettings,
}

/// Puts the members of one object over another's, all the way down.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Writes manifests for a spec, reads them as a user's, and plans them as the operator does.
pub(super) fn staged(
    scratch: &Scratch,
    receiver: &Receiver,
    spec: &Value,
    account: &Value,
    urls: &[(String, String)],
    mounted: &Mounted,
) -> Result<Staged, Error> {
    let mut documents = vec![json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": { "name": "scene" }, "spec": spec,
    })];
    for (kind, field, entries) in
        [("Secret", "stringData", &mounted.secrets), ("ConfigMap", "data", &mounted.config_maps)]
    {
        let names: BTreeSet<&String> = entries.iter().map(|(name, _, _)| name).collect();
        for name in names {
            let of = entries.iter().filter(|(owner, _, _)| owner == name);
            let data: BTreeMap<&String, &String> = of.map(|(_, key, value)| (key, value)).collect();
            documents.push(json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, field: data }));
        }
    }
    let retry = json!({ "maxAttempts": 5, "backoffDelay": "300ms", "backoffMax": "1s" });
    for name in spec["destinations"].as_array().into_iter().flatten().filter_map(|it| it["ref"].as_str()) {
        let url =
            urls.iter().find(|(named, _)| named == name).map_or_else(|| receiver.url(name), |(_, url)| url.clone());
        let mut spec = json!({
            "provider": { "http": { "url": url } },
            "delivery": { "timeout": "5s", "retry": retry },
        });
        // Another provider takes the place of this one.
        let provider = account["provider"].as_object().and_then(|provider| provider.keys().next()).cloned();
        match provider.as_deref() {
            Some("webhook") => spec["provider"] = json!({ "webhook": { "url": url } }),
            Some("http") | None => {}
            Some(_) => spec["provider"] = json!({}),
        }
        merge(&mut spec, account);
        documents.push(json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name }, "spec": spec,
        }));
    }
    let text: String = documents.iter().map(|document| format!("---\n{document}\n")).collect();
    let path = scratch.path().join("manifests.yaml");
    write(&path, text.as_bytes())?;
    let wrong = |faults: Vec<ropeway_cli::manifest::Fault>| {
        Error::Scene(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    let manifests = Manifests { azure: mounted.azure.clone(), ..load(&[path]).map_err(wrong)? };
    let settings = Settings {
        worker_image: "none".into(),
        nats_url: "none".into(),
        allowed_private_ranges: vec!["127.0.0.0/8".into()],
        stream_replicas: 1,
    };
    let mut staged = stage(&manifests, &settings).map_err(wrong)?;
    staged.pop().ok_or_else(|| Error::Scene("no Integration".into()))
}
