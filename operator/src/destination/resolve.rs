//! Stage resolve: what is wrong with a Destination. Pure.

use ropeway_crds::{
    DestinationSpec,
    condition::{ConditionType, Finding, Reason},
};

use super::observe::SecretFacts;
use crate::integration::resolve::missing_key;

/// Everything that is wrong, each as a finding on `Ready`.
pub fn resolve(spec: &DestinationSpec, secrets: &SecretFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for key in spec.secret_keys() {
        let found = missing_key("spec", &key, secrets.get(&key.name).and_then(Option::as_ref));
        findings.extend(found.map(|finding| Finding { kind: ConditionType::Ready, ..finding }));
    }
    if spec.provider.name() == "none" {
        let message = "spec.provider: give exactly one provider";
        findings.push(Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message));
    }
    findings
}
