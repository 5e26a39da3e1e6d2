//! From a message to a record that is ready to be sent, or to the end of its life before that.

use std::sync::Arc;

use jiff::Timestamp;
use ropeway_crds::{names, schema::OnViolation};
use ropeway_mapping::{EventAttributes, MapError, RunError};

use super::{
    Lane,
    work::{Item, Prepared, Task},
};
use crate::{
    decide::{DeadLetter, DeadLetterReason, Done, Settlement},
    decode::{self, Event, History},
    fault::{self, Step},
    hand::Place,
    io::{jetstream::BrokerError, publish::Claim},
    message::{Message, Origin},
    poison,
    provider::Failure,
    recent::Key,
};

/// Hand-outs without an end after which a message is suspected of killing the process.
pub(super) const SUSPICIOUS: u64 = 3;

/// A message that something has to be waited for before it is mapped.
#[derive(Debug)]
pub(crate) struct Unsure {
    task: Box<Task>,
    /// What it holds; none where it was finished before.
    event: Option<Event>,
}

impl Lane {
    /// Decodes, de-duplicates and maps. The only waits are for de-duplication and for what is suspicious.
    pub(crate) async fn prepare(&self, message: Message, place: Place, created: Timestamp) -> Prepared {
        match self.prepare_at_once(message, place, created) {
            Ok(prepared) => prepared,
            Err(unsure) => self.make_sure(unsure).await,
        }
    }

    /// Decodes and maps a message that nothing has to be waited for; most are.
    pub(crate) fn prepare_at_once(
        &self,
        message: Message,
        place: Place,
        created: Timestamp,
    ) -> Result<Prepared, Box<Unsure>> {
        let history = decode::history(message.headers(), &message.position, created);
        let key = Key::of(&history);
        let task = Box::new(Task { message, history, key, attributes: None, place, rank: None });
        if self.recent.knows(key) {
            return Err(Box::new(Unsure { task, event: None }));
        }
        let decoded =
            decode::event(task.message.headers(), &task.message.body(), &task.history.delivery, &self.defaults);
        let event = match decoded {
            Ok(event) => event,
            Err(error) => return Ok(Prepared::Over(task, give_up(DeadLetterReason::Undecodable, error.to_string()))),
        };
        let may_repeat = self.dedup.is_some() && task.message.origin != Origin::Retries;
        if may_repeat || task.message.position.deliveries >= SUSPICIOUS {
            return Err(Box::new(Unsure { task, event: Some(event) }));
        }
        Ok(self.map(task, event))
    }

    /// Finds out what had to be waited for, and maps what is left.
    pub(crate) async fn make_sure(&self, unsure: Box<Unsure>) -> Prepared {
        let Unsure { mut task, event } = *unsure;
        let Some(event) = event else {
            // A broker that crashed had forgotten our acknowledgement.
            if let Err(error) = task.message.acknowledge(&self.broker).await {
                tracing::warn!(lane = %self.id, %error, "a finished event could not be acknowledged; it comes again");
            }
            return Prepared::Gone;
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
        self.map(task, event)
    }

    fn map(&self, mut task: Box<Task>, event: Event) -> Prepared {
        if let Err((violation, reaction)) = self.mapping.conforms(&event) {
            self.tally.violated(violation.place.clone());
            match reaction {
                OnViolation::Pass => {}
                OnViolation::Drop => return Prepared::Over(task, Settlement::Done(Done::Discarded)),
                OnViolation::DeadLetter => {
                    task.attributes = Some(Arc::new(event.attributes));
                    return Prepared::Over(task, give_up(DeadLetterReason::SchemaViolation, violation.to_string()));
                }
            }
        }
        let mapped = self.mapping.record(&event);
        let attributes = Arc::new(event.attributes);
        task.attributes = Some(Arc::clone(&attributes));
        match mapped {
            Ok(Some(body)) => {
                fault::reached(Step::Mapped);
                let key = self.idempotency_key(&attributes);
                match self.deliverer.record(body, key, attributes) {
                    Ok(record) => Prepared::Ready(Item { task, record }),
                    Err(invalid) => {
                        let reason = DeadLetterReason::InvalidRecord;
                        Prepared::Over(task, give_up(reason, format!("the mapping's record: {invalid}")))
                    }
                }
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
    pub(super) fn idempotency_key(&self, attributes: &EventAttributes) -> String {
        let EventAttributes { id, source, .. } = attributes;
        // The lane stands for namespace, Integration and destination.
        names::hash(format!("{}\n{source}\n{id}", self.id).as_bytes(), 32)
    }
}

/// An event that no attempt could help.
pub(super) fn give_up(reason: DeadLetterReason, message: String) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason, failure: Failure { code: None, message } })
}

pub(super) fn mapping_reason(error: &MapError) -> DeadLetterReason {
    match error.limit() {
        Some(_) => DeadLetterReason::MappingLimit,
        None => DeadLetterReason::MappingFailed,
    }
}
