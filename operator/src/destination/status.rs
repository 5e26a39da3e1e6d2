//! Stage status: what was found out and what the lanes to a Destination report come in, a [`DestinationStatus`] goes out.
//! Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    Destination, DestinationSpec,
    account::{Cause, CircuitRecord, CircuitState},
    condition::{ConditionType, Finding, Reason, bounded, conditions},
    counters::Counts,
    limits::RatePolicy,
    report::Failure,
    status::{CircuitStatus, CredentialsStatus, DestinationDelivery, DestinationStatus, LastError, RateLimitStatus},
};

pub(super) use crate::integration::status::Event;
use crate::integration::{
    status::{circuit_finding, credentials_reason},
    visits::LaneView,
};

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
    let circuit = newest_circuit(lanes);
    let mut all =
        vec![ready.clone(), healthy(lanes, circuit), credentials(lanes, circuit), circuit_closed(lanes, circuit)];
    if ready.status == Some(false) {
        all.push(Finding::holds(ConditionType::Stalled, ready.reason, ready.message));
    }
    DestinationStatus {
        observed_generation: Some(generation),
        conditions: conditions(&all, &previous.conditions, generation, now),
        provider: Some(destination.spec.provider.name().to_owned()),
        used_by: i32::try_from(used_by).ok(),
        circuit: circuit.map(circuit_status).or(previous.circuit),
        rate_limit: rate_limit(&destination.spec, lanes, now),
        credentials: access_token(lanes),
        delivery: Some(delivery(lanes, previous.delivery)),
    }
}

/// All lanes speak of the same circuit, but were not looked at together.
pub(super) fn newest_circuit(lanes: &[LaneView]) -> Option<&CircuitRecord> {
    lanes.iter().filter_map(|lane| lane.circuit.as_ref()).max_by_key(|circuit| (circuit.since, circuit.opened))
}

fn circuit_closed(lanes: &[LaneView], circuit: Option<&CircuitRecord>) -> Finding {
    let kind = ConditionType::CircuitClosed;
    match circuit.and_then(|circuit| circuit_finding(kind, "the circuit", circuit)) {
        Some(finding) => finding,
        None if lanes.iter().all(|lane| lane.reports.is_empty()) => {
            Finding::unknown(kind, Reason::Pending, "no worker sends here")
        }
        None => Finding::holds(kind, Reason::CircuitClosed, "the destination is served"),
    }
}

fn circuit_status(circuit: &CircuitRecord) -> CircuitStatus {
    let CircuitRecord { state, since, cause, reason, next_probe, probe: _, succeeded: _, opened: _ } = circuit;
    CircuitStatus {
        state: state.as_str().to_owned(),
        since: Some(Time(*since)),
        next_probe_time: next_probe.map(Time),
        last_open_reason: cause.map(|cause| cause.as_str().to_owned()),
        message: reason.as_deref().map(bounded),
    }
}

/// How fast it is served; absent where neither the spec nor the destination limits it.
fn rate_limit(spec: &DestinationSpec, lanes: &[LaneView], now: Timestamp) -> Option<RateLimitStatus> {
    let policy = RatePolicy::resolve(spec.rate_limit.as_ref());
    let record = lanes.iter().filter_map(|lane| lane.limit.as_ref()).max_by_key(|limit| limit.factor_since);
    let reset = record.and_then(|record| Timestamp::from_millisecond(record.closed_until).ok());
    let reset_at = reset.filter(|reset| *reset > now).map(Time);
    if policy.limit.is_none() && reset_at.is_none() {
        return None;
    }
    Some(RateLimitStatus {
        limit: policy.limit.map(|limit| format!("{} per {}", limit.requests, limit.per)),
        used_percent: record.filter(|record| record.factor > 0).map(|record| i64::from(record.factor / 10)),
        remaining: record.and_then(|record| record.remaining),
        reset_at,
    })
}

fn healthy(lanes: &[LaneView], circuit: Option<&CircuitRecord>) -> Finding {
    let kind = ConditionType::Healthy;
    let reports = || lanes.iter().flat_map(|lane| &lane.reports);
    if reports().any(|report| report.credentials_refused) {
        return refused(kind, circuit);
    }
    if let Some(finding) = circuit.and_then(|circuit| circuit_finding(kind, "the circuit", circuit)) {
        return finding;
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

fn refused(kind: ConditionType, circuit: Option<&CircuitRecord>) -> Finding {
    let said = circuit.and_then(credentials_reason).unwrap_or_default();
    let message = format!("our credentials are refused; renew the Secret in spec.auth{said}");
    Finding::fails(kind, Reason::CredentialsRefused, message)
}

fn credentials(lanes: &[LaneView], circuit: Option<&CircuitRecord>) -> Finding {
    let kind = ConditionType::CredentialsValid;
    let mut reports = lanes.iter().flat_map(|lane| &lane.reports).peekable();
    if reports.peek().is_none() {
        return Finding::unknown(kind, Reason::Pending, "no worker sends here");
    }
    if reports.any(|report| report.credentials_refused) {
        return refused(kind, circuit);
    }
    match circuit.filter(|circuit| circuit.state != CircuitState::Closed && circuit.cause == Some(Cause::Token)) {
        // Whether they are valid can't be said by anybody just now.
        Some(circuit) => {
            let said = circuit.reason.as_deref().unwrap_or("no access token can be had");
            Finding::unknown(kind, Reason::TokenUnavailable, said)
        }
        None => Finding::holds(kind, Reason::CredentialsAccepted, "credentials are accepted, or were not refused yet"),
    }
}

/// The access token that workers hold; absent where there is none to be had or none is needed.
fn access_token(lanes: &[LaneView]) -> Option<CredentialsStatus> {
    let tokens = || lanes.iter().flat_map(|lane| &lane.reports).filter_map(|report| report.token.as_ref());
    tokens().next()?;
    // Each worker has one of its own: told is the one that ends first, and the trouble of the one that has most.
    Some(CredentialsStatus {
        expires_at: tokens().filter_map(|token| token.expires).min().map(Time),
        last_refresh_time: tokens().filter_map(|token| token.granted).max().map(Time),
        refresh_failures: tokens().map(|token| token.failures).max().and_then(|most| i32::try_from(most).ok()),
    })
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

/// What changed from one status to the next that somebody should hear of.
pub(super) fn events(previous: Option<&DestinationStatus>, next: &DestinationStatus) -> Vec<Event> {
    let is_open = |status: &DestinationStatus| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == "CircuitClosed");
        condition.filter(|condition| condition.status == "False").map(|condition| condition.message.clone())
    };
    let Some(previous) = previous.filter(|previous| !previous.conditions.is_empty()) else { return Vec::new() };
    match (is_open(previous), is_open(next)) {
        (None, Some(note)) => vec![Event { warning: true, reason: "CircuitOpened", note }],
        (Some(_), None) => {
            let note = "the destination is served again".to_owned();
            vec![Event { warning: false, reason: "CircuitClosed", note }]
        }
        _ => Vec::new(),
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
        // A token of a few seconds is renewed all the time.
        status.credentials = status
            .credentials
            .map(|it| CredentialsStatus { refresh_failures: it.refresh_failures, ..CredentialsStatus::default() });
        status.conditions.iter_mut().for_each(|condition| condition.message.clear());
        status
    };
    previous != next && (plain(previous) != plain(next) || age >= interval)
}

#[cfg(test)]
mod tests;
