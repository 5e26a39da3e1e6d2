//! Stage status: what was found out and what the lanes to a Destination report come in, a [`DestinationStatus`] goes out.
//! Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    Destination,
    condition::{ConditionType, Finding, Reason, bounded, conditions},
    counters::Counts,
    report::Failure,
    status::{DestinationDelivery, DestinationStatus, LastError},
};

use crate::integration::visits::LaneView;

/// Says what became of a Destination.
pub fn status(
    destination: &Destination,
    findings: &[Finding],
    lanes: &[LaneView],
    used_by: usize,
    now: Timestamp,
) -> DestinationStatus {
    let previous = destination.status.clone().unwrap_or_default();
    let generation = destination.metadata.generation.unwrap_or_default();
    let ready = match findings {
        [] => Finding::holds(ConditionType::Ready, Reason::Resolved, "everything that is named is there"),
        [first, ..] => first.clone(),
    };
    let mut all = vec![ready.clone(), healthy(lanes), credentials(lanes)];
    if ready.status == Some(false) {
        all.push(Finding::holds(ConditionType::Stalled, ready.reason, ready.message));
    }
    DestinationStatus {
        observed_generation: Some(generation),
        conditions: conditions(&all, &previous.conditions, generation, now),
        provider: Some(destination.spec.provider.name().to_owned()),
        used_by: i32::try_from(used_by).ok(),
        delivery: Some(delivery(lanes, previous.delivery)),
    }
}

fn healthy(lanes: &[LaneView]) -> Finding {
    let kind = ConditionType::Healthy;
    let reports = || lanes.iter().flat_map(|lane| &lane.reports);
    if reports().any(|report| report.credentials_refused) {
        return Finding::fails(
            kind,
            Reason::CredentialsRefused,
            "our credentials are refused; renew the Secret in spec.auth",
        );
    }
    let sum =
        |count: fn(&ropeway_crds::report::LaneReport) -> u64| reports().map(count).fold(0u64, u64::saturating_add);
    let (attempts, failures) = (sum(|report| report.recent_attempts), sum(|report| report.recent_failures));
    if attempts >= 3 && failures.saturating_mul(2) >= attempts {
        let message = format!("{failures} of the last {attempts} attempts failed; see status.delivery.lastError");
        return Finding::fails(kind, Reason::DeliveryFailing, message);
    }
    match reports().next() {
        Some(_) => Finding::holds(kind, Reason::Delivering, "what was tried lately succeeded, or nothing was tried"),
        None => Finding::unknown(kind, Reason::Pending, "no worker sends here"),
    }
}

fn credentials(lanes: &[LaneView]) -> Finding {
    let kind = ConditionType::CredentialsValid;
    let mut reports = lanes.iter().flat_map(|lane| &lane.reports).peekable();
    if reports.peek().is_none() {
        return Finding::unknown(kind, Reason::Pending, "no worker sends here");
    }
    match reports.any(|report| report.credentials_refused) {
        true => Finding::fails(
            kind,
            Reason::CredentialsRefused,
            "our credentials are refused; renew the Secret in spec.auth",
        ),
        false => Finding::holds(kind, Reason::CredentialsAccepted, "credentials are accepted, or were not refused yet"),
    }
}

fn delivery(lanes: &[LaneView], previous: Option<DestinationDelivery>) -> DestinationDelivery {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = lanes.iter().fold(Counts::default(), |sum, lane| sum.plus(lane.counts));
    let previous = previous.unwrap_or_default();
    let reports = || lanes.iter().flat_map(|lane| &lane.reports);
    let success = reports().filter_map(|report| report.last_success).max().map(Time);
    let failure = reports().filter_map(|report| report.last_error.as_ref()).max_by_key(|error| error.time);
    DestinationDelivery {
        delivered: whole(counts.delivered),
        retried: whole(counts.retried),
        rejected: whole(counts.rejected),
        failed: whole(counts.failed),
        pending: whole(lanes.iter().map(|lane| lane.pending).sum()),
        dead_letters: whole(lanes.iter().map(|lane| lane.dead_letters).sum()),
        last_success_time: success.max(previous.last_success_time),
        last_error: failure.map(last_error).or(previous.last_error),
    }
}

fn last_error(failure: &Failure) -> LastError {
    let Failure { time, reason, code, message } = failure;
    LastError {
        time: Some(Time(*time)),
        destination: String::new(),
        reason: bounded(reason),
        code: code.map(i32::from),
        message: bounded(message),
    }
}

/// Whether a status is worth writing: conditions at once, figures when `age` has reached `interval`.
pub fn worth_writing(
    previous: Option<&DestinationStatus>,
    next: &DestinationStatus,
    age: Duration,
    interval: Duration,
) -> bool {
    let Some(previous) = previous else { return true };
    let plain = |status: &DestinationStatus| {
        let mut status = DestinationStatus { delivery: None, ..status.clone() };
        status.conditions.iter_mut().for_each(|condition| condition.message.clear());
        status
    };
    previous != next && (plain(previous) != plain(next) || age >= interval)
}

#[cfg(test)]
mod tests;
