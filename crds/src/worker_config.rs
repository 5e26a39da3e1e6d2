//! The file `/etc/ropeway/config.json`: everything a worker knows, made by the operator's plan, without a secret in it.

use serde::{Deserialize, Serialize};

use crate::{
    auth::{Auth, Tls},
    azure::{AzureIdentity, AzureSettings},
    delivery::DeliveryPolicy,
    duration::{ByteSize, Duration},
    integration::Mode,
    limits::{BatchPolicy, BreakerPolicy, RatePolicy},
    mapping::{Dedup, Expression, Ordering},
    names::{LaneId, NamespaceNames, ShortUid, hash},
    proof::CredentialsProbe,
    provider::Provider,
    schema::OnViolation,
    source::{BatchSource, Poll, Verification, WebhookTls},
};

/// The version of the file that this code reads and writes.
pub const CONFIG_VERSION: u32 = 1;

/// The largest event, in bytes: what a mapping may be given, and what always fits a dead letter with its headers.
pub const MAX_EVENT_BYTES: u64 = 256 << 10;

/// Everything a worker knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerConfig {
    /// Always [`CONFIG_VERSION`].
    pub version: u32,
    /// Name of the namespace.
    pub namespace: String,
    /// The namespace's UID.
    pub namespace_uid: ShortUid,
    /// Address ranges (CIDR) that destinations may resolve to although they are private.
    pub allowed_private_ranges: Vec<String>,
    /// What the administrator decided about Azure.
    #[serde(default, skip_serializing_if = "AzureSettings::is_default")]
    pub azure: AzureSettings,
    /// The Integrations that this worker serves.
    pub integrations: Vec<IntegrationConfig>,
}

impl WorkerConfig {
    /// The names that this namespace's Integrations share.
    pub fn names(&self) -> NamespaceNames {
        NamespaceNames::new(self.namespace_uid.clone())
    }

    /// Ten characters that stand for these very bytes of configuration. Heartbeats carry it.
    pub fn fingerprint(bytes: &[u8]) -> String {
        hash(bytes, 10)
    }
}

/// One Integration as its workers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrationConfig {
    /// Name of the Integration.
    pub name: String,
    /// Its UID.
    pub uid: ShortUid,
    /// Where events come from.
    pub source: SourceConfig,
    /// Whose access token its source is asked with, where the operator keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<TokenOf>,
    /// The identity by which what its source names in Key Vault is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault_identity: Option<AzureIdentity>,
    /// Attributes of events that carry none.
    pub event: EventDefaults,
    /// The shape that events are expected to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaConfig>,
    /// De-duplication where a lane takes an event.
    pub dedup: Option<Dedup>,
    /// Order among events with equal keys. Left out where there is none, so that the configuration of workers without order
    /// is what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<Ordering>,
    /// The program that brings events into one shape.
    pub normalize: Option<Expression>,
    /// One for each destination.
    pub lanes: Vec<LaneConfig>,
    /// How long a dead letter is kept.
    pub dead_letter_retention: Duration,
    /// Whether records are sent.
    pub mode: Mode,
    /// When a lane is held instead of filling the dead letters.
    pub hold: HoldPolicy,
    /// How long settled events are kept.
    pub retain: Duration,
}

/// The shape that events are expected to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaConfig {
    /// The JSON Schema.
    pub schema: serde_json::Value,
    /// What becomes of an event that does not match.
    pub on_violation: OnViolation,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[allow(clippy::large_enum_variant)] // There is one of it for each Integration.
pub enum SourceConfig {
    /// An HTTP address.
    Webhook {
        /// Its path.
        path: String,
        /// How senders prove who they are.
        verification: Verification,
        /// The largest body that is read.
        max_body_bytes: ByteSize,
        /// The place of the array whose elements are the events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        split: Option<String>,
        /// The address that senders call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_url: Option<String>,
        /// Origins that may register the address.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        allowed_origins: Vec<String>,
        /// TLS that the worker ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<WebhookTls>,
    },
    /// A stream of the user's.
    Stream {
        /// Its name.
        stream: String,
    },
    /// An API that is asked on a schedule.
    Poll {
        /// What the user says about it.
        poll: Box<Poll>,
    },
    /// An HTTP address whose callers wait for the destination's answer.
    Request {
        /// Its path.
        path: String,
        /// How callers prove who they are.
        verification: Verification,
        /// The largest body that is read.
        max_body_bytes: ByteSize,
        /// The address that callers use.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_url: Option<String>,
        /// TLS that the worker ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<WebhookTls>,
        /// How long a caller waits at most.
        timeout: Duration,
        /// The program for the destination's answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Expression>,
    },
    /// Files that Jobs read.
    Batch(Box<BatchSource>),
}

impl SourceConfig {
    /// Whether events are stored in a stream of the Integration's own.
    pub fn has_own_stream(&self) -> bool {
        !matches!(self, Self::Stream { .. })
    }
}

/// Attributes of events that carry none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventDefaults {
    /// The CloudEvents `type`.
    pub r#type: String,
    /// The CloudEvents `source`.
    pub source: String,
    /// An expression for the id.
    pub id: Option<Expression>,
}

/// A Destination whose access token the operator keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenOf {
    /// Its name: the token's Secret is called after it.
    pub destination: String,
    /// Its short UID: by it another token is asked for.
    pub account: ShortUid,
}

/// The way to one destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneConfig {
    /// Name of the destination within the Integration.
    pub destination: String,
    /// Which events are sent.
    pub filter: Option<Expression>,
    /// The program that makes the record.
    pub transform: Option<Expression>,
    /// The short UID of the Destination: names what all its workers share.
    pub account: ShortUid,
    /// What the destination speaks.
    pub provider: Provider,
    /// How we prove who we are.
    pub auth: Option<Auth>,
    /// Whose access token is sent, where the operator keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<TokenOf>,
    /// Certificates beyond the public ones.
    pub tls: Option<Tls>,
    /// The identity by which what the Destination names in Key Vault is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault_identity: Option<AzureIdentity>,
    /// Deadline, budget and the meaning of answers.
    pub delivery: DeliveryPolicy,
    /// When the destination is left alone.
    pub breaker: BreakerPolicy,
    /// How fast it may be served.
    pub rate: RatePolicy,
    /// How records are put together.
    pub batch: BatchPolicy,
    /// The header with the idempotency key.
    pub idempotency_header: Option<String>,
    /// A request that proves the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<CredentialsProbe>,
}

/// When a lane is held instead of filling the dead letters, with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldPolicy {
    /// Share of events within the window, in percent, that would become dead letters for one reason.
    pub failure_percent: u32,
    /// Events within the window below which the share says nothing.
    pub minimum: u32,
    /// The time over which the share is taken.
    pub window: Duration,
}

impl IntegrationConfig {
    /// The id of the lane to this destination.
    pub fn lane(&self, destination: &str) -> LaneId {
        LaneId::new(&self.uid, destination)
    }
}
