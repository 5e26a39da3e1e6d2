//! Stage observe: a Destination comes in, the names of the keys of the Secrets and ConfigMaps that it names go out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use ropeway_crds::{DestinationSpec, reference::destination_settings};

use crate::{
    integration::observe::secret_keys,
    io::kubernetes::{KubeError, Kubernetes},
};

/// What is known of what a Destination names; `None` for what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The keys of each Secret.
    pub secrets: BTreeMap<String, Option<BTreeSet<String>>>,
    /// The keys of each ConfigMap.
    pub config_maps: BTreeMap<String, Option<BTreeSet<String>>>,
}

/// Reads which keys there are. Values are dropped.
///
/// # Errors
/// If a read fails; a missing object is no error.
pub async fn observe(kubernetes: &Kubernetes, namespace: &str, spec: &DestinationSpec) -> Result<Facts, KubeError> {
    let names: BTreeSet<String> = spec.secret_keys().into_iter().map(|key| key.name).collect();
    let maps: BTreeSet<String> = destination_settings(spec).into_iter().map(|(_, key)| key.name).collect();
    let mut facts = Facts::default();
    for name in names {
        let keys = secret_keys(kubernetes, namespace, &name).await?;
        facts.secrets.insert(name, keys);
    }
    for name in maps {
        let found = kubernetes.get::<ConfigMap>(namespace, &name).await?;
        facts.config_maps.insert(name, found.map(|found| found.data.unwrap_or_default().into_keys().collect()));
    }
    Ok(facts)
}
