//! What a lane has in hand, so that the server is told in time that it is still being worked on: a message may wait longer
//! for a slot than its acknowledgement may take.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::Subject;
use tokio::time::Instant;

/// How often the server is told. Acknowledgements fall due after 30 seconds at the earliest.
pub const PROGRESS: Duration = Duration::from_secs(10);

/// The messages that a lane has in hand.
#[derive(Clone, Debug, Default)]
pub struct Hand(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    held: HashMap<u64, (Subject, Instant)>,
}

/// One message's place in the hand. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    hand: Hand,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hand.0.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&self.number);
    }
}

impl Hand {
    /// Takes a message into the hand; `reply` is where the server listens for its acknowledgement.
    pub fn take(&self, reply: Subject, now: Instant) -> Place {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.next += 1;
        let number = inner.next;
        inner.held.insert(number, (reply, now));
        Place { hand: self.clone(), number }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of which the server should hear that they are still being worked on; they count as told from now on.
    pub fn overdue(&self, now: Instant) -> Vec<Subject> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = inner.held.values_mut().filter(|(_, told)| now.duration_since(*told) >= PROGRESS);
        overdue
            .map(|(reply, told)| {
                *told = now;
                reply.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_of_what_is_still_in_hand_and_of_nothing_else() {
        let (hand, now) = (Hand::default(), Instant::now());
        let kept = hand.take("kept".into(), now);
        drop(hand.take("done".into(), now));
        assert!(hand.overdue(now + Duration::from_secs(9)).is_empty());
        assert_eq!(hand.overdue(now + PROGRESS), vec![Subject::from("kept")]);
        assert!(hand.overdue(now + PROGRESS).is_empty());
        drop(kept);
        assert!(hand.is_empty());
    }
}
