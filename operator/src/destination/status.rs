//! Stage status: what was found out and what the lanes to a Destination report come in, a [`DestinationStatus`] goes out.
//! Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    Destination, DestinationSpec,
    account::CircuitRecord,
    condition::{ConditionType, Finding, Reason, bounded, conditions},
    counters::Counts,
    limits::RatePolicy,
    report::Failure,
    status::{CircuitStatus, CredentialsStatus, DestinationDelivery, DestinationStatus, LastError, RateLimitStatus},
};

use self::credentials::{access_token, credential_events, credentials, refused};
use super::broker::View;
pub(super) use crate::integration::status::Event;
use crate::integration::{status::circuit_finding, visits::LaneView};

mod credentials;

/// Says what became of a Destination.
pub fn status(
    destination: &Destination,
    findings: &[Finding],
    lanes: &[LaneView],
    tokens: Option<&View>,
    used_by: usize,
    now: Timestamp,
) -> DestinationStatus {
    let previous = destination.status.clone().unwrap_or_default();
    let generation = destination.metadata.generation.unwrap_or_default();
    let ready = match findings {
        [] => Finding::holds(ConditionType::Ready, Reason::Resolved, resolved(&destination.spec)),
        [first, ..] => first.clone(),
    };
    let circuit = newest_circuit(lanes);
    let mut all = vec![
        ready.clone(),
        healthy(lanes, circuit),
        credentials(&destination.spec, lanes, circuit, tokens, now),
        circuit_closed(lanes, circuit),
    ];
    if ready.status == Some(false) {
        all.push(Finding::holds(ConditionType::Stalled, ready.reason, ready.message));
    }
    DestinationStatus {
        observed_generation: Some(generation),
        conditions: conditions(&all, &previous.conditions, generation, now),
        provider: Some(destination.spec.provider.name().to_owned()),
        idempotency: Some(destination.spec.repeats().as_str().to_owned()),
        used_by: i32::try_from(used_by).ok(),
        circuit: circuit.map(circuit_status).or(previous.circuit),
        rate_limit: rate_limit(&destination.spec, lanes, now),
        credentials: access_token(lanes, tokens, now),
        delivery: Some(delivery(lanes, previous.delivery)),
    }
}

/// That nothing is missing, and the first of what is odd all the same; `ropeway lint` tells all.
fn resolved(spec: &DestinationSpec) -> String {
    let everything = "everything that is named is there";
    match spec.warnings().first() {
        Some(warning) => format!("{everything}; but {warning}"),
        None => everything.to_owned(),
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
    let mut events = credential_events(previous, next);
    match (is_open(previous), is_open(next)) {
        (None, Some(note)) => events.push(Event { warning: true, reason: "CircuitOpened", note }),
        (Some(_), None) => {
            let note = "the destination is served again".to_owned();
            events.push(Event { warning: false, reason: "CircuitClosed", note });
        }
        _ => {}
    }
    events
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
        status.credentials =
            status.credentials.map(|it| CredentialsStatus { expires_at: None, last_refresh_time: None, ..it });
        status.conditions.iter_mut().for_each(|condition| condition.message.clear());
        status
    };
    previous != next && (plain(previous) != plain(next) || age >= interval)
}

#[cfg(test)]
mod tests;
