//! What one worker saw of a Destination lately, and when that should open its circuit. Pure: the time comes in as a value.
//! The transitions themselves stand in `ropeway_crds::circuit`.

use std::collections::VecDeque;

use jiff::Timestamp;
use ropeway_crds::{account::Cause, circuit::Event, limits::BreakerPolicy};

/// What one request showed about the destination as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered, whatever it thought of the records.
    Answered,
    /// It answered that it is too busy: the limiter's business.
    Limited,
    /// It failed, or could not be reached.
    Failed(String),
    /// It forbids what is sent, or says that it is gone; what was sent is named.
    Forbidden {
        /// The status.
        code: u16,
        /// Which delivery got it.
        delivery: String,
    },
    /// Nothing can be sent to it at all.
    Blocked(Cause, String),
}

/// Distinct records that must be forbidden in a row until it is the destination's fault.
const FORBIDDEN_IN_A_ROW: usize = 5;

/// Slots that a window is cut into.
const SLOTS: i64 = 10;

/// What one worker saw of a destination lately.
#[derive(Clone, Debug, Default)]
pub struct Window {
    slots: VecDeque<(i64, u32, u32)>,
    failures_in_a_row: u32,
    forbidden: Vec<String>,
}

impl Window {
    /// Notes what a request showed; answers with the event that should follow, if any.
    pub fn note(&mut self, sign: &Sign, policy: &BreakerPolicy, now: Timestamp) -> Option<Event> {
        let failed = matches!(sign, Sign::Failed(_));
        if !matches!(sign, Sign::Forbidden { .. }) {
            self.forbidden.clear();
        }
        match sign {
            Sign::Blocked(cause, reason) => {
                return Some(Event::Trip { cause: *cause, reason: reason.clone() });
            }
            Sign::Limited => return None,
            Sign::Forbidden { code, delivery } => {
                if !self.forbidden.contains(delivery) {
                    self.forbidden.push(delivery.clone());
                }
                if self.forbidden.len() >= FORBIDDEN_IN_A_ROW {
                    let reason = format!("it answered {code} to {} different records in a row", self.forbidden.len());
                    return Some(Event::Trip { cause: Cause::Gone, reason });
                }
            }
            Sign::Answered | Sign::Failed(_) => {}
        }
        self.failures_in_a_row = if failed { self.failures_in_a_row.saturating_add(1) } else { 0 };
        let (requests, failures) = self.count(failed, policy, now);
        let Sign::Failed(message) = sign else { return None };
        let share = u64::from(failures) * 100 >= u64::from(requests) * u64::from(policy.failure_percent);
        let reason = if self.failures_in_a_row >= policy.failure_threshold {
            format!("{} requests in a row failed: {message}", self.failures_in_a_row)
        } else if requests >= policy.minimum_requests && share {
            format!("{failures} of {requests} requests failed: {message}")
        } else {
            return None;
        };
        Some(Event::Trip { cause: Cause::Errors, reason })
    }

    /// Forgets everything: what was seen before the circuit opened says nothing about afterwards.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn count(&mut self, failed: bool, policy: &BreakerPolicy, now: Timestamp) -> (u32, u32) {
        let window = i64::try_from(policy.window.std().as_millis()).unwrap_or(i64::MAX).max(SLOTS);
        let slot = now.as_millisecond().div_euclid(window / SLOTS);
        // A clock that was set back starts a new window.
        self.slots.retain(|(number, _, _)| (0..SLOTS).contains(&slot.saturating_sub(*number)));
        match self.slots.back_mut() {
            Some((number, requests, failures)) if *number == slot => {
                *requests = requests.saturating_add(1);
                *failures = failures.saturating_add(u32::from(failed));
            }
            _ => self.slots.push_back((slot, 1, u32::from(failed))),
        }
        self.slots.iter().fold((0u32, 0u32), |(requests, failures), slot| {
            (requests.saturating_add(slot.1), failures.saturating_add(slot.2))
        })
    }
}

#[cfg(test)]
mod tests;
