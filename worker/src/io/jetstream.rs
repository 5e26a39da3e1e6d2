//! The door to NATS: consumers, KV, trimming. What is published goes through [`super::publish`].

use std::{sync::Arc, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        consumer::{PullConsumer, pull},
        context::ConsumerInfoErrorKind,
        context::GetStreamErrorKind,
        kv::Store,
    },
};
use jiff::Timestamp;
use ropeway_crds::{
    names::{self, LaneId, NamespaceNames, ShortUid},
    report::{Problem, Wish, WorkerReport},
    trim::TrimRecord,
};
use tokio::sync::OnceCell;

/// A boxed error of the client library.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A call to NATS failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what}")]
pub struct BrokerError {
    /// What was attempted, and on which object.
    pub what: String,
    /// What went wrong.
    #[source]
    pub source: Source,
}

/// Names the attempt in an error.
pub(crate) fn failed<E: Into<Source>>(what: impl Into<String>) -> impl FnOnce(E) -> BrokerError {
    let what = what.into();
    move |source| BrokerError { what, source: source.into() }
}

/// A worker's connection and what it needs to name things.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) client: Client,
    pub(crate) context: Context,
    pub(crate) names: NamespaceNames,
    state: Arc<OnceCell<Store>>,
}

/// The message streams of one lane.
pub struct LaneStreams {
    /// New events.
    pub events: pull::Stream,
    /// Retries that came due.
    pub retries: pull::Stream,
    /// When the events' stream was made.
    pub created: Timestamp,
}

/// How far a lane's consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFloor {
    /// Everything up to this sequence is settled.
    At(u64),
    /// The consumer does not exist.
    Missing,
}

impl Broker {
    /// A broker over a connected client.
    pub fn new(client: Client, names: NamespaceNames) -> Self {
        let context = jetstream::context::ContextBuilder::new()
            .timeout(Duration::from_secs(5))
            .ack_timeout(Duration::from_secs(5))
            .build(client.clone());
        Self { client, context, names, state: Arc::default() }
    }

    /// How full a stream is, in percent of its bytes; none where it has no limit.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn fill(&self, stream: &str) -> Result<Option<u64>, BrokerError> {
        let found = self.context.get_stream(stream).await.map_err(failed(format!("look at the stream {stream}")))?;
        let info = found.cached_info();
        let limit = u64::try_from(info.config.max_bytes).ok().filter(|limit| *limit > 0);
        Ok(limit.map(|limit| info.state.bytes.saturating_mul(100) / limit))
    }

    /// Opens a lane's streams of messages, which ask for at most `most` messages at a time: as many as the lane may have in
    /// hand, so that none waits in a buffer while its acknowledgement falls due.
    ///
    /// # Errors
    /// A problem that names the stream or consumer that is missing; the operator makes it.
    pub async fn open_lane(&self, events_stream: &str, lane: &LaneId, most: usize) -> Result<LaneStreams, Problem> {
        let (events, created) = self.consumer(events_stream, lane).await?;
        let (retries, _) = self.consumer(&self.names.retries_stream(), lane).await?;
        Ok(LaneStreams { events: pull(&events, most).await?, retries: pull(&retries, most).await?, created })
    }

    /// Whether a lane's consumers are there.
    ///
    /// # Errors
    /// As [`Broker::open_lane`].
    pub async fn find_lane(&self, events_stream: &str, lane: &LaneId) -> Result<(), Problem> {
        self.consumer(events_stream, lane).await?;
        self.consumer(&self.names.retries_stream(), lane).await?;
        Ok(())
    }

    async fn consumer(&self, stream: &str, lane: &LaneId) -> Result<(PullConsumer, Timestamp), Problem> {
        let found = self.context.get_stream(stream).await.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(_) => {
                problem("StreamNotFound", format!("the stream {stream} does not exist"))
            }
            _ => problem("NatsUnavailable", format!("failed to look at the stream {stream}: {error}")),
        })?;
        let created = found.cached_info().created.unix_timestamp_nanos();
        let consumer = found.get_consumer(lane.as_str()).await.map_err(|error| {
            problem("ConsumerNotFound", format!("the consumer {lane} of the stream {stream} can't be used: {error}"))
        })?;
        Ok((consumer, Timestamp::from_nanosecond(created).unwrap_or_default()))
    }

    pub(crate) async fn state(&self) -> Result<&Store, BrokerError> {
        let bucket = self.names.state_bucket();
        self.state
            .get_or_try_init(|| async { self.context.get_key_value(&bucket).await })
            .await
            .map_err(failed(format!("open the bucket {bucket}")))
    }

    /// What the operator wishes of an Integration's workers. What can't be read as a wish counts as none.
    ///
    /// # Errors
    /// If the bucket can't be read.
    pub async fn wish(&self, integration: &ShortUid) -> Result<Option<Wish>, BrokerError> {
        let key = names::wish_key(integration);
        let value = self.state().await?.get(&key).await.map_err(failed(format!("read the key {key}")))?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Writes a heartbeat.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn beat(&self, integration: &ShortUid, report: &WorkerReport) -> Result<(), BrokerError> {
        let key = names::heartbeat_key(integration, &report.worker);
        let value = serde_json::to_vec(report).map_err(failed("write a heartbeat as JSON"))?;
        self.state().await?.put(&key, value.into()).await.map_err(failed(format!("write the key {key}")))?;
        Ok(())
    }

    /// Takes a worker's heartbeat away when it ends.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn stop_beating(&self, integration: &ShortUid, worker: &str) -> Result<(), BrokerError> {
        let key = names::heartbeat_key(integration, worker);
        self.state().await?.purge(&key).await.map_err(failed(format!("remove the key {key}")))
    }

    /// The trim record of an Integration and its revision.
    ///
    /// # Errors
    /// If the bucket can't be read or the record makes no sense.
    pub async fn trim_record(&self, integration: &ShortUid) -> Result<Option<(TrimRecord, u64)>, BrokerError> {
        let key = names::trim_key(integration);
        let entry = self.state().await?.entry(&key).await.map_err(failed(format!("read the key {key}")))?;
        let Some(entry) = entry.filter(|entry| entry.operation == jetstream::kv::Operation::Put) else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&entry.value).map_err(failed(format!("understand the key {key}")))?;
        Ok(Some((record, entry.revision)))
    }

    /// Replaces the trim record, if it still has the revision that was read. Answers whether it had.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn replace_trim_record(
        &self,
        integration: &ShortUid,
        record: &TrimRecord,
        revision: u64,
    ) -> Result<bool, BrokerError> {
        let key = names::trim_key(integration);
        let value = serde_json::to_vec(record).map_err(failed("write a trim record as JSON"))?;
        match self.state().await?.update(&key, value.into(), revision).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == jetstream::kv::UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(failed(format!("write the key {key}"))(error)),
        }
    }

    /// How far a lane's consumer on its events stream is.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn ack_floor(&self, events_stream: &str, lane: &LaneId) -> Result<AckFloor, BrokerError> {
        let stream = self
            .context
            .get_stream_no_info(events_stream)
            .await
            .map_err(failed(format!("look at the stream {events_stream}")))?;
        match stream.consumer_info(lane.as_str()).await {
            Ok(info) => Ok(AckFloor::At(info.ack_floor.stream_sequence)),
            Err(error) => match error.kind() {
                ConsumerInfoErrorKind::NotFound => Ok(AckFloor::Missing),
                _ => Err(failed(format!("look at the consumer {lane}"))(error)),
            },
        }
    }

    /// The first and last sequence of a stream.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn bounds(&self, stream: &str) -> Result<(u64, u64), BrokerError> {
        let found = self.context.get_stream(stream).await.map_err(failed(format!("look at the stream {stream}")))?;
        let state = &found.cached_info().state;
        Ok((state.first_sequence, state.last_sequence))
    }

    /// When the message with this sequence was stored; `None` where there is none.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn stored_at(&self, stream: &str, sequence: u64) -> Result<Option<Timestamp>, BrokerError> {
        let look = failed(format!("look at the stream {stream}"));
        let found = self.context.get_stream_no_info(stream).await.map_err(look)?;
        match found.get_raw_message(sequence).await {
            Ok(message) => Ok(Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok()),
            Err(error) => match error.kind() {
                jetstream::stream::RawMessageErrorKind::NoMessageFound => Ok(None),
                _ => Err(failed(format!("read message {sequence} of the stream {stream}"))(error)),
            },
        }
    }

    /// Removes everything below a sequence from an events stream.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn purge_below(&self, stream: &str, sequence: u64) -> Result<(), BrokerError> {
        let look = failed(format!("look at the stream {stream}"));
        let found = self.context.get_stream_no_info(stream).await.map_err(look)?;
        found.purge().sequence(sequence).await.map_err(failed(format!("trim the stream {stream}")))?;
        Ok(())
    }

    /// Removes everything below a sequence that has this subject.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn purge_subject_below(&self, stream: &str, subject: &str, sequence: u64) -> Result<(), BrokerError> {
        let look = failed(format!("look at the stream {stream}"));
        let found = self.context.get_stream_no_info(stream).await.map_err(look)?;
        found.purge().filter(subject).sequence(sequence).await.map_err(failed(format!("sweep the stream {stream}")))?;
        Ok(())
    }
}

async fn pull(consumer: &PullConsumer, most: usize) -> Result<pull::Stream, Problem> {
    consumer
        .stream()
        .max_messages_per_batch(most)
        .expires(Duration::from_secs(30))
        // Unset, the library would not notice a stall.
        .heartbeat(Duration::from_secs(5))
        .messages()
        .await
        .map_err(|error| problem("NatsUnavailable", format!("failed to read a consumer: {error}")))
}

fn problem(reason: &str, message: String) -> Problem {
    Problem { reason: reason.to_owned(), message: ropeway_crds::condition::bounded(&message) }
}
