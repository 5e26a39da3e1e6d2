//! Everything that the worker publishes: accepted events, parked retries, dead letters, claims and counts. Each waits for
//! the server's acknowledgement.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, jetstream::context::PublishErrorKind};
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{
    condition::bounded,
    headers as h,
    names::{LaneId, ShortUid, events_subject},
};

use super::jetstream::{Broker, BrokerError, failed};
use crate::{
    cloud_event::encode_header,
    decide::{DeadLetter, Park},
    decode::History,
    order::Key,
};

/// An event that was accepted and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The stream had an event with this message id within its window and kept that one.
    pub duplicate: bool,
}

/// Whose event is settled.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The Integration's UID.
    pub uid: &'a ShortUid,
    /// Its name.
    pub integration: &'a str,
    /// The destination's name within it.
    pub destination: &'a str,
    /// The lane.
    pub lane: &'a LaneId,
}

/// An event with what it has behind it, as it goes back into a stream.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Whose it is.
    pub owner: Owner<'a>,
    /// Its headers, its attributes among them.
    pub headers: &'a HeaderMap,
    /// Its body as it came.
    pub body: Bytes,
    /// What the delivery has behind it.
    pub history: &'a History,
    /// Where it stands among the events with its key, if its lane keeps order.
    pub rank: Option<&'a Rank>,
}

/// Where an event stands among those with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// What stands for the key.
    pub key: Key,
    /// The event's sequence in the stream that it came from.
    pub sequence: u64,
    /// Where the retries stream keeps it as the parked one of its key; 0 where it was not parked yet.
    pub parked_at: u64,
}

/// What a claim on a de-duplication key found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is ours, now or from before a crash.
    Ours,
    /// Another event has it.
    Taken,
}

impl Broker {
    /// Stores events in their order, without waiting for one before the next is sent, and then waits for all.
    ///
    /// # Errors
    /// If any is not confirmed; others may have been stored.
    pub async fn store_events(
        &self,
        uid: &ShortUid,
        events: Vec<(HeaderMap, Bytes)>,
    ) -> Result<Vec<Stored>, BrokerError> {
        let mut confirmations = Vec::with_capacity(events.len());
        for (headers, body) in events {
            let publish = self.context.publish_with_headers(events_subject(uid), headers, body).await;
            confirmations.push(publish.map_err(failed("store an event"))?);
        }
        let mut stored = Vec::with_capacity(confirmations.len());
        for confirmation in confirmations {
            let ack = confirmation.await.map_err(failed("store an event"))?;
            stored.push(Stored { duplicate: ack.duplicate });
        }
        Ok(stored)
    }

    /// Parks a retry.
    ///
    /// A duplicate is what a crash after an earlier park leaves behind: that retry stands, so it is no error.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn park(&self, envelope: Envelope<'_>, park: &Park) -> Result<(), BrokerError> {
        let Envelope { owner, headers, body, history: _, rank } = envelope;
        let mut headers = waiting(headers, owner, &park.history);
        let subject = match rank {
            None => {
                headers.insert(h::SCHEDULE, format!("@at {}", park.due));
                headers.insert(h::SCHEDULE_TARGET, self.names.again(owner.lane));
                self.names.later(owner.lane, &park.history.delivery)
            }
            // Its worker wakes it: nothing may overtake it.
            Some(Rank { key, sequence, parked_at }) => {
                headers.insert(h::ORDER, sequence.to_string());
                headers.insert(h::DUE, park.due.to_string());
                // It takes its own place and no other's, whatever somebody wrote who was asleep.
                headers.insert(h::EXPECTED_LAST_SUBJECT_SEQUENCE, parked_at.to_string());
                self.names.held_first(owner.lane, key)
            }
        };
        let publish = self.context.publish_with_headers(subject, headers, body).await;
        publish.map_err(failed("park a retry"))?.await.map_err(failed("park a retry"))?;
        Ok(())
    }

    /// Puts an event that was not tried into the retries, where it waits for its lane without a place in the events stream.
    /// With a rank it stands behind what is held of its key.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn set_aside(&self, envelope: Envelope<'_>) -> Result<(), BrokerError> {
        let Envelope { owner, headers, body, history, rank } = envelope;
        let history = History { parks: history.parks.saturating_add(1), ..history.clone() };
        let mut headers = waiting(headers, owner, &history);
        let subject = match rank {
            None => self.names.again(owner.lane),
            Some(Rank { key, sequence, parked_at: _ }) => {
                headers.insert(h::ORDER, sequence.to_string());
                self.names.held_next(owner.lane, key)
            }
        };
        let publish = self.context.publish_with_headers(subject, headers, body).await;
        publish.map_err(failed("set an event aside"))?.await.map_err(failed("set an event aside"))?;
        Ok(())
    }

    /// Publishes a record on a subject that somebody's stream takes in. Answers whether a stream did.
    ///
    /// # Errors
    /// If no stream confirms.
    pub async fn publish_record(&self, subject: &str, headers: HeaderMap, body: Bytes) -> Result<(), BrokerError> {
        let publish = self.context.publish_with_headers(subject.to_owned(), headers, body).await;
        publish.map_err(failed("publish a record"))?.await.map_err(failed("publish a record"))?;
        Ok(())
    }

    /// Writes a dead letter. Writing it twice is impossible, so finding it there already is success.
    ///
    /// # Errors
    /// If the server does not confirm; the original then stays.
    pub async fn write_dead_letter(
        &self,
        envelope: Envelope<'_>,
        letter: &DeadLetter,
        retention: Duration,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        let Envelope { owner, headers, body, history, rank: _ } = envelope;
        let History { delivery, attempt, resend, first_failure, held: _, parks: _ } = history;
        let reason = letter.reason.as_str();
        let mut headers = carried(headers, owner, history);
        headers.insert(h::ATTEMPT, attempt.to_string());
        headers.insert(h::FIRST_FAILURE, first_failure.unwrap_or(now).to_string());
        headers.insert(h::LAST_FAILURE, now.to_string());
        headers.insert(h::REASON, reason);
        headers.insert(h::ERROR, encode_header(&bounded(&letter.failure.message)));
        if let Some(code) = letter.failure.code {
            headers.insert(h::CODE, code.to_string());
        }
        headers.insert(h::TTL, format!("{}s", retention.as_secs().max(1)));
        let subject = self.names.dead_letter(owner.uid, owner.lane, reason, delivery, *resend);
        let any_reason = self.names.dead_letter(owner.uid, owner.lane, "*", delivery, *resend);
        headers.insert(h::EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        headers.insert(h::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT, any_reason);
        let publish = self.context.publish_with_headers(subject, headers, body).await;
        match publish.map_err(failed("write a dead letter"))?.await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
            Err(error) => Err(failed("write a dead letter")(error)),
        }
    }

    /// Claims a de-duplication key for a delivery.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub async fn claim(
        &self,
        owner: Owner<'_>,
        key: &str,
        delivery: &str,
        window: Duration,
    ) -> Result<Claim, BrokerError> {
        let subject = self.names.seen(owner.uid, owner.lane, key);
        let mut headers = HeaderMap::new();
        headers.insert(h::EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        headers.insert(h::TTL, format!("{}s", window.as_secs().max(1)));
        let publish = self.context.publish_with_headers(subject.clone(), headers, delivery.to_owned().into()).await;
        match publish.map_err(failed("claim a key"))?.await {
            Ok(_) => return Ok(Claim::Ours),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            Err(error) => return Err(failed("claim a key")(error)),
        }
        let stream = self.names.seen_stream();
        let stream = self.context.get_stream_no_info(&stream).await.map_err(failed("read a claim"))?;
        let found = stream.direct_get_last_for_subject(subject).await.map_err(failed("read a claim"))?;
        Ok(if found.payload == delivery.as_bytes() { Claim::Ours } else { Claim::Taken })
    }

    /// Adds to one counter. `id` makes a repeat of the same addition harmless.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn add(
        &self,
        uid: &ShortUid,
        lane: &LaneId,
        word: &str,
        amount: u64,
        id: &str,
    ) -> Result<(), BrokerError> {
        let mut headers = HeaderMap::new();
        headers.insert(h::INCREMENT, format!("+{amount}"));
        headers.insert(h::MESSAGE_ID, id);
        let publish = self.context.publish_with_headers(self.names.count(uid, lane, word), headers, Bytes::new()).await;
        publish.map_err(failed("add to a counter"))?.await.map_err(failed("add to a counter"))?;
        Ok(())
    }
}

/// The headers of an event that waits for another attempt. Its message id says which one, so that a crash after a park
/// can't leave two.
fn waiting(original: &HeaderMap, owner: Owner<'_>, history: &History) -> HeaderMap {
    let History { delivery, attempt, resend, first_failure, held, parks } = history;
    let mut headers = carried(original, owner, history);
    if let Some(first_failure) = first_failure {
        headers.insert(h::FIRST_FAILURE, first_failure.to_string());
    }
    headers.insert(h::ATTEMPT, attempt.to_string());
    headers.insert(h::HELD_MS, held.as_millis().to_string());
    headers.insert(h::PARKS, parks.to_string());
    headers.insert(h::MESSAGE_ID, format!("{delivery}:{}:{resend}:p{parks}", owner.lane));
    headers
}

/// The event's own headers without those that steer a stream, and those that every parked or dead message carries.
fn carried(original: &HeaderMap, owner: Owner<'_>, history: &History) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in original.iter() {
        if !steers(name) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    headers.insert(h::DELIVERY, history.delivery.as_str());
    headers.insert(h::RESEND, history.resend.to_string());
    headers.insert(h::INTEGRATION, owner.integration);
    headers.insert(h::DESTINATION, owner.destination);
    headers
}

/// Whether a header says what a stream, or an ordered lane, is to do with a message, and nothing about the event.
pub(super) fn steers(name: &HeaderName) -> bool {
    let name: &str = name.as_ref();
    name.to_ascii_lowercase().starts_with("nats-") || [h::ORDER, h::DUE].contains(&name)
}
