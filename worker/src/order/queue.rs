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
    /// Everything up to this sequence is parked, held, or behind us.
    pub(super) safe: u64,
    /// The last sequence of those that are being put behind it, while they are.
    pub(super) appending: Option<u64>,
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
            safe: 0,
            appending: None,
            pressed: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Idle && self.waiting.is_empty() && self.held == 0 && self.appending.is_none()
    }
}
