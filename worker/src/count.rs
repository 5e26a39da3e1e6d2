//! Stage count: what was settled is added up here, and handed to the counter stream once a second.
//!
//! A record is counted when it is settled. The counts are exact while nothing is killed; a killed worker makes them wrong
//! by at most what it had in hand and had not flushed.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_crds::{
    account::Cause,
    condition::bounded,
    counters::Counts,
    integration::State,
    report::{Failure as Reported, LaneReport, Problem},
};

use crate::{
    decide::{DeadLetter, DeadLetterReason, Done, Park, Return, Settlement},
    provider::Failure,
    settle::SettleFailure,
};

/// The window of `recent_attempts` and `recent_failures`, in slots of ten seconds: five minutes.
const SLOTS: usize = 30;
const SLOT: Duration = Duration::from_secs(10);

/// What happened within ten seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    attempts: u64,
    failures: u64,
    violations: u64,
}

/// What one lane has done and how it fares.
#[derive(Debug)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    unflushed: Counts,
    total: Counts,
    slots: VecDeque<Slot>,
    slot_began: Instant,
    last_violation: Option<String>,
    last_success: Option<Timestamp>,
    last_error: Option<Reported>,
    credentials_refused: bool,
    bound: bool,
    problem: Option<Problem>,
    trouble: Option<Problem>,
    effective: Option<State>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                unflushed: Counts::default(),
                total: Counts::default(),
                slots: VecDeque::from([Slot::default()]),
                slot_began: Instant::now(),
                last_violation: None,
                last_success: None,
                last_error: None,
                credentials_refused: false,
                bound: false,
                problem: None,
                trouble: None,
                effective: None,
            }),
        }
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a settlement that has taken effect.
    pub fn settled(&self, settlement: &Settlement, now: Timestamp) {
        let mut inner = self.lock();
        let counts = counts_of(settlement);
        inner.unflushed = inner.unflushed.plus(counts);
        inner.total = inner.total.plus(counts);
        let (attempted, failure) = match settlement {
            Settlement::Done(Done::Delivered) => (true, None),
            Settlement::Done(Done::Filtered | Done::Deduplicated | Done::Shadowed | Done::Discarded) => (false, None),
            Settlement::Park(Park { failure, .. }) => (true, Some(("Retry", failure))),
            Settlement::Return(Return { failure, .. }) => (true, Some(("Held", failure))),
            Settlement::DeadLetter(DeadLetter { reason, failure }) => (true, Some((reason.as_str(), failure))),
        };
        inner.turn();
        if attempted && let Some(slot) = inner.slots.back_mut() {
            slot.attempts += 1;
            slot.failures += u64::from(failure.is_some());
        }
        match failure {
            Some((reason, failure)) => {
                inner.last_error = Some(reported(reason, failure, now));
            }
            None if attempted => {
                inner.last_success = Some(now);
                inner.credentials_refused = false;
            }
            None => {}
        }
        match settlement {
            Settlement::Return(Return { cause: Some(Cause::Credentials), .. }) => inner.credentials_refused = true,
            Settlement::Park(_) | Settlement::DeadLetter(_) => inner.trouble = None,
            Settlement::Return(_) | Settlement::Done(_) => {}
        }
    }

    /// Counts events that nothing more is to be done for; their end has taken effect.
    pub fn done(&self, ends: impl IntoIterator<Item = Done>, now: Timestamp) {
        let mut inner = self.lock();
        inner.turn();
        for end in ends {
            let counts = counts_of(&Settlement::Done(end));
            inner.unflushed = inner.unflushed.plus(counts);
            inner.total = inner.total.plus(counts);
            if end == Done::Delivered {
                inner.last_success = Some(now);
                inner.credentials_refused = false;
                if let Some(slot) = inner.slots.back_mut() {
                    slot.attempts += 1;
                }
            }
        }
    }

    /// A record was sent for somebody who waited for the answer. Where it failed, that is theirs to know: there is no dead
    /// letter.
    pub fn answered(&self, end: Result<Done, (DeadLetterReason, Failure)>, now: Timestamp) {
        let mut inner = self.lock();
        let settlement = match &end {
            Ok(done) => Settlement::Done(*done),
            Err((reason, failure)) => Settlement::DeadLetter(DeadLetter { reason: *reason, failure: failure.clone() }),
        };
        let counts = Counts { dead_lettered: 0, ..counts_of(&settlement) };
        inner.unflushed = inner.unflushed.plus(counts);
        inner.total = inner.total.plus(counts);
        inner.turn();
        let attempted = !matches!(end, Ok(Done::Filtered | Done::Deduplicated | Done::Discarded));
        if attempted && let Some(slot) = inner.slots.back_mut() {
            slot.attempts += 1;
            slot.failures += u64::from(end.is_err());
        }
        match end {
            Ok(_) if attempted => inner.last_success = Some(now),
            Ok(_) => {}
            Err((reason, failure)) => inner.last_error = Some(reported(reason.as_str(), &failure, now)),
        }
    }

    /// An event does not match the Integration's schema at this place of it.
    pub fn violated(&self, place: String) {
        let mut inner = self.lock();
        inner.turn();
        inner.last_violation = Some(place);
        if let Some(slot) = inner.slots.back_mut() {
            slot.violations += 1;
        }
    }

    /// A retry or a dead letter could not be written, so its original stays.
    pub fn unsettled(&self, settlement: &Settlement, error: &SettleFailure) {
        let reason = match settlement {
            Settlement::DeadLetter(_) => "DeadLetterRefused",
            Settlement::Park(_) => "RetryRefused",
            Settlement::Done(_) | Settlement::Return(_) => return,
        };
        let message = bounded(&format!("{error}: {}", error.cause()));
        self.lock().trouble = Some(Problem { reason: reason.into(), message });
    }

    /// An event was set aside to make room in its stream.
    pub fn set_aside(&self) {
        let mut inner = self.lock();
        let counts = Counts { held: 1, ..Counts::default() };
        inner.unflushed = inner.unflushed.plus(counts);
        inner.total = inner.total.plus(counts);
    }

    /// Takes what has not been flushed yet; the caller answers for it from now on.
    pub fn take_unflushed(&self) -> Counts {
        std::mem::take(&mut self.lock().unflushed)
    }

    /// Everything that was counted since the worker started.
    pub fn total(&self) -> Counts {
        self.lock().total
    }

    /// The lane reads its consumers, or would but for a pause.
    pub fn bound(&self) {
        let mut inner = self.lock();
        inner.bound = true;
        inner.problem = None;
    }

    /// Something keeps the lane from reading its consumers.
    pub fn unbound(&self, problem: Problem) {
        let mut inner = self.lock();
        inner.bound = false;
        inner.problem = Some(problem);
    }

    /// Says which state has taken effect in the lane.
    pub fn take_effect(&self, state: Option<State>) {
        self.lock().effective = state;
    }

    /// The state that has taken effect in the lane.
    pub fn effective(&self) -> Option<State> {
        self.lock().effective
    }

    /// The lane's part of a heartbeat.
    pub fn report(&self, destination: &str) -> LaneReport {
        let mut inner = self.lock();
        inner.turn();
        let sum = |of: fn(&Slot) -> u64| inner.slots.iter().map(of).sum();
        let (recent_attempts, recent_failures) = (sum(|slot| slot.attempts), sum(|slot| slot.failures));
        let recent_violations = sum(|slot| slot.violations);
        LaneReport {
            token: None,
            destination: destination.to_owned(),
            bound: inner.bound,
            problem: inner.problem.clone(),
            trouble: inner.trouble.clone(),
            credentials_refused: inner.credentials_refused,
            recent_attempts,
            recent_failures,
            recent_violations,
            last_violation: inner.last_violation.clone(),
            last_success: inner.last_success,
            last_error: inner.last_error.clone(),
        }
    }
}

impl Inner {
    /// Opens the slots for the time that has passed.
    fn turn(&mut self) {
        let passed = self.slot_began.elapsed().as_secs() / SLOT.as_secs();
        for _ in 0..passed.min(SLOTS as u64) {
            self.slots.push_back(Slot::default());
        }
        while self.slots.len() > SLOTS {
            self.slots.pop_front();
        }
        self.slot_began += SLOT * u32::try_from(passed).unwrap_or(u32::MAX);
    }
}

/// A failure as it is reported.
fn reported(reason: &str, failure: &Failure, now: Timestamp) -> Reported {
    Reported { time: now, reason: reason.to_owned(), code: failure.code, message: bounded(&failure.message) }
}

/// What a settlement adds to the counters.
fn counts_of(settlement: &Settlement) -> Counts {
    let none = Counts::default();
    let done = Counts { settled: 1, ..none };
    match settlement {
        Settlement::Done(Done::Delivered) => Counts { delivered: 1, ..done },
        Settlement::Done(Done::Filtered) => Counts { filtered: 1, ..done },
        Settlement::Done(Done::Deduplicated) => Counts { deduplicated: 1, ..done },
        Settlement::Done(Done::Shadowed) => Counts { shadowed: 1, ..done },
        Settlement::Done(Done::Discarded) => Counts { discarded: 1, ..done },
        Settlement::Return(_) => Counts { held: 1, ..none },
        Settlement::Park(_) => Counts { retried: 1, ..none },
        Settlement::DeadLetter(DeadLetter { reason: DeadLetterReason::Rejected, .. }) => {
            Counts { rejected: 1, dead_lettered: 1, ..done }
        }
        Settlement::DeadLetter(_) => Counts { failed: 1, dead_lettered: 1, ..done },
    }
}

#[cfg(test)]
mod tests;
