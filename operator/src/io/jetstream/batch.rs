//! Many messages in one request, without a consumer: a direct get in a batch (ADR-31), for which the client library has no
//! call. The answers come one by one; status 204 ends them and says what remains.

use async_nats::{Message, Subscriber, jetstream::message::StreamMessage};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{DEADLINE, JetStream, NatsError, Stored, unanswered};

/// What the server sends for one request at most, in bytes: far below what makes it call a client slow.
const MOST_BYTES: usize = 8 << 20;

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this sequence or behind it.
    Sequence(u64),
    /// At the first message that was stored at this time or later.
    Time(Timestamp),
}

/// Messages in the order of their sequences.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// At most as many as were asked for, and fewer where they are large.
    pub messages: Vec<Stored>,
    /// How many more there are behind the last of them.
    pub remaining: u64,
}

/// What one answer says.
enum Answer {
    Message(Box<Stored>),
    /// No more of this batch; so many remain.
    End(u64),
    Refused(String),
}

impl JetStream {
    /// At most `most` messages whose subjects the filter matches.
    ///
    /// # Errors
    /// See [`NatsError`]; of a missing stream there are none.
    pub async fn batch(&self, stream: &str, filter: &str, start: Start, most: usize) -> Result<Batch, NatsError> {
        let call = || format!("read messages of stream {stream}");
        let mut answers = self.ask_batch(stream, filter, start, most, call).await?;
        let mut batch = Batch::default();
        loop {
            match next_answer(&mut answers, call).await? {
                Answer::Message(message) => batch.messages.push(*message),
                Answer::End(remaining) => return Ok(Batch { remaining, ..batch }),
                Answer::Refused(words) => return Err(unanswered(call(), std::io::Error::other(words))),
            }
        }
    }

    /// How many messages a stream holds whose subjects the filter matches. Costs one message, however many there are.
    ///
    /// # Errors
    /// See [`NatsError`]; in a missing stream there are none.
    pub async fn count(&self, stream: &str, filter: &str) -> Result<u64, NatsError> {
        let Batch { messages, remaining } = self.batch(stream, filter, Start::Sequence(1), 1).await?;
        Ok(remaining + u64::try_from(messages.len()).unwrap_or(u64::MAX))
    }

    async fn ask_batch(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
        most: usize,
        call: impl Fn() -> String,
    ) -> Result<Subscriber, NatsError> {
        let mut request = json!({ "batch": most.max(1), "max_bytes": MOST_BYTES, "next_by_subj": filter });
        match start {
            Start::Sequence(sequence) => request["seq"] = json!(sequence.max(1)),
            Start::Time(time) => request["start_time"] = Value::String(time.to_string()),
        }
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(inbox.clone()).await.map_err(|error| unanswered(call(), error))?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let sent = self.client.publish_with_reply(subject, inbox, request.to_string().into()).await;
        sent.map_err(|error| unanswered(call(), error))?;
        Ok(answers)
    }
}

async fn next_answer(answers: &mut Subscriber, call: impl Fn() -> String) -> Result<Answer, NatsError> {
    match tokio::time::timeout(DEADLINE, answers.next()).await {
        Ok(Some(message)) => Ok(read(message)),
        Ok(None) | Err(_) => Err(unanswered(call(), std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}

fn read(message: Message) -> Answer {
    match message.status.map(|status| status.as_u16()) {
        Some(204) => Answer::End(pending(&message)),
        // 404: nothing matches; 503: nobody listens, so there is no such stream.
        Some(404 | 503) => Answer::End(0),
        Some(status) if status >= 300 => {
            let words = message.description.as_deref().unwrap_or_default();
            Answer::Refused(format!("the server answered {status} {words}"))
        }
        _ => match stored(message) {
            Some(stored) => Answer::Message(Box::new(stored)),
            None => Answer::Refused("an answer was no message of a stream".into()),
        },
    }
}

fn pending(message: &Message) -> u64 {
    let remaining = message.headers.as_ref().and_then(|headers| headers.get("Nats-Num-Pending"));
    remaining.and_then(|count| count.as_str().parse().ok()).unwrap_or(0)
}

fn stored(message: Message) -> Option<Stored> {
    let StreamMessage { subject, sequence, headers, payload, time } = StreamMessage::try_from(message).ok()?;
    let time = Timestamp::from_nanosecond(time.unix_timestamp_nanos()).ok()?;
    Some(Stored { subject: subject.to_string(), sequence, headers, body: payload, time })
}
