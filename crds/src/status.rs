//! What comes back onto the resources. No payload, header, credential or URL query ever stands here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod source;

pub use source::{BackfillStatus, RunStatus, SourceStatus};

/// What became of an Integration.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationStatus {
    /// The generation of the spec that this status speaks of.
    pub observed_generation: Option<i64>,
    /// Ready, Healthy, SourceReady, MappingValid, DestinationsResolved, WorkersAvailable; Reconciling, Stalled and
    /// DeliveryHeld only while true.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Running, Paused or Stopped: what every worker has confirmed.
    pub state: Option<String>,
    /// Webhook, Stream, Poll, Request or Batch.
    pub pattern: Option<String>,
    /// The address that takes events: `publicUrl`, else the one that `expose` makes, else the one inside the cluster.
    pub endpoint: Option<String>,
    /// Workers that exist.
    pub replicas: Option<i32>,
    /// Workers that report in with the current configuration.
    pub ready_replicas: Option<i32>,
    /// Selects the worker pods.
    pub selector: Option<String>,
    /// Version of the mapping engine that checked the expressions.
    pub mapping_engine: Option<String>,
    /// What came in.
    pub source: Option<SourceStatus>,
    /// Counts over all destinations.
    pub delivery: Option<DeliveryStatus>,
    /// What the dead-letter stream holds for this Integration.
    pub dead_letters: Option<DeadLetterStatus>,
    /// The same for each destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub destinations: Vec<LaneStatus>,
}

/// Counts of deliveries. They grow only, from `since` on, and survive worker restarts.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryStatus {
    /// Since when these counts are kept.
    pub since: Option<Time>,
    /// Events accepted and stored.
    pub received: i64,
    /// Dead letters that were sent again.
    pub resent: i64,
    /// Records that destinations accepted.
    pub delivered: i64,
    /// Events that a filter kept back.
    pub filtered: i64,
    /// Records that were not sent, since `spec.mode` is Shadow.
    pub shadowed: i64,
    /// Repeats that de-duplication dropped.
    pub deduplicated: i64,
    /// Attempts that failed and were parked for another one.
    pub retried: i64,
    /// Times that a record waited because its destination could take nothing; no attempt is spent.
    pub held: i64,
    /// Records that a destination refused for good.
    pub rejected: i64,
    /// Events that could not be delivered within their budget or could not be mapped.
    pub failed: i64,
    /// Events that were thrown away by an explicit act.
    pub discarded: i64,
    /// Dead letters written so far; `deadLetters.messages` is what is there now.
    pub dead_lettered: i64,
    /// Events not settled yet, parked retries included.
    pub pending: i64,
    /// When a record was last accepted.
    pub last_success_time: Option<Time>,
    /// The last failure.
    pub last_error: Option<LastError>,
}

/// A failure that someone can look into.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastError {
    /// When it happened.
    pub time: Option<Time>,
    /// Which destination.
    pub destination: String,
    /// In one word: Rejected, Exhausted, MappingFailed, …
    pub reason: String,
    /// The HTTP status, if there was an answer.
    pub code: Option<i32>,
    /// In a sentence of at most 256 characters, without payload.
    pub message: String,
}

/// What the dead-letter stream holds.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeadLetterStatus {
    /// Dead letters that are there now.
    pub messages: i64,
    /// When the oldest of them was written.
    pub oldest_time: Option<Time>,
    /// When the newest of them was written.
    pub newest_time: Option<Time>,
    /// The most frequent reasons, at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<ReasonCount>,
}

/// One reason and how many dead letters have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasonCount {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// What became of one destination of an Integration.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaneStatus {
    /// Name of the destination within the Integration.
    pub name: String,
    /// Whether every worker is bound to the lane's consumers.
    #[serde(default)]
    pub ready: bool,
    /// Whether its Destination is served: Closed, Open or HalfOpen.
    pub circuit: Option<String>,
    /// Records that it accepted.
    #[serde(default)]
    pub delivered: i64,
    /// Events that its filter kept back.
    #[serde(default)]
    pub filtered: i64,
    /// Attempts that failed and were parked for another one.
    #[serde(default)]
    pub retried: i64,
    /// Records that it refused for good.
    #[serde(default)]
    pub rejected: i64,
    /// Events that could not be delivered within their budget or could not be mapped.
    #[serde(default)]
    pub failed: i64,
    /// Events not settled yet, parked retries included.
    #[serde(default)]
    pub pending: i64,
    /// Dead letters that are there now.
    #[serde(default)]
    pub dead_letters: i64,
    /// When it last accepted a record.
    pub last_success_time: Option<Time>,
}

/// What became of a Destination.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStatus {
    /// The generation of the spec that this status speaks of.
    pub observed_generation: Option<i64>,
    /// Ready, Healthy, CredentialsValid, CircuitClosed; Reconciling and Stalled only while true.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The provider's name.
    pub provider: Option<String>,
    /// What becomes of a record that comes twice, as after a time-out that leaves open whether it arrived: Enforced (once in
    /// effect: the vendor drops it or it changes nothing), BestEffort (dropped as a rule) or None (it counts twice).
    pub idempotency: Option<String>,
    /// How many Integrations name this Destination.
    pub used_by: Option<i32>,
    /// Whether it is served at all. Absent until a worker sends here.
    pub circuit: Option<CircuitStatus>,
    /// How fast it is served. Absent while nothing limits it.
    pub rate_limit: Option<RateLimitStatus>,
    /// The access token that workers hold. Absent where the credentials need none.
    pub credentials: Option<CredentialsStatus>,
    /// Counts over all Integrations that send here.
    pub delivery: Option<DestinationDelivery>,
}

/// An access token.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialsStatus {
    /// When it ends, of several workers' tokens the first. Absent where the server does not tell.
    pub expires_at: Option<Time>,
    /// When one was got last.
    pub last_refresh_time: Option<Time>,
    /// How often asking for one has failed since.
    pub refresh_failures: Option<i32>,
    /// When the consent behind it ends, where the server tells.
    pub consent_expires_at: Option<Time>,
    /// Whether that is within the next seven days.
    pub consent_ends_soon: Option<bool>,
}

/// Whether a Destination is served.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitStatus {
    /// Closed, Open or HalfOpen.
    pub state: String,
    /// Since when.
    pub since: Option<Time>,
    /// When one request tries next whether it answers again. Absent while it is closed or a person holds it open.
    pub next_probe_time: Option<Time>,
    /// Why it was opened the last time: Errors, Credentials, Token, Gone, Quota, Rule, Address, Configuration or Manual.
    pub last_open_reason: Option<String>,
    /// The same in a sentence of at most 256 characters, without payload.
    pub message: Option<String>,
}

/// How fast a Destination is served.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitStatus {
    /// The limit of the spec, such as 100 per 10s.
    pub limit: Option<String>,
    /// The share of it that is used now, in percent: it falls with every 429 and grows back.
    pub used_percent: Option<i64>,
    /// What the destination said is left in its window, if it did.
    pub remaining: Option<i64>,
    /// Nothing is sent before, because the destination asked for it.
    pub reset_at: Option<Time>,
}

/// Counts of a Destination over all Integrations that send to it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationDelivery {
    /// Records that it accepted.
    pub delivered: i64,
    /// Attempts that failed and were parked for another one.
    pub retried: i64,
    /// Records that it refused for good.
    pub rejected: i64,
    /// Events that could not be delivered within their budget or could not be mapped.
    pub failed: i64,
    /// Events not settled yet.
    pub pending: i64,
    /// Dead letters that are there now.
    pub dead_letters: i64,
    /// When it last accepted a record.
    pub last_success_time: Option<Time>,
    /// The last failure.
    pub last_error: Option<LastError>,
}
