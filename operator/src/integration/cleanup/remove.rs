//! What is removed from JetStream at the end of an Integration.

use std::collections::BTreeSet;

use ropeway_crds::{integration::DeletionPolicy, names, names::LaneId};

use crate::{
    integration::{
        apply::RemovedLane,
        plan::{JetStreamPlan, SourcePlan},
    },
    io::{jetstream::JetStream, jetstream::NatsError, reports},
};

/// Removes what belongs to the Integration alone. Answers how many messages were discarded.
pub(super) async fn own(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    recorded: &[RemovedLane],
    policy: DeletionPolicy,
) -> Result<u64, NatsError> {
    let JetStreamPlan { names, integration, .. } = plan;
    let mut discarded = 0;
    for lane in &plan.lanes {
        discarded += reports::lane_pending(jetstream, plan, lane).await?.messages;
    }
    let planned = plan.lanes.iter().map(|lane| lane.lane.clone());
    let recorded = recorded.iter().map(|lane| LaneId::new(integration, &lane.destination));
    let lanes: BTreeSet<LaneId> = planned.chain(recorded).collect();
    let retries = names.retries_stream();
    for lane in &lanes {
        jetstream.delete_consumer(plan.source_stream(), lane.as_str()).await?;
        jetstream.delete_consumer(&retries, lane.as_str()).await?;
        jetstream.purge(&retries, &names.waiting_of(lane)).await?;
        jetstream.purge(&retries, &names.again(lane)).await?;
        for key in [names::hold_key(lane), names::turn_key(lane)] {
            jetstream.purge_entries(&names.state_bucket(), &key).await?;
        }
    }
    if let SourcePlan::Own(config) = &plan.source {
        jetstream.delete_stream(&config.name).await?;
    }
    jetstream.purge(&names.seen_stream(), &names.seen_of(integration)).await?;
    jetstream.purge(&names.shadow_stream(), &names.shadow_of(integration)).await?;
    jetstream.purge(&names.counts_stream(), &names.counts_of(integration)).await?;
    if policy == DeletionPolicy::Delete {
        discarded += jetstream.purge(&names.dead_letters_stream(), &names.dead_letters_of(integration)).await?;
    }
    let bucket = names.state_bucket();
    let own = [names::poll_key(integration), names::batch_key(integration), names::batch_object_keys(integration)];
    let always = [names::wish_key(integration), names::heartbeat_keys(integration), names::trim_key(integration)];
    for key in always.into_iter().chain(own) {
        jetstream.purge_entries(&bucket, &key).await?;
    }
    Ok(discarded)
}

/// Removes what the namespace shares. Dead letters outlive their Integration, but not their namespace. Answers how many
/// messages were discarded.
pub(super) async fn shared(jetstream: &JetStream, plan: &JetStreamPlan, terminating: bool) -> Result<u64, NatsError> {
    let dead = plan.names.dead_letters_stream();
    let held = jetstream.count(&dead, &plan.names.dead_letters_subjects()).await?;
    for config in &plan.shared {
        if config.name != dead || held == 0 || terminating {
            jetstream.delete_stream(&config.name).await?;
        }
    }
    Ok(if terminating { held } else { 0 })
}
