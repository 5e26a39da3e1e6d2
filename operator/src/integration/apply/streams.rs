//! Streams, the trim record, consumers and the wish, in this order. Needs no API server, so `ropeway dev` calls it too.

use async_nats::jetstream::{
    consumer::{self, DeliverPolicy},
    stream::{self, RetentionPolicy},
};
use jiff::Timestamp;
use ropeway_crds::{
    names::{self, NamespaceNames, ShortUid},
    report::Wish,
    source::Beginning,
    trim::TrimRecord,
};

use super::{
    ApplyError,
    trim::{self, Source},
};
use crate::{
    integration::plan::{
        JetStreamPlan, LanePlan, SourcePlan,
        streams::{changed_consumer, changed_stream},
    },
    io::jetstream::{JetStream, NatsError, Written},
};

/// How often a record is read again because somebody else wrote it in between.
const MOST_ROUNDS: usize = 8;

/// Why a work queue has no time to begin at.
const OF_A_WORK_QUEUE: &str =
    "the stream is a work queue, which hands out all that it holds; make a new Integration without it";

/// Why a time is waited for.
const LATER: &str = "it lies in the future; nothing is read before it has come";

/// What there is in JetStream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsApplied {
    /// Lanes that the spec no longer has and that still have to be emptied.
    pub removed: Vec<RemovedLane>,
}

/// A lane that the spec no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedLane {
    /// The destination's name.
    pub destination: String,
    /// Up to where it is known to have settled everything.
    pub floor: u64,
}

/// Brings streams, consumers and the wish to what the plan says.
///
/// # Errors
/// The first request that failed; [`ApplyError::SourceMissing`] if the user's stream does not exist.
pub async fn apply_streams(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<StreamsApplied, ApplyError> {
    for config in &plan.shared {
        ensure_stream(jetstream, config).await?;
    }
    let source = ensure_source(jetstream, plan).await?;
    let record = ensure_record(jetstream, plan, &source).await?;
    for lane in &plan.lanes {
        ensure_consumers(jetstream, plan, lane, &record, &source).await?;
    }
    ensure_wish(jetstream, &plan.names, &plan.integration, &plan.wish).await?;
    let wanted = |destination: &str| plan.lanes.iter().any(|lane| lane.destination == destination);
    let removed = record.lanes.iter().filter(|(destination, _)| !wanted(destination));
    Ok(StreamsApplied {
        removed: removed
            .map(|(destination, floor)| RemovedLane { destination: destination.clone(), floor: *floor })
            .collect(),
    })
}

/// Writes the wish if it is not there yet.
///
/// # Errors
/// If a request failed.
pub async fn ensure_wish(
    jetstream: &JetStream,
    names: &NamespaceNames,
    integration: &ShortUid,
    wish: &Wish,
) -> Result<(), NatsError> {
    let (bucket, key) = (names.state_bucket(), names::wish_key(integration));
    let entry = jetstream.entry(&bucket, &key).await?;
    let written: Option<Wish> = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
    if written.as_ref() != Some(wish) {
        jetstream.put_entry(&bucket, &key, wish, None).await?;
    }
    Ok(())
}

/// The lanes that an Integration's trim record names.
///
/// # Errors
/// If a request failed.
pub async fn recorded_lanes(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Vec<RemovedLane>, NatsError> {
    let record = read_record(jetstream, plan).await?.and_then(|(record, _)| record).unwrap_or_default();
    let lane = |(destination, floor)| RemovedLane { destination, floor };
    Ok(record.lanes.into_iter().map(lane).collect())
}

/// Takes a lane out of the trim record, once it is empty.
///
/// # Errors
/// If a request failed or others write the record all the time.
pub async fn remove_from_record(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    destination: &str,
) -> Result<(), ApplyError> {
    change_record(jetstream, plan, |record| {
        record.lanes.remove(destination);
    })
    .await
    .map(drop)
}

async fn ensure_stream(jetstream: &JetStream, config: &stream::Config) -> Result<stream::Info, NatsError> {
    match jetstream.stream(&config.name).await? {
        None => jetstream.create_stream(config).await,
        Some(existing) => match changed_stream(&existing.config, config) {
            Some(next) => jetstream.update_stream(&next).await,
            None => Ok(existing),
        },
    }
}

async fn ensure_source(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Source, ApplyError> {
    match &plan.source {
        SourcePlan::Own(config) => {
            let mut config = config.as_ref().clone();
            if jetstream.stream(&config.name).await?.is_none() {
                // A stream that was deleted by hand goes on counting where it was: floors in the record stay true.
                let record = read_record(jetstream, plan).await?.and_then(|(record, _)| record).unwrap_or_default();
                config.first_sequence = trim::next_sequence(&record);
            }
            let info = ensure_stream(jetstream, &config).await?;
            Ok(Source { last_sequence: info.state.last_sequence, own: true, begun: 0, work_queue: false })
        }
        SourcePlan::Foreign { stream, beginning } => {
            let missing = || ApplyError::SourceMissing { stream: stream.clone() };
            let info = jetstream.stream(stream).await?.ok_or_else(missing)?;
            let work_queue = info.config.retention == RetentionPolicy::WorkQueue;
            let last_sequence = info.state.last_sequence;
            let begun = match beginning {
                Beginning::New => last_sequence,
                Beginning::All => 0,
                Beginning::Time(_) if work_queue => return Err(ApplyError::StartTime { why: OF_A_WORK_QUEUE }),
                Beginning::Time(time) if *time > Timestamp::now() => return Err(ApplyError::StartTime { why: LATER }),
                // Where nothing is that young yet, what comes next is.
                Beginning::Time(time) => {
                    let first = jetstream.first_message_since(stream, *time).await?;
                    first.map_or(last_sequence, |first| first.sequence.saturating_sub(1))
                }
            };
            Ok(Source { last_sequence, own: false, begun, work_queue })
        }
    }
}

async fn ensure_record(jetstream: &JetStream, plan: &JetStreamPlan, source: &Source) -> Result<TrimRecord, ApplyError> {
    let mut floors = Vec::new();
    if !source.own {
        // Workers trim only our own streams; for the user's, the floors that a lost consumer is made again from are
        // kept here.
        for lane in &plan.lanes {
            if let Some(info) = jetstream.consumer(plan.source_stream(), lane.lane.as_str()).await? {
                floors.push((lane.destination.clone(), info.ack_floor.stream_sequence));
            }
        }
    }
    for _ in 0..MOST_ROUNDS {
        let found = read_record(jetstream, plan).await?;
        let revision = found.as_ref().map_or(0, |(_, revision)| *revision);
        let before = found.and_then(|(record, _)| record);
        let next = trim::with_lanes(before.as_ref(), &plan.lanes, source, &floors);
        if before.as_ref() == Some(&next) {
            return Ok(next);
        }
        if write_record(jetstream, plan, &next, revision).await? == Written::Stored {
            return Ok(next);
        }
    }
    Err(ApplyError::Contended)
}

async fn change_record(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    change: impl Fn(&mut TrimRecord),
) -> Result<TrimRecord, ApplyError> {
    for _ in 0..MOST_ROUNDS {
        let Some((Some(before), revision)) = read_record(jetstream, plan).await? else {
            return Ok(TrimRecord::default());
        };
        let mut next = before.clone();
        change(&mut next);
        if next == before || write_record(jetstream, plan, &next, revision).await? == Written::Stored {
            return Ok(next);
        }
    }
    Err(ApplyError::Contended)
}

/// The record and its revision. One that makes no sense counts as none; its revision still guards the write.
async fn read_record(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
) -> Result<Option<(Option<TrimRecord>, u64)>, NatsError> {
    let entry = jetstream.entry(&plan.names.state_bucket(), &names::trim_key(&plan.integration)).await?;
    Ok(entry.map(|entry| (serde_json::from_slice(&entry.value).ok(), entry.revision)))
}

async fn write_record(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    record: &TrimRecord,
    revision: u64,
) -> Result<Written, NatsError> {
    let key = names::trim_key(&plan.integration);
    jetstream.put_entry(&plan.names.state_bucket(), &key, record, Some(revision)).await
}

async fn ensure_consumers(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    lane: &LanePlan,
    record: &TrimRecord,
    source: &Source,
) -> Result<(), NatsError> {
    let floor = record.lanes.get(&lane.destination).copied().unwrap_or(record.floor);
    let start = match source.work_queue {
        // A work queue hands out all it holds or refuses the consumer.
        true => DeliverPolicy::All,
        false => DeliverPolicy::ByStartSequence { start_sequence: floor + 1 },
    };
    let events = consumer::Config { deliver_policy: start, ..lane.events.clone() };
    ensure_consumer(jetstream, plan.source_stream(), &events).await?;
    ensure_consumer(jetstream, &plan.names.retries_stream(), &lane.retries).await
}

async fn ensure_consumer(jetstream: &JetStream, stream: &str, config: &consumer::Config) -> Result<(), NatsError> {
    let name = config.durable_name.as_deref().unwrap_or_default();
    let next = match jetstream.consumer(stream, name).await? {
        None => Some(config.clone()),
        Some(existing) => changed_consumer(&existing.config, config),
    };
    match next {
        Some(next) => jetstream.put_consumer(stream, &next).await.map(drop),
        None => Ok(()),
    }
}
