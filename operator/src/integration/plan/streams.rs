//! Streams, consumers and the KV bucket: how each should be configured.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    consumer::{self, AckPolicy, DeliverPolicy},
    stream::{self, DiscardPolicy, RetentionPolicy, StorageType},
};
use ropeway_crds::{
    integration::State,
    names::{self, LaneId, NamespaceNames, ShortUid},
};

use super::{JetStreamPlan, LanePlan, Settings, SourcePlan, wish};
use crate::{
    integration::resolve::{Identity, ResolvedLane, ResolvedSource},
    io::jetstream::{bucket_stream, bucket_subject},
};

/// The default is a thousand, although an unlimited stream shows −1 (10026): two lanes each of 32 destinations make the
/// shared stream hit that with a few dozen Integrations.
const MOST_SHARED_CONSUMERS: i32 = 10_000;

/// What a lane may have in hand over all workers, unless its requests are larger.
const MOST_UNACKNOWLEDGED: i64 = 1_000;

/// Room for requests that were not sent, over all Integrations of a namespace.
const SHADOW_BYTES: i64 = 64 << 20;

/// How long a request that was not sent can be looked at.
const SHADOW_AGE: Duration = Duration::from_secs(24 * 3600);

/// Everything in JetStream.
pub fn jetstream_plan(
    identity: &Identity,
    source: &ResolvedSource,
    lanes: &[ResolvedLane],
    state: State,
    settings: &Settings,
) -> JetStreamPlan {
    let names = NamespaceNames::new(ShortUid::of(&identity.namespace_uid));
    let integration = identity.short();
    let filters = match source {
        ResolvedSource::Events { .. } => Vec::new(),
        ResolvedSource::Stream { subjects, .. } => subjects.clone(),
    };
    let source = match source {
        ResolvedSource::Events { max_bytes, replicas, address: _ } => {
            let max_bytes = i64::try_from(max_bytes.bytes()).unwrap_or(i64::MAX);
            SourcePlan::Own(Box::new(events_stream(identity, &integration, max_bytes, *replicas)))
        }
        ResolvedSource::Stream { stream, subjects: _, beginning } => {
            SourcePlan::Foreign { stream: stream.clone(), beginning: *beginning }
        }
    };
    let lanes = lanes.iter().map(|lane| lane_plan(identity, &names, lane, &filters)).collect();
    JetStreamPlan {
        shared: shared_streams(identity, &names, settings.stream_replicas),
        wish: wish(state),
        integration,
        names,
        source,
        lanes,
    }
}

fn lane_plan(identity: &Identity, names: &NamespaceNames, lane: &ResolvedLane, filters: &[String]) -> LanePlan {
    let ResolvedLane { lane, destination, account, start_at, timeout, portion } = lane;
    // Two deliveries after each other and what lies around them: a message in hand must not be handed out again.
    let wait = (timeout.std() * 2 + Duration::from_secs(10)).max(Duration::from_secs(30));
    // One portion fills up while another is under way.
    let max_ack_pending = MOST_UNACKNOWLEDGED.max(2 * i64::from(*portion));
    let consumer = |filters| consumer::Config { max_ack_pending, ..lane_consumer(identity, lane, wait, filters) };
    LanePlan {
        destination: destination.clone(),
        account: account.clone(),
        start_at: *start_at,
        events: consumer(filters.to_vec()),
        retries: consumer(vec![names.again(lane)]),
        lane: lane.clone(),
    }
}

/// A lane's consumer. There is no `backoff` list, which would distort delayed NAKs, and no limit of deliveries: workers
/// keep the budget.
pub fn lane_consumer(identity: &Identity, lane: &LaneId, wait: Duration, filters: Vec<String>) -> consumer::Config {
    consumer::Config {
        durable_name: Some(lane.to_string()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: wait,
        max_deliver: -1,
        max_ack_pending: MOST_UNACKNOWLEDGED,
        filter_subjects: filters,
        metadata: metadata(identity, true),
        ..consumer::Config::default()
    }
}

fn events_stream(identity: &Identity, short: &ShortUid, max_bytes: i64, replicas: usize) -> stream::Config {
    stream::Config {
        max_bytes,
        duplicate_window: Duration::from_secs(120),
        // One request with several events is stored all or none.
        allow_atomic_publish: true,
        metadata: metadata(identity, true),
        ..base(names::events_stream(short), vec![names::events_subject(short)], replicas)
    }
}

fn shared_streams(identity: &Identity, names: &NamespaceNames, replicas: usize) -> Vec<stream::Config> {
    let metadata = metadata(identity, false);
    let shared = |name, subjects| stream::Config { metadata: metadata.clone(), ..base(name, subjects, replicas) };
    let bucket = names.state_bucket();
    vec![
        // Schedules refuse discard new; with a limit and discard old, parked retries would vanish silently.
        stream::Config {
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::Old,
            max_consumers: MOST_SHARED_CONSUMERS,
            allow_message_schedules: true,
            duplicate_window: Duration::from_secs(120),
            ..shared(names.retries_stream(), names.retries_subjects().to_vec())
        },
        stream::Config {
            allow_message_ttl: true,
            duplicate_window: Duration::from_secs(120),
            ..shared(names.dead_letters_stream(), vec![names.dead_letters_subjects()])
        },
        // Counters refuse discard new; only the latest value of each is of use.
        stream::Config {
            discard: DiscardPolicy::Old,
            max_messages_per_subject: 1,
            allow_message_counter: true,
            ..shared(names.counts_stream(), vec![names.counts_subjects()])
        },
        stream::Config {
            max_messages_per_subject: 1,
            allow_message_ttl: true,
            ..shared(names.seen_stream(), vec![names.seen_subjects()])
        },
        // What was not sent: a look at the last of it, and no more.
        stream::Config {
            discard: DiscardPolicy::Old,
            max_messages_per_subject: 100,
            max_bytes: SHADOW_BYTES,
            max_age: SHADOW_AGE,
            ..shared(names.shadow_stream(), vec![names.shadow_subjects()])
        },
        // A KV bucket with a history of one (ADR-8).
        stream::Config {
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            ..shared(bucket_stream(&bucket), vec![bucket_subject(&bucket, ">")])
        },
    ]
}

fn base(name: String, subjects: Vec<String>, replicas: usize) -> stream::Config {
    stream::Config {
        name,
        subjects,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        num_replicas: replicas,
        allow_direct: true,
        ..stream::Config::default()
    }
}

/// Says in full whose it is; names carry short UIDs only.
fn metadata(identity: &Identity, of_integration: bool) -> HashMap<String, String> {
    let mut entries =
        vec![("ropeway-namespace", &identity.namespace), ("ropeway-namespace-uid", &identity.namespace_uid)];
    if of_integration {
        entries.push(("ropeway-integration", &identity.name));
        entries.push(("ropeway-integration-uid", &identity.uid));
    }
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

/// The stream as it should become, or `None` where it is as it should be. Only what Ropeway decides and what may be
/// changed is looked at; what an administrator added stays.
pub fn changed_stream(existing: &stream::Config, wished: &stream::Config) -> Option<stream::Config> {
    let mut next = existing.clone();
    next.subjects.clone_from(&wished.subjects);
    next.discard = wished.discard;
    next.max_bytes = wished.max_bytes;
    next.max_messages = wished.max_messages;
    next.max_messages_per_subject = wished.max_messages_per_subject;
    next.num_replicas = wished.num_replicas;
    next.allow_direct = wished.allow_direct;
    if wished.duplicate_window > Duration::ZERO {
        next.duplicate_window = wished.duplicate_window;
    }
    next.metadata.extend(wished.metadata.clone());
    (next != *existing).then_some(next)
}

/// The same for a consumer. Where it began can't be changed.
pub fn changed_consumer(existing: &consumer::Config, wished: &consumer::Config) -> Option<consumer::Config> {
    let mut next = existing.clone();
    let one = (!existing.filter_subject.is_empty()).then(|| existing.filter_subject.clone());
    let filters: Vec<String> = one.into_iter().chain(existing.filter_subjects.clone()).collect();
    if filters != wished.filter_subjects {
        next.filter_subject = String::new();
        next.filter_subjects.clone_from(&wished.filter_subjects);
    }
    next.ack_wait = wished.ack_wait;
    next.max_deliver = wished.max_deliver;
    next.max_ack_pending = wished.max_ack_pending;
    next.backoff = Vec::new();
    next.metadata.extend(wished.metadata.clone());
    (next != *existing).then_some(next)
}
