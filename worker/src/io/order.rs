//! What an ordered lane keeps in the retries stream, and what its consumer has handed out. Everything is asked of the
//! stream's leader: a replica may be a moment behind, and here that would be another order.

use std::collections::HashSet;

use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        message::StreamMessage,
        stream::{LastRawMessageErrorKind, RawMessageErrorKind},
    },
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use ropeway_crds::{headers as h, names::LaneId};

use super::{
    jetstream::{Broker, BrokerError, failed},
    publish::steers,
};
use crate::{
    message::{Message, Position},
    order::{Kept, Key, Shelf},
};

/// How many keys are asked after at a time.
const AT_A_TIME: usize = 16;

/// What a lane's consumer on its events stream has handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many messages are handed out and not settled, whoever has them.
    pub unsettled: usize,
    /// The number of the last handing out.
    pub handed_out: u64,
    /// Everything up to this sequence of the stream is settled.
    pub floor: u64,
    /// The last sequence of the stream that was handed out.
    pub last: u64,
}

/// The most sequences that are asked back at a time.
const MOST_RECALLED: u64 = 20_000;

/// An event that was taken back from the retries stream.
#[derive(Debug)]
pub struct Fetched {
    /// Its message.
    pub message: Message,
    /// Its sequence in the stream that it came from first.
    pub sequence: u64,
    /// When its next attempt is due.
    pub due: Option<Timestamp>,
}

impl Broker {
    /// What a lane's consumer has handed out until now.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn standing(&self, stream: &str, lane: &LaneId) -> Result<Standing, BrokerError> {
        let what = || failed(format!("look at the consumer {lane}"));
        let found = self.context.get_stream_no_info(stream).await.map_err(failed("look at a stream"))?;
        let info = found.consumer_info(lane.as_str()).await.map_err(what())?;
        Ok(Standing {
            unsettled: info.num_ack_pending,
            handed_out: info.delivered.consumer_sequence,
            floor: info.ack_floor.stream_sequence,
            last: info.delivered.stream_sequence,
        })
    }

    /// Hands back, in the name of workers that are no more, what was handed out to them and is not settled, so that it comes
    /// before its acknowledgement is overdue. What is settled or `known` stays as it is. Best effort.
    pub async fn recall(&self, stream: &str, lane: &LaneId, standing: Standing, known: &HashSet<u64>) {
        let Standing { unsettled: _, handed_out, floor, last } = standing;
        for sequence in (floor + 1..=last.min(floor.saturating_add(MOST_RECALLED))).filter(|at| !known.contains(at)) {
            // What a message's reply subject looks like; of its numbers the server looks at these two.
            let reply = format!("$JS.ACK.{stream}.{lane}.1.{sequence}.{handed_out}.0.0");
            if self.context.client().publish(reply, Bytes::from_static(b"-NAK")).await.is_err() {
                return;
            }
        }
    }

    /// Everything that a lane keeps in the retries stream, by key.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn held(&self, lane: &LaneId) -> Result<Vec<Kept>, BrokerError> {
        let retries = self.retries().await?;
        let filter = self.names.held_of(lane);
        let subjects = retries.info_with_subjects(&filter).await.map_err(failed(format!("list {filter}")))?;
        let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(failed(format!("list {filter}")))?;
        let mut keys: Vec<Key> = subjects.iter().filter_map(|(subject, _)| key_in(subject)).collect();
        keys.sort();
        keys.dedup();
        stream::iter(keys).map(|key| self.kept(lane, key)).buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn kept(&self, lane: &LaneId, key: Key) -> Result<Kept, BrokerError> {
        let (first, next) = (self.names.held_first(lane, &key), self.names.held_next(lane, &key));
        let parked = self.last(&first).await?;
        let parked_sequence = parked.as_ref().map(order_of);
        let mut oldest = self.oldest(&next).await?;
        // A crash after the first of them was parked leaves it here as well.
        while let Some(found) = oldest.as_ref().filter(|found| Some(order_of(found)) <= parked_sequence) {
            self.remove_held(&next, found.sequence).await?;
            oldest = self.oldest(&next).await?;
        }
        let (held, newest) = match oldest {
            Some(_) => (self.count(&next).await?, self.last(&next).await?),
            None => (0, None),
        };
        let all =
            || parked_sequence.into_iter().chain(oldest.as_ref().map(order_of)).chain(newest.as_ref().map(order_of));
        let range = (all().min().unwrap_or(0), all().max().unwrap_or(0));
        Ok(Kept { key, due: parked.map(|parked| due_of(&parked).unwrap_or_default()), held, range })
    }

    /// Takes the event that stands first on a shelf; it stays there until it is removed.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn fetch_held(&self, lane: &LaneId, key: &str, shelf: Shelf) -> Result<Option<Fetched>, BrokerError> {
        let found = match shelf {
            Shelf::First => self.last(&self.names.held_first(lane, key)).await?,
            Shelf::Next => self.oldest(&self.names.held_next(lane, key)).await?,
        };
        let Some(found) = found else { return Ok(None) };
        let (sequence, due) = (order_of(&found), due_of(&found));
        let stored = Timestamp::from_nanosecond(found.time.unix_timestamp_nanos()).unwrap_or_default();
        let position = Position {
            stream: self.names.retries_stream(),
            sequence: found.sequence,
            // It counts as waiting from the moment at which it may go.
            stored: due.unwrap_or(stored),
            deliveries: 1,
        };
        let message = async_nats::Message {
            length: found.payload.len(),
            subject: found.subject,
            reply: None,
            payload: found.payload,
            headers: Some(found.headers),
            status: None,
            description: None,
        };
        let inner = jetstream::Message { message, context: self.context.clone() };
        Ok(Some(Fetched { message: Message::held(inner, position), sequence, due }))
    }

    /// Removes everything on this subject up to this sequence of the retries stream: the event, and what a crash may have
    /// left of its earlier attempts.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn remove_held(&self, subject: &str, sequence: u64) -> Result<(), BrokerError> {
        let retries = self.retries().await?;
        let purge = retries.purge().filter(subject).sequence(sequence + 1);
        purge.await.map_err(failed(format!("remove message {sequence} of {subject}")))?;
        Ok(())
    }

    /// Whether anything is held of a lane.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn holds_any(&self, lane: &LaneId) -> Result<bool, BrokerError> {
        Ok(self.oldest(&self.names.held_of(lane)).await?.is_some())
    }

    /// Moves everything that is held of a lane to where its retries arrive. Answers how much that was.
    ///
    /// # Errors
    /// If the server does not confirm; what was moved stays moved.
    pub async fn free_held(&self, lane: &LaneId) -> Result<usize, BrokerError> {
        let mut count = 0;
        while let Some(found) = self.oldest(&self.names.held_of(lane)).await? {
            let mut headers = HeaderMap::new();
            for (name, values) in found.headers.iter().filter(|(name, _)| !steers(name)) {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
            headers.insert(h::MESSAGE_ID, format!("{lane}:freed:{}", found.sequence));
            let publish = self.context.publish_with_headers(self.names.again(lane), headers, found.payload).await;
            publish.map_err(failed("let an event go"))?.await.map_err(failed("let an event go"))?;
            self.remove_held(&found.subject, found.sequence).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn retries(&self) -> Result<jetstream::stream::Stream<()>, BrokerError> {
        let name = self.names.retries_stream();
        self.context.get_stream_no_info(&name).await.map_err(failed(format!("look at the stream {name}")))
    }

    async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, BrokerError> {
        match self.retries().await?.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(format!("read the last message of {subject}"))(error)),
        }
    }

    async fn oldest(&self, subject: &str) -> Result<Option<StreamMessage>, BrokerError> {
        match self.retries().await?.get_first_raw_message_by_subject(subject, 1).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(format!("read the first message of {subject}"))(error)),
        }
    }

    async fn count(&self, subject: &str) -> Result<u64, BrokerError> {
        let what = format!("count the messages of {subject}");
        let info = self.retries().await?.info_with_subjects(subject).await.map_err(failed(what.clone()))?;
        let counts: Vec<(String, usize)> = info.try_collect().await.map_err(failed(what))?;
        Ok(counts.into_iter().map(|(_, count)| count as u64).sum())
    }
}

fn key_in(subject: &str) -> Option<Key> {
    subject.rsplit('.').nth(1).map(Key::from)
}

fn order_of(message: &StreamMessage) -> u64 {
    message.headers.get(h::ORDER).and_then(|value| value.as_str().parse().ok()).unwrap_or(0)
}

fn due_of(message: &StreamMessage) -> Option<Timestamp> {
    message.headers.get(h::DUE).and_then(|value| value.as_str().parse().ok())
}
