//! A lane that goes: what it still holds becomes dead letters with the reason `DestinationRemoved`, then its consumers go,
//! then the trim record drops it. Each step may be the last one before a crash: a dead letter can't be written twice, a
//! message is acknowledged after its dead letter was stored, and a consumer goes only when it is empty.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    jetstream::{
        Message,
        consumer::{Config, DeliverPolicy},
    },
};
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{
    duration::Duration as Span,
    headers,
    names::{LaneId, delivery_in_stream},
};

use crate::{
    integration::{
        apply::{ApplyError, RemovedLane, remove_from_record},
        plan::{JetStreamPlan, streams::lane_consumer},
        resolve::Identity,
    },
    io::jetstream::{JetStream, NatsError},
};

/// The word in subjects, headers and status.
pub const REASON: &str = "DestinationRemoved";

/// How long one call works before it lets others have their turn.
const TURN: Duration = Duration::from_secs(10);

/// How many messages are taken at once.
const BATCH: usize = 256;

/// Whether a lane is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It holds nothing any more and was removed.
    Gone,
    /// There is more to do; call again.
    More,
}

/// What a lane that goes belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// The Integration.
    pub identity: &'a Identity,
    /// Its streams.
    pub plan: &'a JetStreamPlan,
    /// How long a dead letter is kept.
    pub retention: Span,
    /// What stands in the dead letters.
    pub error: &'static str,
}

/// Empties a lane into the dead letters and removes it.
///
/// # Errors
/// The first request that failed; nothing is lost, and calling again goes on where this stopped.
pub async fn retire(
    jetstream: &JetStream,
    leaving: Leaving<'_>,
    removed: &RemovedLane,
) -> Result<Progress, ApplyError> {
    let Leaving { identity, plan, .. } = leaving;
    let lane = LaneId::new(&plan.integration, &removed.destination);
    let retries = plan.names.retries_stream();
    let until = Instant::now() + TURN;
    let work = Work { jetstream, leaving, lane: &lane, destination: &removed.destination, until };
    let filters = plan.lanes.first().map(|lane| lane.events.filter_subjects.clone()).unwrap_or_default();
    let start_sequence = removed.floor + 1;
    let events = Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ..lane_consumer(identity, &lane, Duration::from_secs(30), filters)
    };
    let again = lane_consumer(identity, &lane, Duration::from_secs(30), vec![plan.names.again(&lane)]);
    let empty = work.parked(&retries).await?
        && work.consumer(&retries, &again).await?
        && work.consumer(plan.source_stream(), &events).await?;
    if !empty {
        return Ok(Progress::More);
    }
    for stream in [plan.source_stream(), &retries] {
        jetstream.delete_consumer(stream, lane.as_str()).await?;
    }
    remove_from_record(jetstream, plan, &removed.destination).await?;
    tracing::info!(lane = %lane, "a removed lane is empty and gone");
    Ok(Progress::Gone)
}

struct Work<'a> {
    jetstream: &'a JetStream,
    leaving: Leaving<'a>,
    lane: &'a LaneId,
    destination: &'a str,
    until: Instant,
}

impl Work<'_> {
    /// Retries that wait for their time, and what an ordered lane holds back. Answers whether none is left.
    async fn parked(&self, retries: &str) -> Result<bool, NatsError> {
        let filter = self.leaving.plan.names.waiting_of(self.lane);
        let mut from = 1;
        while let Some(found) = self.jetstream.next_message(retries, &filter, from).await? {
            if Instant::now() > self.until {
                return Ok(false);
            }
            self.dead_letter(&found.headers, found.body, None).await?;
            self.jetstream.delete_message(retries, found.sequence).await?;
            from = found.sequence + 1;
        }
        Ok(true)
    }

    /// What a consumer of the lane still holds of what was stored until now. Answers whether nothing is left.
    async fn consumer(&self, stream: &str, config: &Config) -> Result<bool, NatsError> {
        let name = self.lane.as_str();
        let Some(info) = self.jetstream.stream(stream).await? else { return Ok(true) };
        if self.jetstream.consumer(stream, name).await?.is_none() {
            self.jetstream.put_consumer(stream, config).await?;
        }
        // What comes in after this moment was never the lane's.
        let last = info.state.last_sequence;
        let created = Timestamp::from_nanosecond(info.created.unix_timestamp_nanos()).unwrap_or_default();
        let mut beyond = 0;
        while beyond == 0 {
            if Instant::now() > self.until {
                return Ok(false);
            }
            let batch = self.jetstream.take(stream, name, BATCH).await?;
            if batch.is_empty() {
                break;
            }
            for message in batch {
                let Some((sequence, stored)) = position(&message) else { continue };
                if sequence > last {
                    beyond += 1;
                    continue;
                }
                let no_headers = HeaderMap::new();
                let headers = message.headers.as_ref().unwrap_or(&no_headers);
                let own_id = delivery_in_stream(created, sequence, stored);
                self.dead_letter(headers, message.payload.clone(), Some(own_id)).await?;
                self.jetstream.acknowledge(&message).await?;
            }
        }
        // A worker that was killed may still have messages in hand; they come again when their time is up.
        let info = self.jetstream.consumer(stream, name).await?;
        Ok(info.is_none_or(|info| info.num_ack_pending <= beyond && (beyond > 0 || info.num_pending == 0)))
    }

    async fn dead_letter(&self, original: &HeaderMap, body: Bytes, own_id: Option<String>) -> Result<(), NatsError> {
        let Leaving { identity, plan, retention, error } = self.leaving;
        let entry = Entry {
            lane: self.lane,
            integration: &identity.name,
            destination: self.destination,
            retention,
            error,
            now: Timestamp::now(),
        };
        let Some((subject, headers)) = entry.headers(plan, original, own_id) else { return Ok(()) };
        // Outrun means that it is there already.
        self.jetstream.publish(subject, headers, body).await.map(drop)
    }
}

fn position(message: &Message) -> Option<(u64, Timestamp)> {
    let info = message.info().ok()?;
    Some((info.stream_sequence, Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok()?))
}

struct Entry<'a> {
    lane: &'a LaneId,
    integration: &'a str,
    destination: &'a str,
    retention: Span,
    error: &'static str,
    now: Timestamp,
}

impl Entry<'_> {
    /// Subject and headers of the dead letter, or `None` for a message that names no delivery and is none of ours.
    fn headers(
        &self,
        plan: &JetStreamPlan,
        original: &HeaderMap,
        own_id: Option<String>,
    ) -> Option<(String, HeaderMap)> {
        let text = |name: &str| original.get(name).map(|value| value.as_str().to_owned());
        let delivery = text(headers::DELIVERY).filter(|id| is_token(id)).or(own_id)?;
        let resend: u32 = text(headers::RESEND).and_then(|count| count.parse().ok()).unwrap_or(0);
        let attempt: u32 = text(headers::ATTEMPT).and_then(|count| count.parse().ok()).unwrap_or(1);
        let mut headers = HeaderMap::new();
        for (name, values) in original.iter() {
            // What the server understands was meant for the original's way.
            if !AsRef::<str>::as_ref(name).starts_with("Nats-") {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
        }
        let subject = |reason: &str| plan.names.dead_letter(&plan.integration, self.lane, reason, &delivery, resend);
        let own: HashMap<&str, String> = HashMap::from([
            (headers::DELIVERY, delivery.clone()),
            (headers::RESEND, resend.to_string()),
            (headers::ATTEMPT, attempt.to_string()),
            (headers::REASON, REASON.to_owned()),
            (headers::ERROR, self.error.to_owned()),
            (headers::LAST_FAILURE, self.now.to_string()),
            (headers::INTEGRATION, self.integration.to_owned()),
            (headers::DESTINATION, self.destination.to_owned()),
            (headers::TTL, format!("{}s", self.retention.std().as_secs().max(1))),
            (headers::MESSAGE_ID, format!("{delivery}:{}:{resend}:{attempt}", self.lane)),
            (headers::EXPECTED_LAST_SUBJECT_SEQUENCE, "0".to_owned()),
            (headers::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT, subject("*")),
        ]);
        for (name, value) in own {
            headers.insert(name, value);
        }
        Some((subject(REASON), headers))
    }
}

fn is_token(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
