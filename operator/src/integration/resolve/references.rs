//! Secrets, ConfigMaps and the service account that are named.

use std::collections::{BTreeMap, BTreeSet};

use ropeway_auth::brokered::{ACCESS_TOKEN, EXPIRES_AT};
use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    names::token_secret,
    reference::{destination_secret_field, destination_settings, source_secret_field, source_settings},
    secret_ref::{ConfigMapKeyRef, SecretKeyRef},
};

use super::tokens;
use crate::integration::observe::{Account, AccountFact, Observed, SecretFact, USE_LABEL, source_keys};

/// The Secret keys that workers need; those that are missing are findings. What may not be used is withheld from workers
/// and told as well.
pub(super) fn secrets(
    observed: &Observed,
    findings: &mut Vec<Finding>,
    withheld: &mut Vec<Finding>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: Vec<(String, SecretKeyRef)> = Vec::new();
    let spec = &observed.integration.spec;
    for (place, key) in source_keys(spec) {
        wanted.push((source_secret_field(spec, &key).unwrap_or_else(|| place.to_owned()), key));
    }
    for (name, account) in &observed.destinations {
        let Some(Account { spec, .. }) = account else { continue };
        for key in spec.worker_secret_keys() {
            let field = destination_secret_field(spec, &key).unwrap_or_else(|| "spec".into());
            wanted.push((format!("Destination {name}: {field}"), key));
        }
    }
    let mut secrets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Not there until there is consent, and written by the operator alone.
    for name in tokens::holders(observed) {
        secrets.insert(token_secret(&name), [ACCESS_TOKEN, EXPIRES_AT].map(str::to_owned).into());
    }
    for (place, key) in wanted {
        let fact = observed.secrets.get(&key.name).unwrap_or(&SecretFact::Missing);
        let problem = unusable_key(&place, &key, fact);
        if *fact == SecretFact::NotAllowed {
            withheld.extend(problem);
        } else {
            findings.extend(problem);
            secrets.entry(key.name).or_default().insert(key.key);
        }
    }
    secrets
}

/// What is wrong with a reference to a key of a Secret.
pub fn unusable_key(place: &str, wanted: &SecretKeyRef, fact: &SecretFact) -> Option<Finding> {
    let SecretKeyRef { name, key } = wanted;
    let (reason, message) = match fact {
        SecretFact::Missing => {
            (Reason::SecretNotFound, format!("{place}: there is no Secret {name:?} in this namespace; create it"))
        }
        SecretFact::NotAllowed => (
            Reason::SecretNotAllowed,
            format!("{place}: the Secret {name:?} may not be used; label it {USE_LABEL}: allowed, or name another one"),
        ),
        SecretFact::Keys(keys) if !keys.contains(key) => (
            Reason::SecretKeyNotFound,
            format!("{place}: the Secret {name:?} has no key {key:?}; add it or correct the reference"),
        ),
        SecretFact::Keys(_) => return None,
    };
    Some(Finding::fails(ConditionType::DestinationsResolved, reason, message))
}

/// The ConfigMap keys that workers need; those that are missing are findings.
pub(super) fn config_maps(observed: &Observed, findings: &mut Vec<Finding>) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted = source_settings(&observed.integration.spec);
    for (name, account) in &observed.destinations {
        let settings = account.iter().flat_map(|account| destination_settings(&account.spec));
        wanted.extend(settings.map(|(field, key)| (format!("Destination {name}: {field}"), key)));
    }
    let mut config_maps: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (place, key) in wanted {
        let found = observed.config_maps.get(&key.name).and_then(Option::as_ref);
        findings.extend(missing_setting(&place, &key, found.map(|entries| entries.contains_key(&key.key))));
        config_maps.entry(key.name).or_default().insert(key.key);
    }
    config_maps
}

/// What is wrong with a reference to a key of a ConfigMap. `has_key` says whether it has the key, if it exists.
pub fn missing_setting(place: &str, wanted: &ConfigMapKeyRef, has_key: Option<bool>) -> Option<Finding> {
    let ConfigMapKeyRef { name, key } = wanted;
    let message = match has_key {
        Some(true) => return None,
        None => format!("{place}: there is no ConfigMap {name:?} in this namespace; create it"),
        Some(false) => format!("{place}: the ConfigMap {name:?} has no key {key:?}; add it or correct the reference"),
    };
    Some(Finding::fails(ConditionType::DestinationsResolved, Reason::ConfigMapNotFound, message))
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
