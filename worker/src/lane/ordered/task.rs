//! What an ordered lane does with single events: take them back, put them behind others, send them, end them.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::{
    Lane, Trial,
    prepare::{SUSPICIOUS, give_up},
    work::{self, Item, Prepared, Task},
};
use crate::{
    account::{Permit, breaker::Sign},
    decide::{DeadLetter, DeadLetterReason, Settlement},
    decode,
    fault::{self, Step},
    hand::{Hand, Place},
    io::publish::{Envelope, Rank},
    message::Message,
    order::{Key, Shelf},
    recent,
};

/// An event in hand that has not been prepared.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) message: Message,
    pub(super) place: Place,
    /// Why its key can't be told.
    pub(super) fault: Option<String>,
}

/// How the life of one event ended, as far as its key is concerned.
#[derive(Debug)]
pub(super) enum End {
    /// The next may go.
    Finished,
    /// It is tried again at this time.
    Parked(Timestamp),
    /// It was not tried; here it is.
    Back(Box<Task>),
    /// Nobody knows.
    Trouble,
}

/// Something that was under way has come to its end.
#[derive(Debug)]
pub(super) enum Happened {
    /// An event is ready, or over. None of a rank: it was sent again out of the dead letters.
    Prepared(Option<Rank>, Box<Prepared>),
    /// These have ended. Whether it was a trial.
    Ended(Vec<(Option<Rank>, End)>, bool),
    /// A trial was not made; here is its event.
    NotTried(Box<Item>),
    /// The first event of a key is not due before.
    NotDue(Key, Timestamp),
    /// The retries stream has no such event.
    Missing(Key),
    /// So many events of the key, up to this sequence, are held.
    Appended(Key, u64, u64),
    /// An event that was safe already is acknowledged.
    Acknowledged,
    /// Something did not work; the session ends.
    Trouble,
}

impl Lane {
    /// The key of an event, or why it has none. Such an event stands alone and is given up when its turn comes.
    pub(super) fn key_of(&self, message: &Message, created: Timestamp) -> (Key, Option<String>) {
        let alone = || Key::from(format!("alone-{}", message.position.sequence));
        let history = decode::history(message.headers(), &message.position, created);
        // What is no event is found out when it is prepared.
        let Ok(event) = decode::event(message.headers(), &message.body(), &history.delivery, &self.defaults) else {
            return (alone(), None);
        };
        match self.mapping.order_key(&event) {
            Ok(key) => (Key::from(ropeway_crds::names::order_key(&key.unwrap_or_default())), None),
            Err(error) => (alone(), Some(format!("ordering.key: {error}"))),
        }
    }

    /// Prepares an event whose turn has come.
    pub(super) async fn prepare_slot(&self, slot: Slot, rank: Rank, created: Timestamp) -> Happened {
        let Slot { message, place, fault } = slot;
        let prepared = match fault {
            None => self.prepare(message, place, created).await,
            Some(fault) => {
                let history = decode::history(message.headers(), &message.position, created);
                let key = recent::Key::of(&history);
                let task = Task { message, history, key, attributes: None, place, rank: None };
                Prepared::Over(Box::new(task), give_up(DeadLetterReason::MappingFailed, fault))
            }
        };
        Happened::Prepared(Some(rank), Box::new(prepared))
    }

    /// Takes the first event of a key from the retries stream and prepares it. It is suspicious where the worker before may
    /// have died of it.
    pub(super) async fn fetch(&self, key: Key, shelf: Shelf, suspicious: bool, created: Timestamp) -> Happened {
        let fetched = match self.broker.fetch_held(&self.id, &key, shelf).await {
            Ok(Some(fetched)) => fetched,
            Ok(None) => return Happened::Missing(key),
            Err(error) => {
                tracing::warn!(lane = %self.id, %error, cause = %error.source, "an event that is held can't be read");
                return Happened::Trouble;
            }
        };
        fault::reached(Step::Fetched);
        if shelf == Shelf::First
            && let Some(due) = fetched.due.filter(|due| *due > Timestamp::now())
        {
            return Happened::NotDue(key, due);
        }
        let parked_at = if shelf == Shelf::First { fetched.message.position.sequence } else { 0 };
        let (mut message, rank) = (fetched.message, Rank { key, sequence: fetched.sequence, parked_at });
        if suspicious {
            message.position.deliveries = SUSPICIOUS;
        }
        // The server does not wait for it.
        let place = Hand::default().take(message.reply(), tokio::time::Instant::now());
        self.prepare_slot(Slot { message, place, fault: None }, rank, created).await
    }

    /// Puts events behind what is held of their key, in this order.
    pub(super) async fn append(&self, key: Key, items: Vec<(u64, Slot)>, created: Timestamp) -> Happened {
        let (count, mut last) = (items.len() as u64, 0);
        for (sequence, slot) in items {
            let Slot { message, place: _place, fault: _ } = slot;
            let history = decode::history(message.headers(), &message.position, created);
            let (headers, rank) =
                (work::headers(&message, None), Rank { key: Arc::clone(&key), sequence, parked_at: 0 });
            let (owner, body) = (self.owner(), message.body());
            let envelope = Envelope { owner, headers: &headers, body, history: &history, rank: Some(&rank) };
            if let Err(error) = self.broker.set_aside(envelope).await {
                tracing::warn!(lane = %self.id, %error, cause = %error.source, "an event could not be put behind a failing one");
                return Happened::Trouble;
            }
            fault::reached(Step::Held);
            if let Err(error) = message.acknowledge(&self.broker).await {
                tracing::warn!(lane = %self.id, %error, "an event that is held could not be acknowledged");
                return Happened::Trouble;
            }
            last = sequence;
        }
        Happened::Appended(key, count, last)
    }

    /// Acknowledges an event that is safe already, or settled.
    pub(super) async fn repeat(&self, slot: Slot) -> Happened {
        let Slot { message, place: _place, fault: _ } = slot;
        match message.acknowledge(&self.broker).await {
            Ok(()) => Happened::Acknowledged,
            Err(error) => {
                tracing::warn!(lane = %self.id, %error, "an event that was settled could not be acknowledged");
                Happened::Trouble
            }
        }
    }

    /// Sends a portion and ends each of its events.
    pub(super) async fn send_ordered(&self, items: Vec<Item>, permit: Permit) -> Happened {
        let (ended, _, _) = self.send_and_end(items, permit, Trial::None).await;
        Happened::Ended(ended, false)
    }

    /// The same, and what it showed.
    pub(super) async fn send_and_end(
        &self,
        items: Vec<Item>,
        permit: Permit,
        trial: Trial,
    ) -> (Vec<(Option<Rank>, End)>, Sign, bool) {
        let (decided, sign, now) = self.exchange(items, permit, trial).await;
        let ending = decided.into_iter().map(|(task, settlement)| self.end(task, settlement, trial, now));
        let (mut ended, mut refused) = (Vec::new(), false);
        for (rank, end, letter) in futures::future::join_all(ending).await {
            refused |= letter.is_some();
            ended.push((rank, end));
        }
        (ended, sign, refused)
    }

    /// Ends one event. One that is not settled is handed back to the session, since its key must wait for it.
    pub(super) async fn end(
        &self,
        task: Box<Task>,
        settlement: Settlement,
        trial: Trial,
        now: Timestamp,
    ) -> (Option<Rank>, End, Option<DeadLetter>) {
        let (settlement, refused) = self.guarded(settlement, trial, now).await;
        let rank = task.rank.clone();
        let end = match &settlement {
            Settlement::Return(_) => {
                self.tally.settled(&settlement, now);
                End::Back(task)
            }
            Settlement::Park(park) => {
                let due = park.due;
                if self.conclude(task, &settlement, now).await { End::Parked(due) } else { End::Trouble }
            }
            Settlement::Done(_) | Settlement::DeadLetter(_) => {
                if self.conclude(task, &settlement, now).await {
                    End::Finished
                } else {
                    End::Trouble
                }
            }
        };
        (rank, end, refused)
    }
}
