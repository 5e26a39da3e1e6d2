//! What is known of one key.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What is known of one key.
#[derive(Debug)]
pub(super) struct Queue<T> {
    pub(super) phase: Phase,
    /// In hand, by sequence.
    pub(super) waiting: BTreeMap<u64, T>,
    /// Whether an event of it is parked.
    pub(super) parked: bool,
    /// How many are held behind it.
    pub(super) held: u64,
    /// The lowest and the highest sequence that were parked or held. What lies between is there, or behind us; what is lower
    /// comes before all of it: it was under way, slow, when the others were put behind it.
    pub(super) kept: Option<(u64, u64)>,
    /// The lowest and the highest sequence of those that are being put behind it, while they are.
    pub(super) appending: Option<(u64, u64)>,
    /// Whether those in hand go behind the one under way although it has not failed.
    pub(super) pressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Sending { from: From, since: Timestamp },
    Parked(Timestamp),
    Due,
}

/// Where the event under way came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// It is the one in hand with this sequence.
    Hand(u64),
    First,
    Next,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            waiting: BTreeMap::new(),
            parked: false,
            held: 0,
            kept: None,
            appending: None,
            pressed: false,
        }
    }

    /// These are kept in the retries stream from now on.
    pub(super) fn keep(&mut self, lowest: u64, highest: u64) {
        let (from, to) = self.kept.unwrap_or((lowest, highest));
        self.kept = Some((from.min(lowest), to.max(highest)));
    }

    /// The lowest sequence in hand that comes before everything that is kept.
    pub(super) fn before(&self) -> Option<u64> {
        let (sequence, _) = self.waiting.first_key_value()?;
        self.kept.is_none_or(|(from, _)| *sequence < from).then_some(*sequence)
    }

    /// Takes those in hand that go behind what is kept, or behind the one under way.
    pub(super) fn take_behind(&mut self) -> BTreeMap<u64, T> {
        match self.kept {
            Some((from, _)) => self.waiting.split_off(&from),
            None => std::mem::take(&mut self.waiting),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Idle && self.waiting.is_empty() && self.held == 0 && self.appending.is_none()
    }
}
