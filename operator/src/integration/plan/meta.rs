//! Names, labels and owner of an Integration's children.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use ropeway_crds::{Integration, names};

use crate::integration::resolve::Identity;

/// The label with the Integration's UID: what children are found by.
pub const UID_LABEL: &str = "ropeway.dev/uid";

/// The label with the Integration's name, cut to what a label may hold.
pub const NAME_LABEL: &str = "ropeway.dev/integration";

/// The labels that select an Integration's pods. A Deployment's selector never changes.
pub fn selector(identity: &Identity) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "ropeway-worker"), (UID_LABEL, identity.uid.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The same as text, for `kubectl get pods -l` and the scale subresource.
pub fn selector_text(identity: &Identity) -> String {
    let labels = selector(identity);
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The labels of every child.
pub fn labels(identity: &Identity) -> BTreeMap<String, String> {
    let mut labels = selector(identity);
    labels.insert("app.kubernetes.io/managed-by".into(), "ropeway-operator".into());
    labels.insert(NAME_LABEL.into(), label_value(&identity.name));
    labels
}

/// The metadata of a child with this name.
pub fn child(identity: &Identity, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(identity.namespace.clone()),
        labels: Some(labels(identity)),
        owner_references: Some(vec![OwnerReference {
            api_version: Integration::api_version(&()).into_owned(),
            kind: Integration::kind(&()).into_owned(),
            name: identity.name.clone(),
            uid: identity.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

/// A name as a label may hold it: 63 characters. What does not fit is cut and told apart by a hash.
fn label_value(name: &str) -> String {
    const LONGEST: usize = 63;
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let cut: String = name.chars().take(LONGEST - 9).collect();
    format!("{}-{}", cut.trim_end_matches(['-', '.']), names::hash(name.as_bytes(), 8))
}
