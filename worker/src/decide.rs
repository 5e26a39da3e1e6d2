//! Stage decide: an [`Outcome`] comes in, a [`Settlement`] goes out. Pure: the time and the jitter are arguments.

use std::time::Duration;

use jiff::Timestamp;
use ropeway_crds::{
    account::Cause,
    delivery::{BackoffPolicy, DeliveryPolicy},
};

use crate::{
    decode::History,
    provider::{Failure, Outcome},
};

/// How the life of a message ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing more is to be done.
    Done(Done),
    /// It is tried again.
    Park(Park),
    /// It goes to the dead letters.
    DeadLetter(DeadLetter),
    /// It goes back where it came from, as if it had never been taken: nothing is spent.
    Return(Return),
}

/// Why nothing more is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The destination took the record.
    Delivered,
    /// The filter kept it back.
    Filtered,
    /// It is a repeat.
    Deduplicated,
    /// It was not sent, since nothing is sent in this mode.
    Shadowed,
    /// It was thrown away, as the Integration's schema asks for.
    Discarded,
}

/// A retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    /// When it comes again.
    pub due: Timestamp,
    /// What the delivery then has behind it.
    pub history: History,
    /// What happened.
    pub failure: Failure,
}

/// An event that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why.
    pub reason: DeadLetterReason,
    /// What happened.
    pub failure: Failure,
}

/// An event that goes back, because its destination as a whole can take nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Why; None where it was a probe that failed, or nobody waited any longer.
    pub cause: Option<Cause>,
    /// What happened.
    pub failure: Failure,
}

/// Why an event is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadLetterReason {
    /// The destination refused it for good; retrying would not help.
    Rejected,
    /// It could not be delivered within its budget.
    Exhausted,
    /// The destination answered, but never about this record.
    Unaccounted,
    /// An expression failed on it.
    MappingFailed,
    /// An expression broke a limit on it.
    MappingLimit,
    /// What the mapping made of it is nothing that the destination takes.
    InvalidRecord,
    /// It does not match the Integration's schema.
    SchemaViolation,
    /// It is no event: not JSON, no object, or too large.
    Undecodable,
    /// It kills the process that works on it.
    Poison,
    /// The source delivered something that can be no event: no destination ever saw it.
    Refused,
}

impl DeadLetterReason {
    /// The word in subjects, headers and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "Rejected",
            Self::Exhausted => "Exhausted",
            Self::Unaccounted => "Unaccounted",
            Self::MappingFailed => "MappingFailed",
            Self::MappingLimit => "MappingLimit",
            Self::InvalidRecord => "InvalidRecord",
            Self::SchemaViolation => "SchemaViolation",
            Self::Undecodable => "Undecodable",
            Self::Poison => "Poison",
            Self::Refused => "Refused",
        }
    }
}

/// One attempt at one event.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What the delivery has behind it.
    pub history: &'a History,
    /// How long it had waited, since it came due, until it was sent: for a closed circuit, for a slot, for a worker. That is
    /// not the event's fault.
    pub waited: Duration,
    /// Whether it tried whether the destination answers again. Then a failure spends nothing.
    pub probe: bool,
}

/// What follows from an outcome. `jitter` is at least 0 and below 1.
pub fn decide(
    outcome: Outcome,
    attempt: Attempt<'_>,
    policy: &DeliveryPolicy,
    now: Timestamp,
    jitter: f64,
) -> Settlement {
    match outcome {
        Outcome::Delivered => Settlement::Done(Done::Delivered),
        Outcome::Rejected(failure) => {
            Settlement::DeadLetter(DeadLetter { reason: DeadLetterReason::Rejected, failure })
        }
        Outcome::Hold { cause, failure } => Settlement::Return(Return { cause: Some(cause), failure }),
        Outcome::Left(failure) => Settlement::Return(Return { cause: None, failure }),
        Outcome::Retry { failure, .. } if attempt.probe => Settlement::Return(Return { cause: None, failure }),
        Outcome::Retry { after, limited, failure } => {
            let kind = if limited { Kind::Limited } else { Kind::Failed };
            retry(after, kind, failure, attempt, policy, now, jitter)
        }
        Outcome::Unaccounted(failure) => retry(None, Kind::Unaccounted, failure, attempt, policy, now, jitter),
    }
}

/// What kind of failure a retry follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    /// Asked too often: the destination did not look at it, so no attempt is spent; time is.
    Limited,
    Unaccounted,
}

fn retry(
    after: Option<Duration>,
    kind: Kind,
    failure: Failure,
    attempt: Attempt<'_>,
    policy: &DeliveryPolicy,
    now: Timestamp,
    jitter: f64,
) -> Settlement {
    let history = attempt.history;
    let first_failure = history.first_failure.unwrap_or(now);
    let held =
        history.held.saturating_add(if history.first_failure.is_some() { attempt.waited } else { Duration::ZERO });
    let elapsed = Duration::try_from(now.duration_since(first_failure)).unwrap_or(Duration::ZERO).saturating_sub(held);
    let last = kind != Kind::Limited && history.attempt >= policy.max_attempts;
    if last || elapsed >= policy.max_elapsed.std() {
        let message = format!("given up after {} attempts: {}", history.attempt, failure.message);
        let reason = match kind {
            Kind::Unaccounted => DeadLetterReason::Unaccounted,
            Kind::Failed | Kind::Limited => DeadLetterReason::Exhausted,
        };
        return Settlement::DeadLetter(DeadLetter { reason, failure: Failure { message, ..failure } });
    }
    let delay = match after {
        // Asked for a moment that has passed: now, but not in a tight loop.
        Some(asked) => asked.min(policy.retry_after_max.std()).max(LEAST_DELAY),
        None => backoff(policy, history.attempt, jitter),
    };
    let history = History {
        delivery: history.delivery.clone(),
        attempt: history.attempt + u32::from(kind != Kind::Limited),
        resend: history.resend,
        first_failure: Some(first_failure),
        held,
        parks: history.parks.saturating_add(1),
    };
    Settlement::Park(Park { due: later(now, delay), history, failure })
}

/// The shortest delay: a vendor's `Retry-After: 0` must not become a tight loop.
const LEAST_DELAY: Duration = Duration::from_millis(100);

/// The delay after the attempt with this number, from 1.
fn backoff(policy: &DeliveryPolicy, attempt: u32, jitter: f64) -> Duration {
    let factor = match policy.backoff_policy {
        BackoffPolicy::Exponential => {
            1u32.checked_shl(attempt.saturating_sub(1)).filter(|_| attempt <= 31).unwrap_or(u32::MAX)
        }
        BackoffPolicy::Linear => attempt,
    };
    let full = policy.backoff_delay.std().saturating_mul(factor).min(policy.backoff_max.std());
    full.mul_f64(1.0 - f64::from(policy.jitter_percent.min(100)) / 100.0 * jitter)
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
