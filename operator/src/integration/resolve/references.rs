//! Secrets and the service account that are named.

use std::collections::{BTreeMap, BTreeSet};

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    secret_ref::SecretKeyRef,
};

use crate::integration::observe::{AccountFact, Observed, source_keys};

/// The Secret keys that workers need; those that are missing are findings.
pub(super) fn secrets(observed: &Observed, findings: &mut Vec<Finding>) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: Vec<(String, SecretKeyRef)> = Vec::new();
    let source = source_keys(&observed.integration.spec).into_iter();
    wanted.extend(source.map(|(place, key)| (place.to_owned(), key)));
    for (name, destination) in &observed.destinations {
        let keys = destination.iter().flat_map(|account| account.spec.secret_keys());
        wanted.extend(keys.map(|key| (format!("Destination {name}"), key)));
    }
    let mut secrets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (place, key) in wanted {
        findings.extend(missing_key(&place, &key, observed.secrets.get(&key.name).and_then(Option::as_ref)));
        secrets.entry(key.name).or_default().insert(key.key);
    }
    secrets
}

/// What is wrong with a reference to a key of a Secret of which these keys are there.
pub fn missing_key(place: &str, wanted: &SecretKeyRef, keys: Option<&BTreeSet<String>>) -> Option<Finding> {
    let SecretKeyRef { name, key } = wanted;
    let (reason, message) = match keys {
        None => (Reason::SecretNotFound, format!("{place}: there is no Secret {name:?} in this namespace; create it")),
        Some(keys) if !keys.contains(key) => (
            Reason::SecretKeyNotFound,
            format!("{place}: the Secret {name:?} has no key {key:?}; add it or correct the reference"),
        ),
        Some(_) => return None,
    };
    Some(Finding::fails(ConditionType::DestinationsResolved, reason, message))
}

/// Whether the service account may be used.
pub(super) fn check_account(observed: &Observed, findings: &mut Vec<Finding>) {
    let problem = match observed.service_account {
        None | Some(AccountFact::Allowed) => return,
        Some(AccountFact::Missing) => "does not exist; create it with",
        Some(AccountFact::NotAllowed) => "may not be used by workers; its owner allows that by",
    };
    let message = format!(
        "spec.template.serviceAccountName: the service account {problem} the annotation ropeway.dev/workers: allowed"
    );
    findings.push(Finding::fails(ConditionType::WorkersAvailable, Reason::ServiceAccountNotAllowed, message));
}
