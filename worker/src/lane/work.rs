//! The line from a message to its settlement, without the waiting in between.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::HeaderMap;
use futures::future::join_all;
use jiff::Timestamp;
use ropeway_crds::{headers as h, integration::Mode, names};
use ropeway_mapping::{EventAttributes, MapError, RunError};

use super::Lane;
use crate::{
    account::{Permit, breaker::Sign},
    cloud_event::encode_header,
    decide::{Attempt, DeadLetter, DeadLetterReason, Done, Return, Settlement, decide},
    decode::{self, Event, History},
    deliver::{Manner, Parcel},
    fault::{self, Step},
    hand::Place,
    io::{
        jetstream::BrokerError,
        publish::{Claim, Envelope, Rank},
    },
    map::Record,
    message::{Message, Origin},
    poison,
    provider::Failure,
    settle::settle,
};

/// Hand-outs without an end after which a message is suspected of killing the process.
pub(super) const SUSPICIOUS: u64 = 3;

/// A message with what is needed to settle it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) message: Message,
    pub(crate) history: History,
    /// The event's attributes, once it was decoded.
    pub(crate) attributes: Option<Arc<EventAttributes>>,
    pub(crate) place: Place,
    /// Where it stands among the events with its key, if the lane keeps order.
    pub(crate) rank: Option<Rank>,
}

/// A message whose record is ready to be sent.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Task,
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
}

/// What became of a message before anything was sent.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Its record can be sent.
    Ready(Item),
    /// Its life ends here.
    Over(Task, Settlement),
    /// It is out of hand: acknowledged already, or it comes again.
    Gone,
}

impl Lane {
    /// Decodes, de-duplicates and maps. The only waits are for de-duplication and for what is suspicious.
    pub(crate) async fn prepare(&self, message: Message, place: Place, created: Timestamp) -> Prepared {
        let history = decode::history(message.headers(), &message.position, created);
        if self.recent.knows(&history) {
            // A broker that crashed had forgotten our acknowledgement.
            if let Err(error) = message.acknowledge(&self.broker).await {
                tracing::warn!(lane = %self.id, %error, "a finished event could not be acknowledged; it comes again");
            }
            return Prepared::Gone;
        }
        let mut task = Task { message, history, attributes: None, place, rank: None };
        let decoded =
            decode::event(task.message.headers(), &task.message.body(), &task.history.delivery, &self.defaults);
        let event = match decoded {
            Ok(event) => event,
            Err(error) => return Prepared::Over(task, give_up(DeadLetterReason::Undecodable, error.to_string())),
        };
        // One that an ordered lane held back may not have been asked yet; its own claim does not count against it.
        if task.message.origin != Origin::Retries {
            match self.is_repeat(&event, &task.history).await {
                Ok(false) => {}
                Ok(true) => return Prepared::Over(task, Settlement::Done(Done::Deduplicated)),
                Err(error) => {
                    tracing::warn!(lane = %self.id, error = %error, cause = %error.source, "an event could not be worked on; it comes again");
                    return Prepared::Gone;
                }
            }
        }
        if task.message.position.deliveries >= SUSPICIOUS && !poison::survives(&self.mapping, &event).await {
            let message =
                format!("the process that maps it dies; it was handed out {} times", task.message.position.deliveries);
            task.attributes = Some(Arc::new(event.attributes));
            return Prepared::Over(task, give_up(DeadLetterReason::Poison, message));
        }
        let mapped = self.mapping.record(&event);
        let attributes = Arc::new(event.attributes);
        task.attributes = Some(Arc::clone(&attributes));
        match mapped {
            Ok(Some(body)) => {
                fault::reached(Step::Mapped);
                let key = self.idempotency_key(&attributes);
                Prepared::Ready(Item { task, record: Record { body, key, attributes } })
            }
            Ok(None) => Prepared::Over(task, Settlement::Done(Done::Filtered)),
            Err(error) => Prepared::Over(task, give_up(mapping_reason(&error), error.to_string())),
        }
    }

    /// Whether another event has claimed this one's key. A key that can't be computed is no repeat: nothing is lost by
    /// delivering, and the mapping has its own say.
    async fn is_repeat(&self, event: &Event, history: &History) -> Result<bool, BrokerError> {
        let Some(dedup) = &self.dedup else { return Ok(false) };
        let key = match self.mapping.dedup_key(event) {
            Ok(Some(key)) => key,
            Ok(None) => return Ok(false),
            Err(RunError::Failed { .. } | RunError::Limit(_) | RunError::Panicked) => return Ok(false),
        };
        let claim = self.broker.claim(self.owner(), &key, &history.delivery, dedup.window.std()).await?;
        Ok(claim == Claim::Taken)
    }

    /// The key by which the destination can tell a repeat: equal for all attempts at an event, for its sender's repeats and
    /// for dead letters that are sent again; different between lanes.
    fn idempotency_key(&self, attributes: &EventAttributes) -> String {
        let EventAttributes { id, source, .. } = attributes;
        // The lane stands for namespace, Integration and destination.
        names::hash(format!("{}\n{source}\n{id}", self.id).as_bytes(), 32)
    }

    /// Sends one portion and settles each of its records. Answers what it showed.
    pub(crate) async fn send(&self, items: Vec<Item>, permit: Permit, trial: Trial) -> Shown {
        let (decided, sign, now) = self.exchange(items, permit, trial).await;
        let finishing = decided.into_iter().map(|(task, settlement)| self.finish(task, settlement, trial, now));
        let refused = join_all(finishing).await.into_iter().flatten().next();
        Shown { sign: Some(sign), refused }
    }

    /// Sends one portion and decides what is to become of each of its records.
    pub(super) async fn exchange(
        &self,
        items: Vec<Item>,
        permit: Permit,
        trial: Trial,
    ) -> (Vec<(Task, Settlement)>, Sign, Timestamp) {
        let parcels: Vec<Parcel<'_>> =
            items.iter().map(|Item { task, record }| Parcel { record, delivery: &task.history.delivery }).collect();
        let retry = items.iter().all(|item| item.task.history.attempt > 1);
        let sent = Timestamp::now();
        let exchange = self.deliverer.deliver(&self.account, &parcels, Manner { retry, trial }, permit).await;
        drop(parcels);
        if let Some(bound) = exchange.too_large {
            self.bound.fetch_min(bound, Ordering::AcqRel);
        }
        let now = Timestamp::now();
        let decided = items.into_iter().zip(exchange.outcomes).map(|(item, outcome)| {
            let Item { task, record: _ } = item;
            let due = match task.message.origin {
                Origin::Events => sent,
                Origin::Retries | Origin::Held => task.message.position.stored,
            };
            let waited = Duration::try_from(sent.duration_since(due)).unwrap_or(Duration::ZERO);
            let attempt = Attempt { history: &task.history, waited, probe: trial == Trial::Circuit };
            let settlement = decide(outcome, attempt, &self.config.delivery, now, rand::random::<f64>());
            let settlement = match (settlement, self.mode) {
                (Settlement::Done(Done::Delivered), Mode::Shadow) => Settlement::Done(Done::Shadowed),
                (settlement, _) => settlement,
            };
            (task, settlement)
        });
        (decided.collect(), exchange.sign, now)
    }

    /// Ends a message's life. Answers with what would have become a dead letter, if it was one too many.
    pub(crate) async fn finish(
        &self,
        task: Task,
        settlement: Settlement,
        trial: Trial,
        now: Timestamp,
    ) -> Option<DeadLetter> {
        let (settlement, refused) = self.guarded(settlement, trial, now).await;
        self.conclude(task, &settlement, now).await;
        refused
    }

    /// Lets a settlement take effect. Answers whether it has; if not, the message comes again.
    pub(super) async fn conclude(&self, task: Task, settlement: &Settlement, now: Timestamp) -> bool {
        let Task { message, history, attributes, place: _place, rank } = task;
        let written = matches!(settlement, Settlement::Park(_) | Settlement::DeadLetter(_));
        let headers = if written { headers(&message, attributes.as_deref()) } else { HeaderMap::new() };
        let (owner, body) = (self.owner(), message.body());
        let envelope = Envelope { owner, headers: &headers, body, history: &history, rank: rank.as_ref() };
        match settle(&self.broker, envelope, message, settlement, self.retention, now).await {
            Ok(()) => {
                if matches!(settlement, Settlement::Done(_)) {
                    self.recent.remember(&history);
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

/// An event that no attempt could help.
pub(super) fn give_up(reason: DeadLetterReason, message: String) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason, failure: Failure { code: None, message } })
}

fn mapping_reason(error: &MapError) -> DeadLetterReason {
    match error.limit() {
        Some(_) => DeadLetterReason::MappingLimit,
        None => DeadLetterReason::MappingFailed,
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
