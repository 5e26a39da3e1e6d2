//! A lane that may not work as usual takes a single event and tries it: whether the destination answers again, or whether
//! the lane's events are accepted again. A trial that fails spends nothing.

use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use ropeway_crds::{integration::State, names::hold_key};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Blocked, Lane, Trial,
    flow::{PATIENCE, give_back_buffered},
    work::{Prepared, Shown},
};
use crate::{
    account::{Permit, breaker::Sign, shared::learn_hold},
    decide::{DeadLetter, Settlement},
    hand::Hand,
    io::account::Versioned,
    message::{Message, Origin},
};

/// How long a lane that is held waits between two trials.
pub(super) const HOLD_PAUSE: Duration = Duration::from_secs(60);

impl Lane {
    /// Takes one event, if one comes while it is still wanted, and tries it.
    pub(super) async fn probe(
        &self,
        blocked: &Blocked,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) {
        let mut streams = match self.open(1).await {
            Ok(streams) => streams,
            Err(problem) => {
                self.tally.unbound(problem);
                sleep(super::REOPEN).await;
                return;
            }
        };
        let created = streams.created;
        let (mut circuit, mut hold) = (self.account.circuit_changes(), self.hold.subscribe());
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            _ = state.changed() => None,
            _ = circuit.changed() => None,
            _ = hold.changed() => None,
            // What waits for another attempt is older.
            next = streams.retries.next() => next.map(|next| (next, Origin::Retries)),
            next = streams.events.next() => next.map(|next| (next, Origin::Events)),
            () = sleep(PATIENCE) => None,
        };
        if let Some((Ok(message), origin)) = taken
            && let Some(message) = Message::take(message, origin)
        {
            match blocked {
                Blocked::Circuit(_) => self.try_destination(message, created).await,
                Blocked::Held(_) => self.try_events(message, created).await,
                Blocked::Crowded => message.give_back().await,
            }
        }
        give_back_buffered(&mut streams).await;
    }

    /// Tries whether the destination answers again. Only one worker at a time has the right to.
    async fn try_destination(&self, message: Message, created: Timestamp) {
        let hand = Hand::default();
        let place = hand.take(message.reply(), tokio::time::Instant::now());
        // The right to try ends soon: it is not taken before the request may be made.
        let Ok(permit) = timeout(PATIENCE, self.account.pace().permit(&self.account)).await else {
            return message.give_back().await;
        };
        if !self.account.take_probe(self.id.as_str(), self.config.delivery.timeout.std()).await {
            return message.give_back().await;
        }
        let shown = self.attempt(self.prepare(message, place, created).await, permit, Trial::Circuit).await;
        self.account.probed(self.id.as_str(), shown.sign.as_ref()).await;
    }

    /// Tries whether the lane's events are accepted again.
    async fn try_events(&self, message: Message, created: Timestamp) {
        let Ok(permit) = timeout(PATIENCE, self.account.pace().permit(&self.account)).await else {
            return message.give_back().await;
        };
        if !self.claim_trial().await {
            return message.give_back().await;
        }
        let hand = Hand::default();
        let place = hand.take(message.reply(), tokio::time::Instant::now());
        let shown = self.attempt(self.prepare(message, place, created).await, permit, Trial::Held).await;
        let accepted = shown.done && shown.refused.is_none() && matches!(shown.sign, None | Some(Sign::Answered));
        if accepted {
            self.end_hold().await;
        }
    }

    /// Takes the right to try one of the lane's events while it is held: the next trial is written down first, so that only
    /// one worker makes this one.
    pub(super) async fn claim_trial(&self) -> bool {
        let key = hold_key(&self.id);
        let known = self.hold.borrow().clone();
        let Some(mut hold) = known.value else { return false };
        hold.next_probe = Timestamp::now() + HOLD_PAUSE;
        match self.broker.hold(&key, &hold, known.revision).await {
            Ok(Some(revision)) => learn_hold(&self.hold, Versioned { value: Some(hold), revision }),
            _ => {
                if let Ok(read) = self.broker.shared(&key).await {
                    learn_hold(&self.hold, read);
                }
                return false;
            }
        }
        true
    }

    /// The lane's events are accepted again.
    pub(super) async fn end_hold(&self) {
        let key = hold_key(&self.id);
        self.guard().clear();
        match self.broker.release(&key).await {
            Ok(()) => tracing::info!(lane = %self.id, "an event was accepted; the lane goes on"),
            Err(error) => {
                tracing::warn!(lane = %self.id, %error, "the lane could not be released; it is tried again")
            }
        }
    }

    /// Takes a prepared event to its end. It has been filtered, it can't be mapped, or it is sent.
    async fn attempt(&self, prepared: Prepared, permit: Permit, trial: Trial) -> Shown {
        match prepared {
            // What is given up without being sent says nothing about the destination.
            Prepared::Gone => Shown { sign: None, refused: Some(nothing()), done: false },
            Prepared::Over(task, settlement) => {
                let done = matches!(settlement, Settlement::Done(_));
                let refused = self.finish(task, settlement, trial, Timestamp::now()).await;
                Shown { sign: None, refused: refused.or_else(|| (!done).then(nothing)), done }
            }
            Prepared::Ready(item) => self.send(vec![item], permit, trial).await,
        }
    }
}

/// In place of a dead letter, where an event showed nothing.
fn nothing() -> DeadLetter {
    DeadLetter {
        reason: crate::decide::DeadLetterReason::Undecodable,
        failure: crate::provider::Failure::silent("nothing was shown"),
    }
}
