//! What a lane has lately finished for good.
//!
//! A broker that crashes forgets the acknowledgements of its last moments and hands those messages out again. A worker
//! that lived through it knows better: it acknowledges them once more instead of sending them twice. This is a courtesy
//! and no promise: it lives in the pod. Only what needs nothing further of any stream may be remembered, so a parked
//! retry or a dead letter never is.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::decode::History;

/// How many are remembered: what a lane can finish in the second in which a broker's state is not yet on its disk.
const MOST: usize = 4096;

/// The deliveries that a lane has lately finished.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Recent {
    /// Whether this delivery was finished lately.
    pub fn knows(&self, key: Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&key)
    }

    /// Remembers finished deliveries, and forgets the oldest beyond the limit.
    pub fn remember(&self, keys: impl IntoIterator<Item = Key>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if inner.known.insert(key) {
                inner.order.push_back(key);
            }
            if inner.order.len() > MOST
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.known.remove(&oldest);
            }
        }
    }
}

/// What a delivery is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// 128 bits of a SHA-256: ids may come from a user's stream, and two that meet would lose an event.
    pub fn of(history: &History) -> Self {
        let digest = Sha256::new().chain_update(&history.delivery).chain_update([b':']);
        let digest = digest.chain_update(history.resend.to_le_bytes()).finalize();
        Self(digest.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(delivery: usize, resend: u32, attempt: u32) -> Key {
        let held = std::time::Duration::ZERO;
        Key::of(&History { delivery: delivery.to_string(), attempt, resend, first_failure: None, held, parks: 0 })
    }

    #[test]
    fn a_finished_delivery_is_known_whatever_its_attempt_but_a_resend_is_another() {
        let recent = Recent::default();
        recent.remember([key(1, 0, 2)]);
        assert!(recent.knows(key(1, 0, 1)));
        assert!(!recent.knows(key(1, 1, 1)));
        assert!(!recent.knows(key(2, 0, 1)));
    }

    #[test]
    fn it_stays_bounded() {
        let recent = Recent::default();
        for delivery in 0..3 * MOST {
            recent.remember([key(delivery, 0, 1), key(delivery, 0, 1)]);
        }
        let inner = recent.0.lock().unwrap();
        assert_eq!((inner.known.len(), inner.order.len()), (MOST, MOST));
        drop(inner);
        assert!(recent.knows(key(3 * MOST - 1, 0, 1)));
        assert!(!recent.knows(key(0, 0, 1)));
    }
}
