//! The systemic guard: when most of a lane's recent events would become dead letters for one reason, something is wrong
//! that no event can help, and the lane is held instead. Pure: the time comes in as a value.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use ropeway_crds::worker_config::HoldPolicy;

use crate::decide::DeadLetterReason;

/// Slots that the window is cut into.
const SLOTS: i64 = 20;

/// How the lane's recent events ended.
#[derive(Debug, Default)]
pub struct Guard {
    slots: VecDeque<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    number: i64,
    events: u64,
    dead: HashMap<DeadLetterReason, u64>,
}

impl Guard {
    /// Notes how an event ended: with which reason it became a dead letter, or none if it did not.
    pub fn note(&mut self, end: Option<DeadLetterReason>, policy: &HoldPolicy, now: Timestamp) {
        let slot = self.slot(policy, now);
        slot.events += 1;
        if let Some(reason) = end {
            *slot.dead.entry(reason).or_default() += 1;
        }
    }

    /// Notes that so many events did not become dead letters.
    pub fn note_good(&mut self, events: u64, policy: &HoldPolicy, now: Timestamp) {
        self.slot(policy, now).events += events;
    }

    /// Whether one more dead letter with this reason is one too many.
    pub fn objects(&mut self, reason: DeadLetterReason, policy: &HoldPolicy, now: Timestamp) -> bool {
        self.slot(policy, now);
        let events: u64 = 1 + self.slots.iter().map(|slot| slot.events).sum::<u64>();
        let dead: u64 = 1 + self.slots.iter().filter_map(|slot| slot.dead.get(&reason)).sum::<u64>();
        events >= u64::from(policy.minimum) && dead * 100 >= events * u64::from(policy.failure_percent)
    }

    /// Forgets everything, so that a lane that goes on is not held for what was before.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    fn slot(&mut self, policy: &HoldPolicy, now: Timestamp) -> &mut Slot {
        let window = i64::try_from(policy.window.std().as_millis()).unwrap_or(i64::MAX).max(SLOTS);
        let number = now.as_millisecond().div_euclid(window / SLOTS);
        self.slots.retain(|slot| (0..SLOTS).contains(&number.saturating_sub(slot.number)));
        if self.slots.back().is_none_or(|slot| slot.number != number) {
            self.slots.push_back(Slot { number, ..Slot::default() });
        }
        self.slots.back_mut().expect("there is a slot, it was just looked for")
    }
}

#[cfg(test)]
mod tests {
    use ropeway_crds::duration::Duration;

    use super::*;

    const POLICY: HoldPolicy = HoldPolicy { failure_percent: 50, minimum: 10, window: Duration::from_secs(300) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn it_objects_to_one_reason_that_takes_most_events_but_not_before_there_are_enough() {
        let mut guard = Guard::default();
        for _ in 0..9 {
            assert!(!guard.objects(DeadLetterReason::Rejected, &POLICY, at(0)));
            guard.note(Some(DeadLetterReason::Rejected), &POLICY, at(0));
        }
        assert!(guard.objects(DeadLetterReason::Rejected, &POLICY, at(1)));
        assert!(!guard.objects(DeadLetterReason::MappingFailed, &POLICY, at(1)));
    }

    #[test]
    fn what_is_delivered_and_what_is_long_ago_speak_against_it() {
        let mut guard = Guard::default();
        for _ in 0..9 {
            guard.note(Some(DeadLetterReason::Rejected), &POLICY, at(0));
        }
        for _ in 0..12 {
            guard.note(None, &POLICY, at(1));
        }
        assert!(!guard.objects(DeadLetterReason::Rejected, &POLICY, at(1)));
        let mut guard = Guard::default();
        for _ in 0..20 {
            guard.note(Some(DeadLetterReason::Rejected), &POLICY, at(0));
        }
        assert!(guard.objects(DeadLetterReason::Rejected, &POLICY, at(200)));
        assert!(!guard.objects(DeadLetterReason::Rejected, &POLICY, at(400)));
    }
}
