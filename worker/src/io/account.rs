//! What workers share about a Destination and about a lane, in the KV bucket: read, written by compare-and-set, watched.

use async_nats::jetstream::kv::{self, Operation};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use ropeway_crds::{account::LaneHold, names};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::jetstream::{Broker, BrokerError, failed};

/// A value of the bucket with its revision; zero where it was never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value; none where there is none or where it makes no sense.
    pub value: Option<T>,
    /// The revision.
    pub revision: u64,
}

impl<T> Default for Versioned<T> {
    fn default() -> Self {
        Self { value: None, revision: 0 }
    }
}

/// One change of the bucket.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The bytes, with their revision.
    pub entry: Versioned<bytes::Bytes>,
}

impl Change {
    /// The change as a value of this type.
    pub fn read<T: DeserializeOwned>(&self) -> Versioned<T> {
        let value = self.entry.value.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        Versioned { value, revision: self.entry.revision }
    }
}

impl Broker {
    /// A value of the bucket.
    ///
    /// # Errors
    /// If the bucket can't be read.
    pub async fn shared<T: DeserializeOwned>(&self, key: &str) -> Result<Versioned<T>, BrokerError> {
        let entry = self.state().await?.entry(key).await.map_err(failed(format!("read the key {key}")))?;
        Ok(entry.map_or_else(Versioned::default, |entry| change(entry).read()))
    }

    /// Writes a value if the key still has the revision that was read. Answers the new revision, or none if it had another.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn share<T: Serialize>(&self, key: &str, value: &T, revision: u64) -> Result<Option<u64>, BrokerError> {
        let bytes = serde_json::to_vec(value).map_err(failed(format!("write the key {key} as JSON")))?;
        match self.state().await?.update(key, bytes.into(), revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(failed(format!("write the key {key}"))(error)),
        }
    }

    /// Writes a value, whatever was there.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn tell<T: Serialize>(&self, key: &str, value: &T) -> Result<(), BrokerError> {
        let bytes = serde_json::to_vec(value).map_err(failed(format!("write the key {key} as JSON")))?;
        self.state().await?.put(key, bytes.into()).await.map_err(failed(format!("write the key {key}"))).map(drop)
    }

    /// Takes away the word that a lane is held.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn release(&self, hold_key: &str) -> Result<(), BrokerError> {
        self.state().await?.delete(hold_key).await.map_err(failed(format!("remove the key {hold_key}")))
    }

    /// Everything that is shared about Destinations and lanes: first as it is, then every change.
    ///
    /// # Errors
    /// If the bucket can't be watched.
    pub async fn watch_shared(&self) -> Result<impl Stream<Item = Result<Change, BrokerError>> + use<>, BrokerError> {
        let keys = [names::ALL_CIRCUITS, names::ALL_LIMITS, names::ALL_HOLDS];
        let what = "watch what is shared about Destinations";
        let watch = self.state().await?.watch_many_with_history(keys).await.map_err(failed(what))?;
        Ok(watch.map(move |entry| entry.map(change).map_err(failed(what))))
    }

    /// How far the server's clock is ahead of ours, in microseconds. Right to within half of what the question took.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub async fn clock_offset(&self) -> Result<i64, BrokerError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            ts: Timestamp,
        }
        let stream = format!("KV_{}", self.names.state_bucket());
        let before = Timestamp::now();
        let answer: Result<Box<RawValue>, _> =
            self.context.request(format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await;
        let after = Timestamp::now();
        let answer = answer.map_err(failed("ask the server for its time"))?;
        let Answer { ts } =
            serde_json::from_str(answer.get()).map_err(failed("read the time in the server's answer"))?;
        Ok(ts.as_microsecond() - (before.as_microsecond() / 2 + after.as_microsecond() / 2))
    }

    /// Writes that a lane is held.
    ///
    /// # Errors
    /// If the bucket can't be written.
    pub async fn hold(&self, key: &str, hold: &LaneHold, revision: u64) -> Result<Option<u64>, BrokerError> {
        self.share(key, hold, revision).await
    }
}

fn change(entry: kv::Entry) -> Change {
    let value = (entry.operation == Operation::Put).then_some(entry.value);
    Change { key: entry.key, entry: Versioned { value, revision: entry.revision } }
}
