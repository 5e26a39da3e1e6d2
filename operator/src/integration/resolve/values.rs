//! Values that a schema can't judge, or that were never checked by one: `ropeway dev` reads files.

use std::collections::BTreeSet;

use ropeway_crds::{
    DestinationSpec,
    condition::{ConditionType, Finding, Reason},
    delivery::DeliveryPolicy,
    duration::ByteSize,
};

use super::LARGEST_BODY;
use crate::integration::observe::Observed;

/// The smallest events stream: a few of the largest events.
const SMALLEST_STREAM: u64 = 1 << 20;

/// The default of `maxBodyBytes`, which is also the most.
pub(super) const fn largest_body() -> ByteSize {
    ByteSize::kibibytes(LARGEST_BODY >> 10)
}

mod source;

/// Checks what stands in the Integration alone.
pub(super) fn check(observed: &Observed, findings: &mut Vec<Finding>) {
    let spec = &observed.integration.spec;
    let mut refuse = |kind, message: String| findings.push(Finding::fails(kind, Reason::InvalidSpec, message));
    let mut names = BTreeSet::new();
    for destination in &spec.destinations {
        if !names.insert(destination.name.as_str()) {
            let message = format!("spec.destinations: the name {:?} is given twice; rename one", destination.name);
            refuse(ConditionType::DestinationsResolved, message);
        }
    }
    if spec.destinations.is_empty() {
        refuse(ConditionType::DestinationsResolved, "spec.destinations: name at least one destination".into());
    }
    let size = spec.storage.as_ref().and_then(|storage| storage.max_bytes);
    if size.is_some_and(|size| size.bytes() < SMALLEST_STREAM || i64::try_from(size.bytes()).is_err()) {
        refuse(ConditionType::SourceReady, "spec.storage.maxBytes: give at least 1Mi".into());
    }
    let retention = spec.dead_letter.as_ref().and_then(|dead_letter| dead_letter.retention);
    if retention.is_some_and(|retention| retention.std().as_secs() < 60) {
        refuse(ConditionType::SourceReady, "spec.deadLetter.retention: give at least 1m".into());
    }
    for message in source::faults(spec) {
        refuse(ConditionType::SourceReady, message);
    }
}

/// Checks what a Destination says of its limits: `ropeway dev` reads files that no API server has judged.
pub(super) fn check_account(name: &str, spec: &DestinationSpec, findings: &mut Vec<Finding>) {
    let mut refuse = |message: String| {
        let message = format!("Destination {name}: {message}");
        findings.push(Finding::fails(ConditionType::DestinationsResolved, Reason::InvalidSpec, message));
    };
    if spec.batching.as_ref().and_then(|batching| batching.max_bytes).is_some_and(|size| size.bytes() == 0) {
        refuse("spec.batching.maxBytes: give at least one byte".into());
    }
    let signing = spec.provider.webhook.as_ref().map(|webhook| webhook.signing.keys.len());
    if signing == Some(0) {
        refuse("spec.provider.webhook.signing.keys: give at least one key".into());
    }
}

/// Checks a policy that was put together from an Integration and a Destination.
pub(super) fn check_policy(destination: &str, policy: &DeliveryPolicy, findings: &mut Vec<Finding>) {
    let place = format!("spec.destinations[{destination}].delivery");
    let mut refuse = |message: String| {
        findings.push(Finding::fails(ConditionType::DestinationsResolved, Reason::InvalidSpec, message));
    };
    if policy.timeout.std().is_zero() || policy.timeout.std().as_secs() > 120 {
        refuse(format!("{place}.timeout: give more than 0s and at most 2m"));
    }
    if policy.backoff_delay > policy.backoff_max {
        refuse(format!(
            "{place}.retry: together with the Destination's, backoffDelay {} is longer than backoffMax {}",
            policy.backoff_delay, policy.backoff_max
        ));
    }
    if policy.max_attempts == 0 || policy.jitter_percent > 100 {
        refuse(format!("{place}.retry: give at least one attempt and at most 100 percent of jitter"));
    }
}
