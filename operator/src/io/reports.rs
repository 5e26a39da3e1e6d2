//! What JetStream says about an Integration: heartbeats, counters, what is pending, dead letters. All of it is untrusted:
//! what makes no sense is ignored and counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{
    batch_run::BatchRecord,
    counters::CountsByDestination,
    names::{self, NamespaceNames, ShortUid},
    poll::PollRecord,
    report::{HEARTBEAT_FORGOTTEN_SECONDS, WorkerReport},
};
use serde::Deserialize;

use super::accounts::Shared;
use super::jetstream::{JetStream, NatsError, bucket_stream, bucket_subject};
use crate::{dead_letters::entry::destination_and_reason, integration::plan::JetStreamPlan};

mod pending;

use pending::regressed;
pub use pending::{Pending, Regression, lane_pending};

/// Up to this many dead letters their subjects are read one by one; beyond, only counts are asked for.
const MOST_SUBJECTS: u64 = 10_000;

/// The reasons that are asked for where there are too many dead letters to read their subjects: every one that there is.
pub const KNOWN_REASONS: [&str; 11] = [
    "Rejected",
    "Exhausted",
    "MappingFailed",
    "MappingLimit",
    "Undecodable",
    "Unaccounted",
    "Poison",
    "DestinationRemoved",
    "Refused",
    "SchemaViolation",
    "InvalidRecord",
];

/// What JetStream says about an Integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// Every heartbeat that is there, old ones included.
    pub workers: Vec<WorkerReport>,
    /// Everything that is counted.
    pub figures: Figures,
    /// What workers share about Destinations and lanes.
    pub shared: Shared,
    /// How far a batch source is read.
    pub batch: Option<BatchRecord>,
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Last sequence of the stream that events are read from.
    pub last_sequence: u64,
    /// When the last event was stored in that stream.
    pub last_received: Option<Timestamp>,
    /// The counters by destination, of lanes that are gone too.
    pub counts: CountsByDestination,
    /// What each lane has not settled yet, parked retries included.
    pub pending: BTreeMap<String, u64>,
    /// Dead letters by destination.
    pub dead_letters: BTreeMap<String, u64>,
    /// Dead letters by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Dead letters of destinations that are gone, where there are too many to tell these apart.
    pub other_dead_letters: u64,
    /// When the oldest dead letter of each destination was written.
    pub oldest_by_destination: BTreeMap<String, Timestamp>,
    /// When the oldest dead letter was written.
    pub oldest_dead_letter: Option<Timestamp>,
    /// When the newest dead letter was written.
    pub newest_dead_letter: Option<Timestamp>,
    /// Whether a stream or consumer that should be there was not.
    pub incomplete: bool,
    /// The user's stream ends before what was read of it: it lost its tail or was put back.
    pub regressed: Option<Regression>,
    /// How far polling is, for a source that is polled.
    pub poll: Option<PollRecord>,
    /// Entries that made no sense.
    pub unreadable: u64,
}

/// The heartbeats of an Integration's workers, and how many made no sense.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn workers(
    jetstream: &JetStream,
    names: &NamespaceNames,
    integration: &ShortUid,
) -> Result<(Vec<WorkerReport>, u64), NatsError> {
    let bucket = names.state_bucket();
    let filter = bucket_subject(&bucket, &names::heartbeat_keys(integration));
    let values = jetstream.last_values(&bucket_stream(&bucket), &filter).await?;
    let total = values.len();
    let reports: Vec<WorkerReport> = values.iter().filter_map(|(_, body)| serde_json::from_slice(body).ok()).collect();
    let unreadable = total.saturating_sub(reports.len());
    Ok((reports, u64::try_from(unreadable).unwrap_or(u64::MAX)))
}

/// How far a batch source is read; none for other sources, and where what stands there makes no sense.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn batch(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Option<BatchRecord>, NatsError> {
    let bucket = plan.names.state_bucket();
    let subject = bucket_subject(&bucket, &names::batch_key(&plan.integration));
    let found = jetstream.last_message(&bucket_stream(&bucket), &subject).await?;
    Ok(found.and_then(|found| serde_json::from_slice(&found.body).ok()))
}

/// Removes heartbeats that nobody needs any more.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn forget_workers(
    jetstream: &JetStream,
    names: &NamespaceNames,
    integration: &ShortUid,
    workers: &[WorkerReport],
    now: Timestamp,
) -> Result<(), NatsError> {
    let old = |report: &&WorkerReport| (now.as_second() - report.time.as_second()).abs() > HEARTBEAT_FORGOTTEN_SECONDS;
    for report in workers.iter().filter(old) {
        // The name is untrusted: as a key it may hold no wildcard that would take others with it.
        if report.worker.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            let key = names::heartbeat_key(integration, &report.worker);
            jetstream.purge_entries(&names.state_bucket(), &key).await?;
        }
    }
    Ok(())
}

/// Everything that is counted.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn figures(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Figures, NatsError> {
    let JetStreamPlan { integration, names, lanes, .. } = plan;
    let source = jetstream.stream(plan.source_stream()).await?;
    let counters = jetstream.last_values(&names.counts_stream(), &names.counts_of(integration)).await?;
    let (counts, unreadable) = counts(integration, &counters);
    let mut pending = BTreeMap::new();
    let mut incomplete = source.is_none();
    let mut furthest = 0;
    for lane in lanes {
        let Pending { messages, whole, read } = lane_pending(jetstream, plan, lane).await?;
        furthest = furthest.max(read);
        pending.insert(lane.destination.clone(), messages);
        incomplete |= !whole;
    }
    let mut figures = Figures {
        incomplete,
        regressed: regressed(jetstream, plan, source.as_ref(), furthest).await?,
        last_received: source.as_ref().and_then(|source| last_received(&source.state)),
        last_sequence: source.map_or(0, |source| source.state.last_sequence),
        counts,
        pending,
        unreadable,
        ..Figures::default()
    };
    poll(jetstream, plan, &mut figures).await?;
    dead_letters(jetstream, plan, &mut figures).await?;
    Ok(figures)
}

/// When the last message was stored; an empty stream that never had one knows no time.
fn last_received(state: &async_nats::jetstream::stream::State) -> Option<Timestamp> {
    let time = Timestamp::from_nanosecond(state.last_timestamp.unix_timestamp_nanos()).ok()?;
    (state.last_sequence > 0).then_some(time)
}

async fn poll(jetstream: &JetStream, plan: &JetStreamPlan, figures: &mut Figures) -> Result<(), NatsError> {
    let entry = jetstream.entry(&plan.names.state_bucket(), &names::poll_key(&plan.integration)).await?;
    let Some(entry) = entry else { return Ok(()) };
    match serde_json::from_slice(&entry.value) {
        Ok(record) => figures.poll = Some(record),
        Err(_) => figures.unreadable += 1,
    }
    Ok(())
}

async fn dead_letters(jetstream: &JetStream, plan: &JetStreamPlan, figures: &mut Figures) -> Result<(), NatsError> {
    let JetStreamPlan { integration, names, lanes, .. } = plan;
    let (stream, all) = (names.dead_letters_stream(), names.dead_letters_of(integration));
    let total = jetstream.count(&stream, &all).await?;
    if total == 0 {
        return Ok(());
    }
    figures.oldest_dead_letter = jetstream.next_message(&stream, &all, 1).await?.map(|message| message.time);
    figures.newest_dead_letter = jetstream.last_message(&stream, &all).await?.map(|message| message.time);
    if total <= MOST_SUBJECTS {
        for (subject, count) in jetstream.subjects(&stream, &all).await? {
            match destination_and_reason(integration, &subject) {
                Some((destination, reason)) => {
                    *figures.dead_letters.entry(destination.to_owned()).or_default() += count;
                    *figures.reasons.entry(reason.to_owned()).or_default() += count;
                }
                None => figures.unreadable += 1,
            }
        }
    } else {
        for lane in lanes {
            let count = jetstream.count(&stream, &names.dead_letters_of_lane(integration, &lane.lane)).await?;
            figures.dead_letters.insert(lane.destination.clone(), count);
        }
        figures.other_dead_letters = total.saturating_sub(figures.dead_letters.values().sum());
        for reason in KNOWN_REASONS {
            let filter = names.dead_letters_where(integration, None, Some(reason));
            figures.reasons.insert(reason.to_owned(), jetstream.count(&stream, &filter).await?);
        }
    }
    // A request for each lane that has any; a Destination that is gone has no age of its own.
    for lane in lanes.iter().filter(|lane| figures.dead_letters.get(&lane.destination).is_some_and(|count| *count > 0))
    {
        let filter = names.dead_letters_of_lane(integration, &lane.lane);
        if let Some(oldest) = jetstream.next_message(&stream, &filter, 1).await? {
            figures.oldest_by_destination.insert(lane.destination.clone(), oldest.time);
        }
    }
    Ok(())
}

/// The counters behind `ropeway.<namespace>.count.<integration>.<lane>.<word>`, and how many made no sense.
fn counts(integration: &ShortUid, values: &[(String, Bytes)]) -> (CountsByDestination, u64) {
    #[derive(Deserialize)]
    struct Counter {
        val: String,
    }
    let mut counts = CountsByDestination::new();
    let mut unreadable = 0;
    for (subject, body) in values {
        let tokens: Vec<&str> = subject.split('.').collect();
        let [_, _, "count", _, lane, word] = tokens[..] else {
            unreadable += 1;
            continue;
        };
        let destination = lane.strip_prefix(integration.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let value = serde_json::from_slice::<Counter>(body).ok().and_then(|counter| counter.val.parse::<u64>().ok());
        let (Some(destination), Some(value)) = (destination, value) else {
            unreadable += 1;
            continue;
        };
        let known = counts.entry(destination.to_owned()).or_default().set(word, value);
        unreadable += u64::from(!known);
    }
    (counts, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_lane_and_nonsense_is_counted() {
        let uid = ShortUid::of("i");
        let subject = |lane: &str, word: &str| format!("ropeway.ns.count.{uid}.{lane}.{word}");
        let lane = format!("{uid}-crm-eu");
        let (counts, unreadable) = counts(
            &uid,
            &[
                (subject(&lane, "delivered"), Bytes::from_static(br#"{"val":"18446744073709551615"}"#)),
                (subject(&lane, "unheard-of"), Bytes::from_static(br#"{"val":"1"}"#)),
                (subject(&lane, "failed"), Bytes::from_static(b"-1")),
                (subject("other", "failed"), Bytes::from_static(br#"{"val":"1"}"#)),
                ("short".into(), Bytes::new()),
            ],
        );
        assert_eq!(counts["crm-eu"].delivered, u64::MAX);
        assert_eq!((counts.len(), unreadable), (1, 4));
    }
}
