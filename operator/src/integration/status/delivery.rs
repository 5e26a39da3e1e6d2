//! The figures of a status.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    condition::bounded,
    counters::Counts,
    report::Failure,
    status::{DeadLetterStatus, DeliveryStatus, LaneStatus, LastError, ReasonCount},
    worker_config::SourceConfig,
};

use super::Workers;
use crate::{
    integration::plan::{Plan, SourcePlan},
    io::reports::{Figures, Observations},
};

/// How many reasons are shown.
const MOST_REASONS: usize = 5;

pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The counts over all destinations, those that are gone included.
pub(super) fn totals(since: Time, observations: &Observations, plan: &Plan, workers: &Workers) -> DeliveryStatus {
    let Figures { counts, pending, last_sequence, .. } = &observations.figures;
    let total = counts.values().fold(Counts::default(), |sum, counts| sum.plus(*counts));
    let pending = pending.values().sum::<u64>();
    let received = match &plan.jetstream.source {
        SourcePlan::Own(_) if is_direct(plan) => counts.values().map(|counts| counts.settled).sum(),
        SourcePlan::Own(_) => *last_sequence,
        // How many of the user's events are ours is known only by what became of them.
        SourcePlan::Foreign { .. } => {
            let most = |count: fn(&Counts) -> u64| counts.values().map(count).max().unwrap_or(0);
            most(|counts| counts.settled)
        }
    };
    let lanes = plan.jetstream.lanes.iter().map(|lane| lane.destination.as_str());
    let last_success = lanes.clone().filter_map(|destination| last_success(workers, destination)).max();
    let last_error = lanes.filter_map(|destination| last_error(workers, destination)).max_by_key(|(time, _)| *time);
    DeliveryStatus {
        since: Some(since),
        received: whole(received),
        resent: whole(total.resent),
        delivered: whole(total.delivered),
        filtered: whole(total.filtered),
        shadowed: whole(total.shadowed),
        deduplicated: whole(total.deduplicated),
        retried: whole(total.retried),
        held: whole(total.held),
        rejected: whole(total.rejected),
        failed: whole(total.failed),
        discarded: whole(total.discarded),
        dead_lettered: whole(total.dead_lettered),
        pending: whole(pending),
        last_success_time: last_success.map(Time),
        last_error: last_error.map(|(_, error)| error),
    }
}

/// Whether callers wait for answers, so that nothing is stored.
fn is_direct(plan: &Plan) -> bool {
    plan.config.integrations.iter().any(|it| matches!(it.source, SourceConfig::Request { .. }))
}

/// What workers that are gone had said stays: the last success and the last error of all.
pub(super) fn with_earlier(next: DeliveryStatus, earlier: Option<DeliveryStatus>) -> DeliveryStatus {
    let earlier = earlier.unwrap_or_default();
    let time = |error: &Option<LastError>| error.as_ref().and_then(|error| error.time.clone());
    let last_error = match time(&earlier.last_error) > time(&next.last_error) {
        true => earlier.last_error,
        false => next.last_error,
    };
    DeliveryStatus { last_success_time: next.last_success_time.max(earlier.last_success_time), last_error, ..next }
}

/// The figures of each destination.
pub(super) fn lanes(
    observations: &Observations,
    plan: &Plan,
    workers: &Workers,
    earlier: &[LaneStatus],
) -> Vec<LaneStatus> {
    let Figures { counts, pending, dead_letters, .. } = &observations.figures;
    let of = |map: &BTreeMap<String, u64>, name: &str| whole(map.get(name).copied().unwrap_or(0));
    let lane = |name: &String| {
        let counts = counts.get(name).copied().unwrap_or_default();
        let before = earlier.iter().find(|lane| lane.name == *name).and_then(|lane| lane.last_success_time.clone());
        LaneStatus {
            name: name.clone(),
            ready: workers.bound.get(name).copied().unwrap_or(false),
            circuit: observations.shared.circuits.get(name).map(|circuit| circuit.state.as_str().to_owned()),
            delivered: whole(counts.delivered),
            filtered: whole(counts.filtered),
            retried: whole(counts.retried),
            rejected: whole(counts.rejected),
            failed: whole(counts.failed),
            pending: of(pending, name),
            dead_letters: of(dead_letters, name),
            last_success_time: last_success(workers, name).map(Time).max(before),
        }
    };
    plan.jetstream.lanes.iter().map(|plan| lane(&plan.destination)).collect()
}

/// What the dead-letter stream holds.
pub(super) fn dead_letters(figures: &Figures) -> DeadLetterStatus {
    let mut reasons: Vec<(&String, u64)> =
        figures.reasons.iter().map(|(reason, count)| (reason, *count)).filter(|(_, count)| *count > 0).collect();
    reasons.sort_by(|(name, count), (other_name, other)| other.cmp(count).then(name.cmp(other_name)));
    let messages = figures.dead_letters.values().sum::<u64>().saturating_add(figures.other_dead_letters);
    DeadLetterStatus {
        messages: whole(messages),
        oldest_time: figures.oldest_dead_letter.map(Time),
        newest_time: figures.newest_dead_letter.map(Time),
        reasons: reasons
            .into_iter()
            .take(MOST_REASONS)
            .map(|(reason, count)| ReasonCount { reason: reason.clone(), count: whole(count) })
            .collect(),
    }
}

fn last_success(workers: &Workers, destination: &str) -> Option<jiff::Timestamp> {
    workers.lane(destination).filter_map(|lane| lane.last_success).max()
}

fn last_error(workers: &Workers, destination: &str) -> Option<(jiff::Timestamp, LastError)> {
    let failure =
        workers.lane(destination).filter_map(|lane| lane.last_error.clone()).max_by_key(|error| error.time)?;
    let Failure { time, reason, code, message } = failure;
    let error = LastError {
        time: Some(Time(time)),
        destination: destination.to_owned(),
        reason: bounded(&reason),
        code: code.map(i32::from),
        message: bounded(&message),
    };
    Some((time, error))
}
