//! Stage decide: an [`Outcome`] comes in, a [`Settlement`] goes out. Pure: the time and the jitter are arguments.

use std::time::Duration;

use jiff::Timestamp;
use ropeway_crds::delivery::{BackoffPolicy, DeliveryPolicy};

use crate::{
    decode::History,
    provider::{Failure, HoldCause, Outcome},
};

/// How long an event waits for a destination that can take nothing at all. Short enough that a rotated credential is in
/// use within 30 seconds, long enough that a destination with wrong credentials is not stormed.
const HOLD: Duration = Duration::from_secs(15);

/// How the life of a message ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing more is to be done.
    Done(Done),
    /// It is tried again.
    Park(Park),
    /// It goes to the dead letters.
    DeadLetter(DeadLetter),
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
}

/// A retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    /// When it comes again.
    pub due: Timestamp,
    /// What the delivery then has behind it.
    pub history: History,
    /// Whether the destination as a whole is held, so that no attempt is spent.
    pub held: Option<HoldCause>,
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

/// Why an event is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterReason {
    /// The destination refused it for good; retrying would not help.
    Rejected,
    /// It could not be delivered within its budget.
    Exhausted,
    /// An expression failed on it.
    MappingFailed,
    /// An expression broke a limit on it.
    MappingLimit,
    /// It is no event: not JSON, no object, or too large.
    Undecodable,
}

impl DeadLetterReason {
    /// The word in subjects, headers and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "Rejected",
            Self::Exhausted => "Exhausted",
            Self::MappingFailed => "MappingFailed",
            Self::MappingLimit => "MappingLimit",
            Self::Undecodable => "Undecodable",
        }
    }
}

/// What follows from an outcome. `jitter` is at least 0 and below 1.
pub fn decide(outcome: Outcome, history: &History, policy: &DeliveryPolicy, now: Timestamp, jitter: f64) -> Settlement {
    match outcome {
        Outcome::Delivered => Settlement::Done(Done::Delivered),
        Outcome::Rejected(failure) => {
            Settlement::DeadLetter(DeadLetter { reason: DeadLetterReason::Rejected, failure })
        }
        Outcome::Hold { cause, failure } => {
            let history = History { held: history.held + HOLD, holds: history.holds + 1, ..history.clone() };
            Settlement::Park(Park { due: later(now, HOLD), history, held: Some(cause), failure })
        }
        Outcome::Retry { after, failure } => retry(after, failure, history, policy, now, jitter),
    }
}

fn retry(
    after: Option<Duration>,
    failure: Failure,
    history: &History,
    policy: &DeliveryPolicy,
    now: Timestamp,
    jitter: f64,
) -> Settlement {
    let first_failure = history.first_failure.unwrap_or(now);
    let elapsed = Duration::try_from(now.duration_since(first_failure)).unwrap_or(Duration::ZERO);
    // Time in which the destination as a whole was held is not the event's fault.
    let elapsed = elapsed.saturating_sub(history.held);
    let spent = history.attempt >= policy.max_attempts || elapsed >= policy.max_elapsed.std();
    if spent {
        let message = format!("given up after {} attempts: {}", history.attempt, failure.message);
        let failure = Failure { message, ..failure };
        return Settlement::DeadLetter(DeadLetter { reason: DeadLetterReason::Exhausted, failure });
    }
    let delay = match after {
        Some(asked) => asked.min(policy.retry_after_max.std()),
        None => backoff(policy, history.attempt, jitter),
    };
    let history = History { attempt: history.attempt + 1, first_failure: Some(first_failure), ..history.clone() };
    Settlement::Park(Park { due: later(now, delay), history, held: None, failure })
}

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
