//! Stage observe: a Destination comes in, the names of the keys of the Secrets that it names go out.

use std::collections::{BTreeMap, BTreeSet};

use ropeway_crds::DestinationSpec;

use crate::{
    integration::observe::secret_keys,
    io::kubernetes::{KubeError, Kubernetes},
};

/// The keys of each Secret that is named; `None` for one that is missing.
pub type SecretFacts = BTreeMap<String, Option<BTreeSet<String>>>;

/// Reads which keys there are. Values are dropped.
///
/// # Errors
/// If a read fails; a missing Secret is no error.
pub async fn observe(
    kubernetes: &Kubernetes,
    namespace: &str,
    spec: &DestinationSpec,
) -> Result<SecretFacts, KubeError> {
    let names: BTreeSet<String> = spec.secret_keys().into_iter().map(|key| key.name).collect();
    let mut facts = SecretFacts::new();
    for name in names {
        let keys = secret_keys(kubernetes, namespace, &name).await?;
        facts.insert(name, keys);
    }
    Ok(facts)
}
