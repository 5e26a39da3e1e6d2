//! A message from a lane's stream, settled exactly once by consuming it. Dropping it means that it comes again.

use std::time::Duration;

use async_nats::{
    HeaderMap, Subject,
    jetstream::{AckKind, message::Message as JetStreamMessage},
};
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    fault::{self, Step},
    io::jetstream::{Broker, Source},
};

/// Which of a lane's two consumers a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The events stream, or the user's own stream.
    Events,
    /// The retries stream: a parked retry that came due.
    Retries,
    /// No consumer: it was read from where an ordered lane keeps what it holds back.
    Held,
}

/// Where a message stands in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream's name.
    pub stream: String,
    /// The stream sequence.
    pub sequence: u64,
    /// When the stream stored it.
    pub stored: Timestamp,
    /// How often it was handed out, this time included.
    pub deliveries: u64,
}

/// A message in hand.
#[derive(Debug)]
pub struct Message {
    inner: JetStreamMessage,
    /// Which consumer handed it out.
    pub origin: Origin,
    /// Where it stands in its stream.
    pub position: Position,
    /// The number of this handing out among all that its consumer made.
    pub handed_out: u64,
}

/// A message could not be settled; it will come again.
#[derive(Debug, thiserror::Error)]
#[error("failed to acknowledge message {sequence} of stream {stream}")]
pub struct SettleError {
    stream: String,
    sequence: u64,
    #[source]
    source: Source,
}

impl Message {
    /// Takes a message into hand. `None` where the server sent something that is no stream message.
    pub fn take(inner: JetStreamMessage, origin: Origin) -> Option<Self> {
        let (position, handed_out) = {
            let info = inner.info().ok()?;
            let position = Position {
                stream: info.stream.to_owned(),
                sequence: info.stream_sequence,
                stored: Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok()?,
                deliveries: u64::try_from(info.delivered).unwrap_or(1),
            };
            (position, info.consumer_sequence)
        };
        fault::reached(Step::Pulled);
        Some(Self { inner, origin, position, handed_out })
    }

    /// A message that was read from its place in the retries stream. Its life ends by being removed from there.
    pub fn held(inner: JetStreamMessage, position: Position) -> Self {
        Self { inner, origin: Origin::Held, position, handed_out: 0 }
    }

    /// The subject under which it is stored.
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// The headers.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.headers.as_ref()
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        self.inner.payload.clone()
    }

    /// Where the server listens for what becomes of it.
    pub fn reply(&self) -> Subject {
        self.inner.reply.clone().unwrap_or_else(|| Subject::from_static("none"))
    }

    /// Ends the message's life, and waits until the server has confirmed it.
    ///
    /// # Errors
    /// If the server does not confirm; the message then comes again.
    pub async fn acknowledge(self, broker: &Broker) -> Result<(), SettleError> {
        fault::reached(Step::Acknowledging);
        let ended: Result<(), Source> = match self.origin {
            Origin::Events | Origin::Retries => broker.acknowledge(self.reply()).await.map_err(Into::into),
            Origin::Held => broker.remove_held(self.subject(), self.position.sequence).await.map_err(Into::into),
        };
        let Position { stream, sequence, .. } = self.position;
        ended.map_err(|source| SettleError { stream, sequence, source })
    }

    /// Ends the lives of messages of one consumer, and waits until the server has confirmed that. Answers whether it has;
    /// if not, each may still be acknowledged on its own.
    pub async fn acknowledge_together(messages: Vec<&Self>, broker: &Broker) -> bool {
        if messages.iter().any(|message| message.origin == Origin::Held) {
            return false;
        }
        let mut replies = Vec::with_capacity(messages.len());
        for message in messages {
            fault::reached(Step::Acknowledging);
            replies.push(message.reply());
        }
        broker.acknowledge_together(replies).await
    }

    /// Hands the message back, to be handed out again at once to whoever asks. Best effort: unconfirmed, it comes again
    /// when its acknowledgement is overdue.
    pub async fn give_back(self) {
        if self.origin == Origin::Held {
            // It has not left its place.
            return;
        }
        // A failure here is the same as not having called: the message comes again later.
        let _ = self.inner.ack_with(AckKind::Nak(Some(Duration::ZERO))).await;
    }
}
