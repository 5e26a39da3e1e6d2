//! Whether events have the shape that the Integration expects.

use ropeway_crds::condition::{ConditionType, Finding, Reason};

use super::{Known, Workers};

/// Present where the Integration has a schema.
pub(super) fn finding(known: &Known<'_>, workers: Option<&Workers>) -> Option<Finding> {
    let kind = ConditionType::EventsConform;
    known.integration.spec.schema.as_ref()?;
    let (Some(plan), Some(workers)) = (known.plan, workers) else {
        return Some(Finding::unknown(kind, Reason::Pending, "no worker has been heard of yet"));
    };
    // Each lane judges each event, so the lane that saw most says how many there are.
    let lanes = plan.jetstream.lanes.iter().map(|lane| lane.destination.as_str());
    let violations = |name: &str| workers.lane(name).map(|lane| lane.recent_violations).sum::<u64>();
    let most = lanes.clone().map(violations).max().unwrap_or(0);
    if most == 0 {
        let message = "no event within the last five minutes broke spec.schema";
        return Some(Finding::holds(kind, Reason::SchemaMatched, message));
    }
    let last = lanes.into_iter().find_map(|name| workers.lane(name).find_map(|lane| lane.last_violation.as_deref()));
    let message = format!(
        "{most} events within the last five minutes broke spec.schema, last at {}; ask the sender, or change the schema",
        last.unwrap_or("a place unknown")
    );
    Some(Finding::fails(kind, Reason::SchemaViolated, message))
}
