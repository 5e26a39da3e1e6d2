//! The kind `Integration`: where events come from, how they are mapped, where they go.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    azure::AzureIdentity,
    delivery::Delivery,
    duration::{ByteSize, Duration},
    mapping::{Dedup, Expression, Mapping, MappingTest, Ordering},
    schema::EventSchema,
    source::{EventAttributes, Pattern, Source},
    status::IntegrationStatus,
    template::Template,
    worker_config::HoldPolicy,
};

/// Where events come from, how they are mapped and where they go.
#[serde_with::skip_serializing_none]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ropeway.dev",
    version = "v1alpha1",
    kind = "Integration",
    plural = "integrations",
    shortname = "intg",
    category = "ropeway",
    namespaced,
    status = "IntegrationStatus",
    derive = "PartialEq",
    cel,
    doc = "An Integration says where events come from, how they are mapped and where they go.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type=='Healthy')].status"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Pattern", type_ = "string", json_path = ".status.pattern"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.delivery.failed"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.delivery.pending"),
    printcolumn(name = "DLQ", type_ = "integer", json_path = ".status.deadLetters.messages"),
    printcolumn(name = "Last-Success", type_ = "date", json_path = ".status.delivery.lastSuccessTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.delivery.delivered", priority = 1),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("has(self.source.webhook) == has(oldSelf.source.webhook) && has(self.source.poll) == has(oldSelf.source.poll) && has(self.source.request) == has(oldSelf.source.request) && has(self.source.batch) == has(oldSelf.source.batch)").message("the kind of source can't be changed; make a new Integration"))]
#[x_kube(validation = Rule::new("!has(self.source.request) || (self.destinations.size() == 1 && !has(self.dedup) && !has(self.ordering) && !has(self.storage) && !has(self.deadLetter))").message("a request has one destination and no queue: leave dedup, ordering, storage and deadLetter out"))]
#[x_kube(validation = Rule::new("!has(self.tests) || self.tests.all(test, test.expect.all(expected, self.destinations.exists(destination, destination.name == expected.destination)))").message("a test expects something of a destination that spec.destinations does not have"))]
#[serde(rename_all = "camelCase")]
pub struct IntegrationSpec {
    /// Running, Paused (goes on receiving, sends nothing) or Stopped (receives nothing either). Default Running.
    pub state: Option<State>,
    /// Where events come from.
    pub source: Source,
    /// CloudEvents attributes of events that carry none.
    pub event: Option<EventAttributes>,
    /// The shape that events are expected to have.
    pub schema: Option<EventSchema>,
    /// Drops repeats of an event where a lane takes it.
    #[x_kube(validation = Rule::new("duration(self.window) >= duration('1s') && duration(self.window) <= duration('720h')").message("window must be at least 1s and at most 720h"))]
    pub dedup: Option<Dedup>,
    /// Keeps order among events with equal keys. A failing event holds back only those with its key, until it is delivered
    /// or becomes a dead letter. Default: no order.
    pub ordering: Option<Ordering>,
    /// Brings events into one shape, once for all destinations. A result of `null` or an `abort` is an error.
    pub normalize: Option<Mapping>,
    /// Where events go. Each destination has a lane of its own: none waits for another.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub destinations: Vec<IntegrationDestination>,
    /// Tests of the mappings, run when the Integration is applied and by `ropeway test`. While one fails, the last good
    /// mappings stay in use.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tests: Option<Vec<MappingTest>>,
    /// What happens to events that could not be delivered.
    pub dead_letter: Option<DeadLetter>,
    /// Send, or Shadow: everything happens but the sending. Default Send.
    pub mode: Option<Mode>,
    /// How many workers there are. Default 1.
    #[schemars(range(min = 0, max = 64))]
    pub replicas: Option<i32>,
    /// How the events stream is kept. Only for a source that has one.
    pub storage: Option<Storage>,
    /// What becomes of events when the Integration is deleted. Default Drain.
    pub deletion_policy: Option<DeletionPolicy>,
    /// The identity by which workers read what `azureKeyVault` names in the source.
    #[x_kube(validation = Rule::new("!has(self.scope)").message("keyVaultIdentity has no scope: that follows from the vault"))]
    pub key_vault_identity: Option<AzureIdentity>,
    /// What may be said about the worker pods.
    pub template: Option<Template>,
}

/// Whether events are received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Receives and sends.
    #[default]
    Running,
    /// Receives, sends nothing.
    Paused,
    /// Receives nothing and sends nothing.
    Stopped,
}

/// Whether records are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// They are.
    #[default]
    Send,
    /// Everything happens but the sending: events are taken, filtered, mapped and put together, and counted as `shadowed`. The
    /// last requests of each destination, without credentials, are kept for a day and shown by `ropeway shadow`. An event
    /// that was shadowed is done: it is not sent later.
    Shadow,
}

/// One destination of an Integration.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationDestination {
    /// Name of the destination within this Integration: a DNS label. Renaming is removing and adding.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of a Destination in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub r#ref: String,
    /// Where the lane of a destination begins that was added later: with new events, or with all that the stream still
    /// holds. Default New.
    pub start_at: Option<LaneStart>,
    /// A boolean VRL expression over the normalised event. Events for which it is false are not sent here.
    #[schemars(length(min = 1, max = 4096))]
    pub filter: Option<Expression>,
    /// Turns the normalised event into the record that the provider takes. Without it the event is the record.
    pub transform: Option<Mapping>,
    /// Overrides of the Destination's delivery.
    pub delivery: Option<Delivery>,
}

/// Where the lane of a destination begins that was added later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LaneStart {
    /// With events that arrive from now on.
    #[default]
    New,
    /// With the oldest event that the stream still holds.
    Held,
}

/// What happens to events that could not be delivered.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// How long a dead letter is kept. Whole seconds, at least 1m. Default 720h.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("retention must be at least 1m"))]
    pub retention: Option<Duration>,
    /// When a destination's lane is held instead of filling the dead letters with one and the same failure.
    pub hold: Option<DeadLetterHold>,
}

/// When most of a lane's recent events would become dead letters for one reason, something is wrong that no event can
/// help: the lane is held (`DeliveryHeld`), one event is tried now and then, and nothing is dead-lettered meanwhile.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterHold {
    /// Share of events within `window`, in percent, that would become dead letters for one reason. 100 is never reached while
    /// anything succeeds. Default 50.
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<i32>,
    /// Events within `window` below which the share says nothing. Default 100.
    #[schemars(range(min = 1, max = 1000000))]
    pub minimum: Option<i32>,
    /// The time over which the share is taken. Default 5m.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("window must be at least 1s and at most 24h"))]
    pub window: Option<Duration>,
}

/// How the events stream is kept.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Room for events that are not settled yet. Full means that senders get a 503; nothing is dropped. JetStream
    /// reserves it. Default 128Mi.
    pub max_bytes: Option<ByteSize>,
    /// Copies of each event in the NATS cluster. Default 1.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: Option<i32>,
    /// How long settled events are kept. Default 0s: they go as soon as every lane has settled them.
    pub retain: Option<Duration>,
}

/// What becomes of events when the Integration is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Delivers what is there, for at most ten minutes; what is left then becomes dead letters, which outlive the Integration.
    #[default]
    Drain,
    /// Stops the workers and keeps streams and consumers as they are.
    Retain,
    /// Removes everything: events, parked retries, dead letters, counts.
    Delete,
}

impl DeadLetterHold {
    /// The user's wishes and the defaults.
    pub fn resolve(given: Option<&Self>) -> HoldPolicy {
        let given = given.cloned().unwrap_or_default();
        let number = |value: Option<i32>, default| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
        HoldPolicy {
            failure_percent: number(given.failure_percent, 50),
            minimum: number(given.minimum, 100),
            window: given.window.unwrap_or(Duration::from_secs(300)),
        }
    }
}

impl IntegrationSpec {
    /// The wished state.
    pub fn state(&self) -> State {
        self.state.unwrap_or_default()
    }

    /// The number of workers.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }

    /// What the column PATTERN shows.
    pub fn pattern(&self) -> &'static str {
        self.source.pattern().map_or("Invalid", Pattern::as_str)
    }
}
