//! What workers are told of each lane.

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    delivery::DeliveryPolicy,
    integration::IntegrationDestination,
    limits::{BatchPolicy, BreakerPolicy, RatePolicy},
    names::ShortUid,
    worker_config::LaneConfig,
};

use super::{expressions, tokens, values};
use crate::integration::observe::{Account, Observed};

/// One for each destination; what is wrong is a finding.
pub(super) fn configs(
    observed: &Observed,
    programs: &expressions::Programs,
    findings: &mut Vec<Finding>,
) -> Vec<LaneConfig> {
    let mut lanes = Vec::new();
    for destination in &observed.integration.spec.destinations {
        let name = &destination.name;
        let Some(account) = observed.destinations.get(&destination.r#ref).and_then(Option::as_ref) else {
            let message = format!(
                "spec.destinations[{name}].ref: there is no Destination {:?} in this namespace; apply it or correct the name",
                destination.r#ref
            );
            findings.push(Finding::fails(ConditionType::DestinationsResolved, Reason::DestinationNotFound, message));
            continue;
        };
        lanes.push(config(observed, destination, account, programs, findings));
    }
    lanes
}

/// What a lane's workers are told: the Integration's wishes over the Destination's.
fn config(
    observed: &Observed,
    destination: &IntegrationDestination,
    account: &Account,
    programs: &expressions::Programs,
    findings: &mut Vec<Finding>,
) -> LaneConfig {
    let Account { uid, spec } = account;
    let name = &destination.name;
    let delivery = DeliveryPolicy::resolve(destination.delivery.as_ref(), spec.delivery.as_ref());
    values::check_policy(name, &delivery, findings);
    values::check_account(&destination.r#ref, spec, findings);
    // An ordered lane is told nothing by which its events could overtake each other, and has portions to match.
    let provider = match observed.integration.spec.ordering {
        Some(_) => spec.provider.clone().keeping_order(),
        None => spec.provider.clone(),
    };
    let capacity = provider.capacity();
    let batching = spec.batching.clone().unwrap_or_default();
    let batch = capacity.map_or(BatchPolicy::ONE, |capacity| BatchPolicy::resolve(&batching, capacity));
    let header = spec.idempotency.as_ref().map_or("Idempotency-Key", |given| given.header.as_str());
    let one_by_one = spec.provider.http.is_some() && capacity.is_none();
    LaneConfig {
        destination: name.clone(),
        filter: destination.filter.clone(),
        transform: programs.transforms.get(name).cloned(),
        account: ShortUid::of(uid),
        provider,
        token_of: tokens::of_lane(observed, &destination.r#ref, account, findings),
        auth: spec.auth.clone(),
        tls: spec.tls.clone(),
        key_vault_identity: spec.key_vault_identity.clone(),
        delivery,
        breaker: BreakerPolicy::resolve(spec.circuit_breaker.as_ref()),
        rate: RatePolicy::resolve(spec.rate_limit.as_ref()),
        batch,
        idempotency_header: one_by_one.then(|| header.to_owned()),
        probe: spec.probe.clone(),
    }
}
