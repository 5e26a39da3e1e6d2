//! The circuit of one Destination: when it opens, who may probe, when it closes again. Pure: the time comes in as a value.
//! Workers make transitions for what they see, the operator for what a person wishes.

use jiff::{SignedDuration, Timestamp};

use crate::{
    account::{Cause, CircuitRecord, CircuitState, Probe},
    condition::bounded,
    limits::BreakerPolicy,
};

/// How long credentials that were refused, or a Secret or ConfigMap that can't be used, are left alone at most: a rotated one
/// is in use within 30 seconds.
const MOUNTED_PAUSE: SignedDuration = SignedDuration::from_secs(15);

/// How long a used-up quota is left alone at least: asking counts against it too.
const QUOTA_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// What may change a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker saw enough.
    Trip {
        /// Why.
        cause: Cause,
        /// The same in a sentence.
        reason: String,
    },
    /// A worker has an event in hand and wants to try it.
    Probe {
        /// Who.
        holder: String,
        /// How long the try may take.
        patience: SignedDuration,
    },
    /// The destination took what the probe sent.
    ProbeSucceeded {
        /// Who made it.
        holder: String,
    },
    /// The probe failed.
    ProbeFailed {
        /// Who made it.
        holder: String,
        /// Why.
        cause: Cause,
        /// The same in a sentence.
        reason: String,
    },
    /// The probe said nothing about the destination: what it would have sent was filtered, or it was told to wait.
    ProbeUnused {
        /// Who made it.
        holder: String,
    },
    /// A person wishes that it is tried now.
    Resume,
    /// A person wishes that nothing is sent.
    OpenManually,
    /// A person no longer wishes that.
    CloseManually,
}

/// The circuit after an event, or `None` where the event changes nothing. Every pair of state and event has an answer.
pub fn next(record: &CircuitRecord, event: &Event, policy: &BreakerPolicy, now: Timestamp) -> Option<CircuitRecord> {
    // A write for nothing would wake every worker.
    transition(record, event, policy, now).filter(|changed| changed != record)
}

fn transition(record: &CircuitRecord, event: &Event, policy: &BreakerPolicy, now: Timestamp) -> Option<CircuitRecord> {
    use CircuitState::{Closed, HalfOpen, Open};
    let manual = record.cause == Some(Cause::Manual) && record.state != Closed;
    let held_by =
        |holder: &str| record.state == HalfOpen && record.probe.as_ref().is_some_and(|probe| probe.holder == holder);
    match event {
        Event::OpenManually => (!manual).then(|| CircuitRecord {
            next_probe: None,
            ..opened(record, Cause::Manual, "a person holds it open: ropeway.dev/circuit: open", policy, now)
        }),
        Event::CloseManually => manual.then(|| due(record, now)),
        _ if manual => None,
        Event::Trip { cause, reason } => (record.state == Closed).then(|| opened(record, *cause, reason, policy, now)),
        Event::Probe { holder, patience } => {
            let free = match record.state {
                Closed => false,
                Open => record.next_probe.is_none_or(|at| at <= now),
                HalfOpen => record.probe.as_ref().is_none_or(|probe| probe.until <= now),
            };
            free.then(|| CircuitRecord {
                state: HalfOpen,
                probe: Some(Probe { holder: holder.clone(), until: plus(now, *patience) }),
                next_probe: None,
                ..record.clone()
            })
        }
        Event::ProbeSucceeded { holder } => held_by(holder).then(|| {
            let succeeded = record.succeeded + 1;
            if succeeded >= policy.half_open_requests {
                CircuitRecord {
                    cause: record.cause,
                    reason: record.reason.clone(),
                    opened: record.opened,
                    ..CircuitRecord::closed(now)
                }
            } else {
                CircuitRecord { succeeded, ..due(record, now) }
            }
        }),
        Event::ProbeFailed { holder, cause, reason } => held_by(holder).then(|| CircuitRecord {
            since: record.since,
            opened: record.opened,
            ..opened(record, *cause, reason, policy, now)
        }),
        Event::ProbeUnused { holder } => held_by(holder).then(|| due(record, now)),
        Event::Resume => (record.state != Closed).then(|| due(record, now)),
    }
}

/// Open, with a probe due at once.
fn due(record: &CircuitRecord, now: Timestamp) -> CircuitRecord {
    let cause = record.cause.filter(|cause| *cause != Cause::Manual);
    CircuitRecord { state: CircuitState::Open, next_probe: Some(now), probe: None, cause, ..record.clone() }
}

fn opened(record: &CircuitRecord, cause: Cause, reason: &str, policy: &BreakerPolicy, now: Timestamp) -> CircuitRecord {
    let pause = SignedDuration::try_from(policy.open_duration.std()).unwrap_or(SignedDuration::MAX);
    let mounted =
        matches!(cause, Cause::Credentials | Cause::Token | Cause::Vault | Cause::VaultAway | Cause::Configuration);
    let pause = match cause {
        _ if mounted => pause.min(MOUNTED_PAUSE),
        Cause::Quota => pause.max(QUOTA_PAUSE),
        _ => pause,
    };
    CircuitRecord {
        state: CircuitState::Open,
        since: now,
        cause: Some(cause),
        reason: Some(bounded(reason)),
        next_probe: Some(plus(now, pause)),
        probe: None,
        succeeded: 0,
        opened: record.opened.saturating_add(1),
    }
}

fn plus(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
