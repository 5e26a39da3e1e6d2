//! Stage observe: a Destination comes in, the names of the keys of the Secrets and ConfigMaps that it names go out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use ropeway_crds::{Destination, DestinationSpec, azure::AzureSettings, reference::destination_settings};

use crate::{
    args::Trust,
    integration::observe::{Account, SecretFact, secret_fact},
    io::kubernetes::{KubeError, Kubernetes},
};

/// What is known of what a Destination names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What is known of each Secret.
    pub secrets: BTreeMap<String, SecretFact>,
    /// The keys of each ConfigMap; `None` for one that is missing.
    pub config_maps: BTreeMap<String, Option<BTreeSet<String>>>,
    /// What the administrator decided about Azure in its namespace.
    pub azure: AzureSettings,
    /// The Destination whose access token it uses, by name; `None` for one that is missing.
    pub holder: Option<(String, Option<Account>)>,
}

/// Reads which keys there are. Values are dropped.
///
/// # Errors
/// If a read fails; a missing object is no error.
pub async fn observe(
    kubernetes: &Kubernetes,
    namespace: &str,
    spec: &DestinationSpec,
    trust: Trust,
) -> Result<Facts, KubeError> {
    let names: BTreeSet<String> = spec.secret_keys().into_iter().map(|key| key.name).collect();
    let maps: BTreeSet<String> = destination_settings(spec).into_iter().map(|(_, key)| key.name).collect();
    let holder = match spec.auth.as_ref().and_then(|auth| auth.token_holder(None)) {
        Some(name) => {
            let found = kubernetes.get::<Destination>(namespace, name).await?;
            Some((name.to_owned(), found.map(Account::of)))
        }
        None => None,
    };
    let mut facts = Facts { azure: trust.azure, holder, ..Facts::default() };
    for name in names {
        let fact = secret_fact(kubernetes, namespace, &name, trust.secrets).await?;
        facts.secrets.insert(name, fact);
    }
    for name in maps {
        let found = kubernetes.get::<ConfigMap>(namespace, &name).await?;
        facts.config_maps.insert(name, found.map(|found| found.data.unwrap_or_default().into_keys().collect()));
    }
    Ok(facts)
}
