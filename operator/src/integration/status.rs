//! Stage status: everything that is known comes in, an [`IntegrationStatus`] goes out. Pure; the time is an argument.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;
use ropeway_crds::{
    Integration,
    condition::{Finding, conditions},
    integration::State,
    status::IntegrationStatus,
};

use crate::{
    integration::plan::{Plan, expose::HttpRoute, meta},
    io::reports::Observations,
};

mod circuit;
mod conform;
mod delivery;
mod events;
mod exposure;
mod findings;
mod source;
mod workers;

pub(crate) use circuit::{circuit_finding, credentials_reason};
pub use events::{Event, events};
pub use workers::{Workers, judge_workers};

/// Everything that a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The Integration, with the status that it has.
    pub integration: &'a Integration,
    /// What resolve found wrong; empty if nothing.
    pub findings: &'a [Finding],
    /// The plan, if there is one.
    pub plan: Option<&'a Plan>,
    /// What kept the plan from being applied.
    pub fault: Option<&'a Finding>,
    /// What JetStream says, if it could be asked.
    pub observations: Option<&'a Observations>,
    /// The workers' Deployment as it is.
    pub deployment: Option<&'a Deployment>,
    /// The HTTPRoute as it is, where one was asked for.
    pub route: Option<&'a HttpRoute>,
    /// How many removed lanes still have to be emptied.
    pub leaving: usize,
    /// What is being done before the object goes.
    pub going: Option<&'a Finding>,
    /// The time.
    pub now: Timestamp,
}

/// Says what became of an Integration.
pub fn status(known: &Known<'_>) -> IntegrationStatus {
    let spec = &known.integration.spec;
    let previous = known.integration.status.clone().unwrap_or_default();
    let generation = known.integration.metadata.generation.unwrap_or_default();
    let workers = known.observations.zip(known.plan).map(|(observations, plan)| {
        judge_workers(&observations.workers, &plan.fingerprint, &plan.jetstream, known.now)
    });
    let findings = findings::findings(known, &previous, workers.as_ref());
    let deployed = known.deployment.and_then(|deployment| deployment.status.as_ref());
    // Without observations the figures that stand there stay.
    let mut next = IntegrationStatus {
        observed_generation: Some(generation),
        conditions: conditions(&findings, &previous.conditions, generation, known.now),
        state: state(known, workers.as_ref(), previous.state.clone()),
        pattern: Some(spec.pattern().to_owned()),
        endpoint: known.plan.map_or(previous.endpoint.clone(), |plan| plan.endpoint.clone()),
        replicas: known.deployment.map(|_| deployed.and_then(|status| status.replicas).unwrap_or(0)),
        ready_replicas: workers.as_ref().map_or(previous.ready_replicas, |workers| Some(workers.ready_count())),
        selector: known.plan.map_or(previous.selector.clone(), |plan| Some(meta::selector_text(&plan.identity))),
        mapping_engine: Some(ropeway_mapping::program::ENGINE.to_owned()),
        source: previous.source,
        delivery: previous.delivery,
        dead_letters: previous.dead_letters,
        destinations: previous.destinations,
    };
    if let (Some(observations), Some(plan), Some(workers)) = (known.observations, known.plan, &workers) {
        let since = known.integration.creation_timestamp().unwrap_or(Time(known.now));
        let totals = delivery::totals(since, observations, plan, workers);
        next.source = Some(source::status(known, observations, next.source.take()));
        next.delivery = Some(delivery::with_earlier(totals, next.delivery));
        next.dead_letters = Some(delivery::dead_letters(&observations.figures));
        next.destinations = delivery::lanes(observations, plan, workers, &next.destinations);
    }
    next
}

/// The state that every worker has confirmed; while they differ, what stood there before.
fn state(known: &Known<'_>, workers: Option<&Workers>, previous: Option<String>) -> Option<String> {
    let (Some(plan), Some(workers)) = (known.plan, workers) else { return previous };
    let word = |state: State| format!("{state:?}");
    if workers.live.is_empty() && plan.replicas == 0 {
        return Some(word(plan.jetstream.wish.state));
    }
    workers.confirmed_state().map(word).or(previous)
}

/// Whether a status is worth writing: a change of anything but figures at once, figures when `since_figures` has reached
/// `interval`.
pub fn worth_writing(
    previous: Option<&IntegrationStatus>,
    next: &IntegrationStatus,
    since_figures: Duration,
    interval: Duration,
) -> bool {
    let Some(previous) = previous else { return true };
    if previous == next {
        return false;
    }
    let without_figures = |status: &IntegrationStatus| {
        let mut plain = status.clone();
        plain.source = status.source.as_ref().map(source::without_figures);
        plain.delivery = None;
        plain.dead_letters = None;
        for condition in &mut plain.conditions {
            // A message may hold a figure; the reason is what a change is about.
            condition.message.clear();
        }
        for lane in &mut plain.destinations {
            *lane = ropeway_crds::status::LaneStatus {
                name: lane.name.clone(),
                ready: lane.ready,
                circuit: lane.circuit.clone(),
                ..Default::default()
            };
        }
        plain
    };
    without_figures(previous) != without_figures(next) || since_figures >= interval
}

#[cfg(test)]
mod tests;
