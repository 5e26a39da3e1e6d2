//! The conditions of an Integration.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ropeway_crds::{
    account::LaneHold,
    condition::{ConditionType, Finding, Reason},
    integration::State,
    report::Problem,
    status::IntegrationStatus,
};

use super::{Known, Workers, circuit_finding, conform, credentials_reason};

/// Dead letters that were written within this many seconds count as growth.
const GROWTH_SECONDS: i64 = 300;

/// Workers that did not report in for this many seconds are missing and no longer starting.
const STARTING_SECONDS: i64 = 120;

/// At least this many attempts must have been made before their failing says something.
const FEWEST_ATTEMPTS: u64 = 3;

/// From this share of failed attempts on, in percent, a lane is failing.
const FAILING_PERCENT: u64 = 50;

/// Every condition, in the order of the status.
pub(super) fn findings(known: &Known<'_>, previous: &IntegrationStatus, workers: Option<&Workers>) -> Vec<Finding> {
    let mapping = worst(known.findings, ConditionType::MappingValid).unwrap_or_else(|| match known.plan {
        Some(_) => Finding::holds(
            ConditionType::MappingValid,
            Reason::MappingCompiled,
            "all expressions compile and all tests pass",
        ),
        None => pending_or(known, ConditionType::MappingValid, Reason::MappingCompiled),
    });
    let resolved = worst(known.findings, ConditionType::DestinationsResolved).unwrap_or_else(|| match known.plan {
        Some(_) => {
            Finding::holds(ConditionType::DestinationsResolved, Reason::Resolved, "everything that is named is there")
        }
        None => pending_or(known, ConditionType::DestinationsResolved, Reason::Resolved),
    });
    let source = source(known, workers);
    let available = available(known, previous, workers);
    let parts = [&mapping, &resolved, &source, &available];
    let ready = ready(known, &parts, workers);
    let hopeless = known.going.is_none().then(|| parts.into_iter().find(|part| is_hopeless(part))).flatten();
    let unsettled = unsettled(known, &ready, workers);
    let mut all = vec![ready, healthy(known, workers)];
    match (hopeless, unsettled) {
        (Some(part), _) => all.push(Finding::holds(ConditionType::Stalled, part.reason, part.message.clone())),
        (None, Some((reason, message))) => all.push(Finding::holds(ConditionType::Reconciling, reason, message)),
        (None, None) => {}
    }
    all.extend([mapping, resolved, source, available]);
    all.extend(held(known));
    all.extend(conform::finding(known, workers));
    all
}

/// The first finding on a condition, with a word on how many more there are.
fn worst(findings: &[Finding], kind: ConditionType) -> Option<Finding> {
    let mut of_kind = findings.iter().filter(|finding| finding.kind == kind);
    let first = of_kind.next()?.clone();
    match of_kind.count() {
        0 => Some(first),
        more => Some(Finding { message: format!("{} (and {more} more)", first.message), ..first }),
    }
}

/// Nothing wrong was found with this; whether all is well is known once nothing else is wrong either.
fn pending_or(known: &Known<'_>, kind: ConditionType, fine: Reason) -> Finding {
    if known.findings.is_empty() {
        return Finding::unknown(kind, Reason::Pending, "not looked at yet");
    }
    Finding::holds(kind, fine, "nothing is wrong here")
}

fn source(known: &Known<'_>, workers: Option<&Workers>) -> Finding {
    let kind = ConditionType::SourceReady;
    if let Some(finding) = worst(known.findings, kind) {
        return finding;
    }
    if let Some(fault) = known.fault.filter(|fault| fault.kind == kind) {
        return fault.clone();
    }
    if let Some(problem) = workers.and_then(Workers::source_problem) {
        let Problem { reason, message } = problem;
        return Finding::fails(kind, known_reason(reason), format!("a worker reports: {message}"));
    }
    if let Some(failing) = super::source::failing(known) {
        return failing;
    }
    if let Some(finding) = super::source::regressed(known) {
        return finding;
    }
    if let Some(finding) = super::exposure::refused(known) {
        return finding;
    }
    match (known.plan, known.findings.is_empty()) {
        (Some(_), _) => Finding::holds(kind, Reason::StreamReady, "streams and consumers are as wanted"),
        (None, true) => Finding::unknown(kind, Reason::Pending, "not looked at yet"),
        (None, false) => Finding::unknown(kind, Reason::Pending, "waits until what is wrong elsewhere is repaired"),
    }
}

/// A reason that a worker gave, if it is one of ours.
fn known_reason(word: &str) -> Reason {
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == word).unwrap_or(Reason::Failed)
}

fn available(known: &Known<'_>, previous: &IntegrationStatus, workers: Option<&Workers>) -> Finding {
    let kind = ConditionType::WorkersAvailable;
    if let Some(finding) = worst(known.findings, kind) {
        return finding;
    }
    if let Some(fault) = known.fault.filter(|fault| fault.kind == kind) {
        return fault.clone();
    }
    let (Some(plan), Some(workers)) = (known.plan, workers) else {
        return Finding::unknown(kind, Reason::Pending, "no worker has been heard of yet");
    };
    let (wished, ready) = (plan.replicas, workers.ready_count());
    if wished == 0 {
        return Finding::holds(kind, Reason::ScaledToZero, "spec.replicas is 0: nothing is received or sent");
    }
    if ready >= wished {
        return Finding::holds(kind, Reason::WorkersReporting, format!("{ready} of {wished} workers report in"));
    }
    let detail = match workers.lane_problem() {
        Some((destination, problem)) => format!("; the lane to {destination} reports: {}", problem.message),
        None => String::new(),
    };
    let before = previous.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    let reason = if is_starting(before, known) { Reason::WorkersStarting } else { Reason::WorkersMissing };
    Finding::fails(kind, reason, format!("{ready} of {wished} workers report in with this configuration{detail}"))
}

/// Workers are starting for a while after the condition became false or the spec was changed.
fn is_starting(before: Option<&Condition>, known: &Known<'_>) -> bool {
    let Some(before) = before else { return true };
    let generation = known.integration.metadata.generation;
    let since = before.last_transition_time.0;
    match before.status.as_str() {
        "True" => before.observed_generation != generation,
        "False" if before.reason == Reason::WorkersMissing.as_str() => before.observed_generation != generation,
        "False" => seconds(since, known.now) < STARTING_SECONDS,
        _ => true,
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}

fn ready(known: &Known<'_>, parts: &[&Finding; 4], workers: Option<&Workers>) -> Finding {
    let kind = ConditionType::Ready;
    if let Some(going) = known.going {
        return Finding { kind, status: Some(false), ..going.clone() };
    }
    for status in [Some(false), None] {
        if let Some(part) = parts.iter().find(|part| part.status == status) {
            return Finding { kind, ..(*part).clone() };
        }
    }
    let wish = known.plan.map_or(State::Running, |plan| plan.jetstream.wish.state);
    let (reason, message) = match (is_confirmed(known, workers), wish) {
        (false, _) => (Reason::StateChanging, format!("the state {wish:?} has not reached every worker yet")),
        (true, State::Running) => (Reason::Ready, "receiving and sending".to_owned()),
        (true, State::Paused) => (Reason::Paused, "spec.state is Paused: events are received and kept".to_owned()),
        (true, State::Stopped) => (Reason::Stopped, "spec.state is Stopped: nothing is received or sent".to_owned()),
    };
    Finding::holds(kind, reason, message)
}

fn is_confirmed(known: &Known<'_>, workers: Option<&Workers>) -> bool {
    let (Some(plan), Some(workers)) = (known.plan, workers) else { return false };
    let nobody = plan.replicas == 0 && workers.live.is_empty();
    nobody || workers.confirmed_state() == Some(plan.jetstream.wish.state)
}

/// What is still under way.
fn unsettled(known: &Known<'_>, ready: &Finding, workers: Option<&Workers>) -> Option<(Reason, String)> {
    if ready.status != Some(true) || ready.reason == Reason::StateChanging {
        return Some((ready.reason, ready.message.clone()));
    }
    if known.leaving > 0 {
        let message = format!("{} removed destinations still hold events, which become dead letters", known.leaving);
        return Some((Reason::Draining, message));
    }
    let old = workers.map_or(0, |workers| workers.live.len().saturating_sub(workers.current.len()));
    (old > 0).then(|| (Reason::WorkersStarting, format!("{old} workers with an earlier configuration are still there")))
}

/// Whether only somebody's change can help: of the spec, of what it names, or of a permission.
fn is_hopeless(finding: &Finding) -> bool {
    finding.status == Some(false)
        && matches!(
            finding.reason,
            Reason::MappingInvalid
                | Reason::MappingTestFailed
                | Reason::DestinationNotFound
                | Reason::SecretNotFound
                | Reason::SecretKeyNotFound
                | Reason::SecretNotAllowed
                | Reason::IdentityNotAllowed
                | Reason::ConfigMapNotFound
                | Reason::ClaimNotFound
                | Reason::BatchFailing
                | Reason::InvalidSpec
                | Reason::ServiceAccountNotAllowed
                | Reason::StreamNotFound
                | Reason::KindNotFound
                | Reason::ExposeRefused
                | Reason::GatewayRefused
                | Reason::NatsUnauthorized
                | Reason::Forbidden
        )
}

fn healthy(known: &Known<'_>, workers: Option<&Workers>) -> Finding {
    let kind = ConditionType::Healthy;
    let (Some(plan), Some(workers), Some(observations)) = (known.plan, workers, known.observations) else {
        return Finding::unknown(kind, Reason::Pending, "no worker has been heard of yet");
    };
    let names = || plan.jetstream.lanes.iter().map(|lane| lane.destination.as_str());
    if let Some(name) = names().find(|name| workers.lane(name).any(|lane| lane.credentials_refused)) {
        let said = observations.shared.circuits.get(name).and_then(credentials_reason).unwrap_or_default();
        let message = format!(
            "our credentials for the destination {name} are refused; renew the Secret that its Destination names{said}"
        );
        return Finding::fails(kind, Reason::CredentialsRefused, message);
    }
    if let Some(held) = held(known) {
        return Finding { kind, status: Some(false), ..held };
    }
    for name in names() {
        if let Some(circuit) = observations.shared.circuits.get(name)
            && let Some(finding) = circuit_finding(kind, &format!("the circuit of destination {name}"), circuit)
        {
            return finding;
        }
        if let Some(trouble) = workers.lane(name).find_map(|lane| lane.trouble.as_ref()) {
            let message = format!("the lane to {name} can't settle events, which stay pending: {}", trouble.message);
            return Finding::fails(kind, Reason::DeadLettersRefused, message);
        }
    }
    for name in names() {
        let (attempts, failures) = recent(workers, name);
        if attempts >= FEWEST_ATTEMPTS && failures.saturating_mul(100) >= attempts.saturating_mul(FAILING_PERCENT) {
            let message =
                format!("{failures} of the last {attempts} attempts at {name} failed; see status.delivery.lastError");
            return Finding::fails(kind, Reason::DeliveryFailing, message);
        }
    }
    let newest = observations.figures.newest_dead_letter;
    if newest.is_some_and(|newest| seconds(newest, known.now) < GROWTH_SECONDS) {
        let message = "events became dead letters within the last five minutes; see status.deadLetters.reasons";
        return Finding::fails(kind, Reason::DeadLettersGrowing, message);
    }
    if workers.live.is_empty() {
        return Finding::unknown(kind, Reason::Pending, "no worker reports in");
    }
    Finding::holds(kind, Reason::Delivering, "what was tried lately succeeded, or nothing was tried")
}

/// A lane that is held under the current configuration.
fn held(known: &Known<'_>) -> Option<Finding> {
    let (plan, observations) = (known.plan?, known.observations?);
    let hold = |(name, hold): (&String, &LaneHold)| {
        let LaneHold { reason, message, .. } = hold;
        let message = format!(
            "the lane to {name} is held, since most of its events would end as {reason}; repair it, or annotate ropeway.dev/resume=now; last: {message}"
        );
        Finding::holds(ConditionType::DeliveryHeld, Reason::DeliveryHeld, message)
    };
    let mut holds = observations.shared.holds.iter().filter(|(_, hold)| hold.config == plan.fingerprint);
    holds.next().map(hold)
}

/// Attempts and failures of a lane within the last five minutes, over all workers.
fn recent(workers: &Workers, destination: &str) -> (u64, u64) {
    workers.lane(destination).fold((0u64, 0u64), |(attempts, failures), lane| {
        (attempts.saturating_add(lane.recent_attempts), failures.saturating_add(lane.recent_failures))
    })
}
