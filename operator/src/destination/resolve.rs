//! Stage resolve: what is wrong with a Destination. Pure.

use ropeway_crds::{
    DestinationSpec,
    condition::{ConditionType, Finding, Reason},
    reference::{destination_identities, destination_secret_field, destination_settings},
};

use super::observe::Facts;
use crate::integration::{
    observe::SecretFact,
    resolve::{missing_setting, not_allowed, unusable, unusable_key, unusable_token},
};

/// Everything that is wrong, each as a finding on `Ready`.
pub fn resolve(spec: &DestinationSpec, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for key in spec.secret_keys() {
        let field = destination_secret_field(spec, &key).unwrap_or_else(|| "spec".into());
        findings.extend(unusable_key(&field, &key, facts.secrets.get(&key.name).unwrap_or(&SecretFact::Missing)));
    }
    findings.extend(unusable(spec, &facts.azure));
    let identities = destination_identities(spec);
    findings.extend(identities.iter().filter_map(|(field, identity)| not_allowed(field, identity, &facts.azure)));
    for (field, key) in destination_settings(spec) {
        let found = facts.config_maps.get(&key.name).and_then(Option::as_ref);
        findings.extend(missing_setting(&field, &key, found.map(|keys| keys.contains(&key.key))));
    }
    if let Some((name, holder)) = &facts.holder {
        findings.extend(unusable_token("spec.auth", name, holder.as_ref()));
    }
    if spec.provider.name() == "none" {
        let message = "spec.provider: give exactly one provider";
        findings.push(Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message));
    }
    findings.into_iter().map(|finding| Finding { kind: ConditionType::Ready, ..finding }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_config_map_is_named_with_its_field() {
        let spec: DestinationSpec = serde_json::from_value(json!({
            "provider": { "http": { "url": "https://a.example" } },
            "auth": { "basic": { "username": { "valueFrom": { "configMapKeyRef": { "name": "crm", "key": "user" } } } } },
        }))
        .unwrap();
        let told = |keys: Option<&[&str]>| {
            let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            let facts = Facts { config_maps: [("crm".to_owned(), keys)].into(), ..Facts::default() };
            resolve(&spec, &facts).into_iter().map(|finding| (finding.reason, finding.message)).collect::<Vec<_>>()
        };
        assert_eq!(told(Some(&["user"])), []);
        let field = "spec.auth.basic.username.valueFrom.configMapKeyRef: ";
        for (keys, words) in [(None, "there is no ConfigMap \"crm\""), (Some(&["other"][..]), "has no key \"user\"")] {
            let found = told(keys);
            assert_eq!(found[0].0, Reason::ConfigMapNotFound);
            assert!(found[0].1.starts_with(field) && found[0].1.contains(words), "{found:?}");
        }
    }
}
