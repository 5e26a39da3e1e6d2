//! The line from a message to its settlement, without the waiting in between.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::HeaderMap;
use futures::future::join_all;
use jiff::Timestamp;
use ropeway_crds::{headers as h, integration::Mode};
use ropeway_mapping::EventAttributes;

use super::Lane;
use crate::{
    account::{Permit, breaker::Sign},
    cloud_event::encode_header,
    decide::{Attempt, DeadLetter, Done, Return, Settlement, decide},
    decode::History,
    deliver::{Exchange, Manner, Parcel, Wanted},
    hand::Place,
    io::publish::{Envelope, Rank},
    map::Record,
    message::{Message, Origin},
    provider::Outcome,
    recent::Key,
    settle::settle,
};

/// A message with what is needed to settle it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) message: Message,
    pub(crate) history: History,
    /// What it is remembered by when it is finished.
    pub(crate) key: Key,
    /// The event's attributes, once it was decoded.
    pub(crate) attributes: Option<Arc<EventAttributes>>,
    pub(crate) place: Place,
    /// Where it stands among the events with its key, if the lane keeps order.
    pub(crate) rank: Option<Rank>,
}

/// A message whose record is ready to be sent.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Box<Task>,
    pub(crate) record: Record,
}

/// Why a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It is the usual case.
    None,
    /// To see whether the destination answers again.
    Circuit,
    /// To see whether the lane's events are accepted again.
    Held,
}

/// What sending showed.
#[derive(Debug)]
pub(crate) struct Shown {
    /// About the destination; none where nothing was sent.
    pub(crate) sign: Option<Sign>,
    /// What would have become a dead letter, if the lane is held for it.
    pub(crate) refused: Option<DeadLetter>,
    /// Whether nothing more is to be done for what was tried.
    pub(crate) done: bool,
}

/// What came back for a portion.
#[derive(Debug)]
pub(crate) struct Sent {
    items: Vec<Item>,
    exchange: Exchange,
    at: Timestamp,
    trial: Trial,
}

/// What became of a message before anything was sent.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Its record can be sent.
    Ready(Item),
    /// Its life ends here.
    Over(Box<Task>, Settlement),
    /// It is out of hand: acknowledged already, or it comes again.
    Gone,
}

impl Lane {
    /// Sends one portion and settles each of its records. Answers what it showed.
    pub(crate) async fn send(&self, items: Vec<Item>, permit: Permit, trial: Trial) -> Shown {
        let (decided, sign, now) = self.exchange(items, permit, trial).await;
        let done = decided.iter().all(|(_, settlement)| matches!(settlement, Settlement::Done(_)));
        let finishing = decided.into_iter().map(|(task, settlement)| self.finish(task, settlement, trial, now));
        let refused = join_all(finishing).await.into_iter().flatten().next();
        Shown { sign: Some(sign), refused, done }
    }

    /// Sends one portion and decides what is to become of each of its records.
    pub(super) async fn exchange(
        &self,
        items: Vec<Item>,
        permit: Permit,
        trial: Trial,
    ) -> (Vec<(Box<Task>, Settlement)>, Sign, Timestamp) {
        let sent = self.dispatch(items, permit, trial, None).await;
        let (sign, now) = (sent.exchange.sign.clone(), Timestamp::now());
        (self.settlements(sent, now).collect(), sign, now)
    }

    /// Sends one portion, which may take long while that is wanted.
    pub(crate) async fn dispatch(
        &self,
        items: Vec<Item>,
        permit: Permit,
        trial: Trial,
        wanted: Option<&Wanted>,
    ) -> Sent {
        let parcels: Vec<Parcel<'_>> =
            items.iter().map(|Item { task, record }| Parcel { record, delivery: &task.history.delivery }).collect();
        let retry = items.iter().all(|item| item.task.history.attempt > 1);
        let at = Timestamp::now();
        let exchange = self.deliverer.deliver(&self.account, &parcels, Manner { retry, trial, wanted }, permit).await;
        drop(parcels);
        if let Some(bound) = exchange.too_large {
            self.bound.fetch_min(bound, Ordering::AcqRel);
        }
        Sent { items, exchange, at, trial }
    }

    /// What follows for each message of a portion from what came back.
    pub(crate) fn settlements(&self, sent: Sent, now: Timestamp) -> impl Iterator<Item = (Box<Task>, Settlement)> {
        let Sent { items, exchange, at, trial } = sent;
        let done = if self.mode == Mode::Shadow { Done::Shadowed } else { Done::Delivered };
        items.into_iter().zip(exchange.outcomes).map(move |(item, outcome)| {
            let Item { task, record: _ } = item;
            if outcome == Outcome::Delivered {
                return (task, Settlement::Done(done));
            }
            let due = match task.message.origin {
                Origin::Events => at,
                Origin::Retries | Origin::Held => task.message.position.stored,
            };
            let waited = Duration::try_from(at.duration_since(due)).unwrap_or(Duration::ZERO);
            let attempt = Attempt { history: &task.history, waited, probe: trial == Trial::Circuit };
            let settlement = decide(outcome, attempt, &self.config.delivery, now, rand::random::<f64>());
            (task, settlement)
        })
    }

    /// Ends a message's life. Answers with what would have become a dead letter, if it was one too many.
    pub(crate) async fn finish(
        &self,
        task: Box<Task>,
        settlement: Settlement,
        trial: Trial,
        now: Timestamp,
    ) -> Option<DeadLetter> {
        let (settlement, refused) = self.guarded(settlement, trial, now).await;
        self.conclude(task, &settlement, now).await;
        refused
    }

    /// Lets a settlement take effect. Answers whether it has; if not, the message comes again.
    pub(super) async fn conclude(&self, task: Box<Task>, settlement: &Settlement, now: Timestamp) -> bool {
        let Task { message, history, key, attributes, place: _place, rank } = *task;
        let written = matches!(settlement, Settlement::Park(_) | Settlement::DeadLetter(_));
        let headers = if written { headers(&message, attributes.as_deref()) } else { HeaderMap::new() };
        let (owner, body) = (self.owner(), message.body());
        let envelope = Envelope { owner, headers: &headers, body, history: &history, rank: rank.as_ref() };
        match settle(&self.broker, envelope, message, settlement, self.retention, now).await {
            Ok(()) => {
                if matches!(settlement, Settlement::Done(_)) {
                    self.recent.remember([key]);
                }
                self.tally.settled(settlement, now);
                true
            }
            Err(error) => {
                tracing::warn!(lane = %self.id, %error, cause = %error.cause(), "an event could not be settled; it comes again");
                self.tally.unsettled(settlement, &error);
                false
            }
        }
    }

    /// The settlement, unless it is a dead letter too many: then the event goes back and the lane is held.
    pub(super) async fn guarded(
        &self,
        settlement: Settlement,
        trial: Trial,
        now: Timestamp,
    ) -> (Settlement, Option<DeadLetter>) {
        let Settlement::DeadLetter(letter) = settlement else {
            if matches!(settlement, Settlement::Done(_)) {
                self.guard().note(None, &self.hold_policy, now);
            }
            return (settlement, None);
        };
        let held = self.hold.borrow().value.as_ref().is_some_and(|hold| hold.config == self.fingerprint);
        if !held && !self.guard().objects(letter.reason, &self.hold_policy, now) {
            self.guard().note(Some(letter.reason), &self.hold_policy, now);
            return (Settlement::DeadLetter(letter), None);
        }
        if trial != Trial::Held && !held {
            self.begin_hold(letter.reason.as_str(), &letter.failure.message).await;
        }
        let back = Return { cause: None, failure: letter.failure.clone() };
        (Settlement::Return(back), Some(letter))
    }
}

/// A message's headers with the event's id, source and type in them, so that they are the same when it comes again.
pub(super) fn headers(message: &Message, attributes: Option<&EventAttributes>) -> HeaderMap {
    let mut headers = message.headers().cloned().unwrap_or_default();
    let Some(attributes) = attributes else { return headers };
    for (name, value) in [("id", &attributes.id), ("source", &attributes.source), ("type", &attributes.r#type)] {
        let name = format!("{}{name}", h::CLOUD_EVENT_PREFIX);
        if headers.get(name.as_str()).is_none() {
            headers.insert(name, encode_header(value));
        }
    }
    headers
}
