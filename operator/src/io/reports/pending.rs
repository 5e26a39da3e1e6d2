//! What lanes have not settled, and how far they have read.

use super::super::jetstream::{JetStream, NatsError};
use crate::integration::plan::{JetStreamPlan, LanePlan, SourcePlan};

/// A stream that ends before what was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regression {
    /// Up to where it was read.
    pub read: u64,
    /// Where it ends.
    pub last: u64,
}

/// Whether a stream of the user's ends before what was read of it. It is looked at again before that is said, since it was
/// asked first and its consumers later.
pub(super) async fn regressed(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    source: Option<&async_nats::jetstream::stream::Info>,
    read: u64,
) -> Result<Option<Regression>, NatsError> {
    let foreign = matches!(plan.source, SourcePlan::Foreign { .. });
    if !foreign || source.is_none_or(|source| source.state.last_sequence >= read) {
        return Ok(None);
    }
    let last = jetstream.stream(plan.source_stream()).await?.map(|source| source.state.last_sequence);
    Ok(last.filter(|last| *last < read).map(|last| Regression { read, last }))
}

/// What a lane has not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// On its stream, fired, and parked.
    pub messages: u64,
    /// Whether both of its consumers are there.
    pub whole: bool,
    /// Up to where it has read the stream that its events come from.
    pub read: u64,
}

/// What a lane has not settled.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn lane_pending(jetstream: &JetStream, plan: &JetStreamPlan, lane: &LanePlan) -> Result<Pending, NatsError> {
    let retries = plan.names.retries_stream();
    let mut messages = jetstream.count(&retries, &plan.names.waiting_of(&lane.lane)).await?;
    let (mut whole, mut read) = (true, 0);
    for stream in [plan.source_stream(), &retries] {
        match jetstream.consumer(stream, lane.lane.as_str()).await? {
            Some(info) => {
                messages += info.num_pending + u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
                if stream == plan.source_stream() {
                    read = info.delivered.stream_sequence;
                }
            }
            None => whole = false,
        }
    }
    Ok(Pending { messages, whole, read })
}
