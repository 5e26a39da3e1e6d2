//! The record of a batch source in the bucket: it says who reads and how far everything is stored. Only its holder writes
//! it, by compare-and-set, so whoever lost it learns so at the next write and stops.

use std::time::Duration;

use jiff::Timestamp;
use ropeway_crds::{
    batch_run::{BatchRecord, READER_LOST_SECONDS, ReadObject},
    names::{ShortUid, batch_key, batch_object_key},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::run::Halt;
use crate::io::jetstream::Broker;

/// How often the record is renewed while nothing else is written.
pub(super) const RENEWAL: Duration = Duration::from_secs(3);

/// The pauses between tries double up to this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The record and the right to write it.
pub(super) struct Ledger {
    pub(super) record: BatchRecord,
    revision: u64,
    holder: String,
    uid: ShortUid,
    broker: Broker,
    stop: CancellationToken,
}

/// The pause before a try, in tenths of a second: half a second, one, two, … of which a part is random.
pub(super) fn pause(tries: u32, jitter: f64) -> Duration {
    let full = Duration::from_millis(500).saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    full.mul_f64(1.0 - jitter / 2.0)
}

impl Ledger {
    /// Takes the record, once nobody else renews it any more.
    pub(super) async fn take(
        broker: &Broker,
        uid: &ShortUid,
        holder: &str,
        stop: &CancellationToken,
    ) -> Result<Self, Halt> {
        let key = batch_key(uid);
        let mut seen: Option<(u64, Instant)> = None;
        let mut tries = 0;
        loop {
            match broker.shared::<BatchRecord>(&key).await {
                Err(error) => {
                    tracing::warn!(%error, cause = %error.source, "the record of the source can't be read; tried again");
                    tries += 1;
                }
                Ok(found) => {
                    let record = found.value.unwrap_or_default();
                    let other = record.holder.clone().filter(|other| other != holder);
                    match (other, seen) {
                        (Some(other), Some((revision, _))) if revision != found.revision => {
                            return Err(Halt::Busy(other.split('/').next().unwrap_or_default().to_owned()));
                        }
                        (Some(_), Some((_, since))) if since.elapsed() < lost() => {}
                        (Some(other), None) => {
                            tracing::info!(other, "another run holds the source; is it alive?");
                            seen = Some((found.revision, Instant::now()));
                        }
                        // Nobody has it, or nobody has renewed it for long.
                        _ => {
                            let (holder, uid) = (holder.to_owned(), uid.clone());
                            let (broker, stop) = (broker.clone(), stop.clone());
                            let revision = found.revision;
                            let mut ledger = Self { record, revision, holder, uid, broker, stop };
                            match ledger.write().await {
                                // Somebody was faster: it is looked at again.
                                Err(Halt::Lost) => seen = None,
                                Err(halt) => return Err(halt),
                                Ok(()) => return Ok(ledger),
                            }
                        }
                    }
                }
            }
            let wait = if tries > 0 { pause(tries, rand::random()) } else { Duration::from_secs(1) };
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return Err(Halt::Stopped("it was told to stop".into()));
            }
        }
    }

    /// Writes the record and waits until it is safe, as long as that may take.
    pub(super) async fn write(&mut self) -> Result<(), Halt> {
        let mut tries = 0;
        loop {
            match self.write_once().await? {
                Written::Yes => return Ok(()),
                Written::NotNow => {
                    tries += 1;
                    let waited = self.stop.run_until_cancelled(sleep(pause(tries, rand::random()))).await;
                    // What is stored and not recorded is read again by the next run, and dropped as repeats.
                    waited.ok_or_else(|| Halt::Stopped("it was told to stop while NATS was away".into()))?;
                }
            }
        }
    }

    /// Renews the record. Where it can't be written now, it may be next time.
    pub(super) async fn renew(&mut self) -> Result<(), Halt> {
        self.write_once().await.map(drop)
    }

    async fn write_once(&mut self) -> Result<Written, Halt> {
        self.record.holder = self.record.run.ended.is_none().then(|| self.holder.clone());
        self.record.renewed = Some(Timestamp::now());
        let key = batch_key(&self.uid);
        match self.broker.share(&key, &self.record, self.revision).await {
            Ok(Some(revision)) => {
                self.revision = revision;
                Ok(Written::Yes)
            }
            Err(error) => {
                tracing::warn!(%error, cause = %error.source, "progress can't be recorded; tried again");
                Ok(Written::NotNow)
            }
            Ok(None) => match self.broker.shared::<BatchRecord>(&key).await {
                // A write of ours that was not answered.
                Ok(found) if found.value.as_ref().is_some_and(|it| it.holder.as_ref() == Some(&self.holder)) => {
                    self.revision = found.revision;
                    Ok(Written::NotNow)
                }
                Ok(_) => Err(Halt::Lost),
                Err(_) => Ok(Written::NotNow),
            },
        }
    }

    /// Whether an object below a prefix was read whole in this version and format.
    pub(super) async fn was_read(&self, object: &ReadObject) -> Result<bool, Halt> {
        let key = batch_object_key(&self.uid, &object.object);
        let mut tries = 0;
        loop {
            match self.broker.shared::<ReadObject>(&key).await {
                Ok(found) => return Ok(found.value.as_ref() == Some(object)),
                Err(error) => self.wait(&mut tries, &error).await?,
            }
        }
    }

    /// Remembers that an object below a prefix was read whole.
    pub(super) async fn remember(&self, object: &ReadObject) -> Result<(), Halt> {
        let key = batch_object_key(&self.uid, &object.object);
        let mut tries = 0;
        loop {
            let written = match self.broker.shared::<ReadObject>(&key).await {
                Ok(found) if found.value.as_ref() == Some(object) => return Ok(()),
                Ok(found) => self.broker.share(&key, object, found.revision).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) => self.wait(&mut tries, &error).await?,
            }
        }
    }

    async fn wait(&self, tries: &mut u32, error: &crate::io::jetstream::BrokerError) -> Result<(), Halt> {
        tracing::warn!(%error, cause = %error.source, "the bucket can't be used; tried again");
        *tries += 1;
        let waited = self.stop.run_until_cancelled(sleep(pause(*tries, rand::random()))).await;
        waited.ok_or_else(|| Halt::Stopped("it was told to stop while NATS was away".into()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    NotNow,
}

fn lost() -> Duration {
    Duration::from_secs(u64::try_from(READER_LOST_SECONDS).unwrap_or_default())
}
