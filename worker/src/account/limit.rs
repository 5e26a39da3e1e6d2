//! The rate limit of one Destination: slots of time that workers lease from a record they share. Pure: the time comes in
//! as a value, always on the server's clock.
//!
//! The limit is GCRA: slots lie `per / requests` apart. A lease takes the next ones out of the record, so no two workers
//! ever have the same; a slot that is not used in time is lost, so a lease can only admit too little.

use std::collections::VecDeque;

use ropeway_crds::{
    account::LimitRecord,
    limits::{Rate, RatePolicy},
};

/// A worker that gave no sign of life for so long, in milliseconds, no longer counts.
const GONE_AFTER: i64 = 15_000;

/// How long a worker may rely on its last sign of life, in milliseconds.
pub const RENEW_AFTER: i64 = 5_000;

/// The most slots in a lease.
const MOST_SLOTS: i64 = 10_000;

/// A record that lies further ahead, in microseconds, makes no sense: a clock was wrong.
const ABSURD: i64 = 2 * 24 * 3600 * 1_000_000;

/// The whole limit, in thousandths.
const WHOLE: u32 = 1_000;

/// The least that is left of a limit, in thousandths, however often the destination answers 429.
const LEAST: u32 = 50;

/// What a limit grows by each second after it was lowered, in thousandths.
const GROWTH: u32 = 50;

/// Slots that a worker has leased and not used yet: times in microseconds of the server's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots(VecDeque<i64>);

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Now.
    Now,
    /// Not before this time, in microseconds of the server's clock; then ask again.
    At(i64),
    /// There is no slot; lease some.
    Empty,
}

impl Slots {
    /// Takes a slot if one is due. Slots that are late by more than `lateness` microseconds are lost.
    pub fn take(&mut self, lateness: i64, now: i64) -> Take {
        while let Some(first) = self.0.front().copied() {
            if first > now {
                return Take::At(first);
            }
            self.0.pop_front();
            if now - first <= lateness {
                return Take::Now;
            }
        }
        Take::Empty
    }

    /// Adds what was leased.
    pub fn add(&mut self, lease: &Lease) {
        self.0.extend((0..lease.count).map(|index| lease.first + index * lease.step));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives all up: what they were leased under no longer holds.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Slots of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The time of the first, in microseconds.
    pub first: i64,
    /// The time between two, in microseconds.
    pub step: i64,
    /// How many.
    pub count: i64,
}

/// The time between two requests, in microseconds, at this share of the limit.
pub fn step(rate: &Rate, factor: u32) -> i64 {
    let per = i64::try_from(rate.per.std().as_micros()).unwrap_or(i64::MAX);
    let requests = i64::from(rate.requests.max(1));
    let whole = per.saturating_add(requests - 1) / requests;
    whole.saturating_mul(i64::from(WHOLE)) / i64::from(factor.clamp(LEAST, WHOLE))
}

/// How late a slot may be used, in microseconds: one step, but never less than timers are exact to, and within a burst what
/// the burst allows.
pub fn lateness(rate: &Rate, factor: u32) -> i64 {
    const TIMER: i64 = 5_000;
    step(rate, factor).saturating_mul(i64::from(rate.burst.max(1))).max(TIMER).min(1_000_000.max(step(rate, factor)))
}

/// Takes slots for `worker` out of the record, about one second's worth of its share, and notes that it is alive.
pub fn lease(record: &LimitRecord, policy: &RatePolicy, worker: &str, now: i64) -> (LimitRecord, Option<Lease>) {
    let mut next = alive(record, worker, now / 1_000);
    let live = i64::try_from(next.workers.len()).unwrap_or(1).max(1);
    let Some(rate) = &policy.limit else { return (next, None) };
    let step = step(rate, next.factor);
    let burst = i64::from(rate.burst.max(1)) - 1;
    let earliest = now.saturating_sub(burst.saturating_mul(step));
    let closed = next.closed_until.saturating_mul(1_000);
    let free = if record.next_slot > now + ABSURD { now } else { record.next_slot };
    let first = free.max(earliest).max(closed);
    // Slots that lie in the past are the burst; they are handed out at once or never.
    let past = if first <= now { (now - first) / step + 1 } else { 0 };
    let count = (1_000_000 / step / live).max(past).clamp(1, MOST_SLOTS);
    next.next_slot = first + count * step;
    (next, Some(Lease { first, step, count }))
}

/// The record with this worker alive in it and without those that are gone, and with the share that has grown back.
fn alive(record: &LimitRecord, worker: &str, now: i64) -> LimitRecord {
    let mut next = record.clone();
    next.workers.retain(|_, seen| (now - *seen).abs() <= GONE_AFTER);
    next.workers.insert(worker.to_owned(), now);
    if next.factor == 0 {
        (next.factor, next.factor_since) = (WHOLE, now);
    }
    let seconds = (now - next.factor_since).max(0) / 1_000;
    if next.factor < WHOLE && seconds > 0 {
        let growth = u32::try_from(seconds.min(60)).unwrap_or(60) * GROWTH;
        next.factor = (next.factor + growth).min(WHOLE);
        next.factor_since = now;
    }
    next
}

/// The record after the destination said that its window is used up or, if `limited`, that it is asked too often. `until`
/// is when it wants to be asked again, if it said so, in milliseconds.
pub fn slow_down(record: &LimitRecord, until: Option<i64>, limited: bool, now: i64) -> LimitRecord {
    let mut next = record.clone();
    if next.factor == 0 {
        next.factor = WHOLE;
    }
    // Answers to requests that were under way together are one complaint.
    if limited && (next.factor == WHOLE || now - next.factor_since >= 1_000) {
        next.factor = (next.factor * 7 / 10).max(LEAST);
        next.factor_since = now;
    }
    next.closed_until = next.closed_until.max(until.unwrap_or(0));
    next
}

/// How many requests this worker may have under way: its share of `most`, such that the shares of all live workers add up to it.
pub fn share(record: &LimitRecord, most: u32, worker: &str) -> usize {
    let live = record.workers.len().max(1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let rank = record.workers.keys().take_while(|name| name.as_str() < worker).count();
    most / live + usize::from(rank < most % live)
}

/// Slots for a worker that can't reach the record: its share of the limit, after the slots that it had.
pub fn alone(record: &LimitRecord, rate: &Rate, after: i64, now: i64) -> Lease {
    let live = i64::try_from(record.workers.len()).unwrap_or(1).max(1);
    let step = step(rate, record.factor.max(LEAST)).saturating_mul(live);
    Lease { first: after.max(now), step, count: (1_000_000 / step).clamp(1, MOST_SLOTS) }
}

#[cfg(test)]
mod tests;
