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
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Recent {
    /// Whether this delivery was finished lately.
    pub fn knows(&self, history: &History) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&key(history))
    }

    /// Remembers a finished delivery, and forgets the oldest beyond the limit.
    pub fn remember(&self, history: &History) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(history);
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

/// 128 bits of a SHA-256: ids may come from a user's stream, and two that meet would lose an event.
fn key(history: &History) -> u128 {
    let text = format!("{}:{}", history.delivery, history.resend);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(delivery: usize, resend: u32, attempt: u32) -> History {
        let held = std::time::Duration::ZERO;
        History { delivery: delivery.to_string(), attempt, resend, first_failure: None, held, parks: 0 }
    }

    #[test]
    fn a_finished_delivery_is_known_whatever_its_attempt_but_a_resend_is_another() {
        let recent = Recent::default();
        recent.remember(&history(1, 0, 2));
        assert!(recent.knows(&history(1, 0, 1)));
        assert!(!recent.knows(&history(1, 1, 1)));
        assert!(!recent.knows(&history(2, 0, 1)));
    }

    #[test]
    fn it_stays_bounded() {
        let recent = Recent::default();
        for delivery in 0..3 * MOST {
            recent.remember(&history(delivery, 0, 1));
            recent.remember(&history(delivery, 0, 1));
        }
        let inner = recent.0.lock().unwrap();
        assert_eq!((inner.known.len(), inner.order.len()), (MOST, MOST));
        drop(inner);
        assert!(recent.knows(&history(3 * MOST - 1, 0, 1)));
        assert!(!recent.knows(&history(0, 0, 1)));
    }
}
