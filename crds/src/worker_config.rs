//! The file `/etc/ropeway/config.json`: everything a worker knows, made by the operator's plan, without a secret in it.

use serde::{Deserialize, Serialize};

use crate::{
    auth::{Auth, Tls},
    delivery::DeliveryPolicy,
    duration::{ByteSize, Duration},
    mapping::{Dedup, Expression},
    names::{LaneId, NamespaceNames, ShortUid, hash},
    provider::Provider,
    source::Verification,
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
    /// Attributes of events that carry none.
    pub event: EventDefaults,
    /// De-duplication where a lane takes an event.
    pub dedup: Option<Dedup>,
    /// The program that brings events into one shape.
    pub normalize: Option<Expression>,
    /// One for each destination.
    pub lanes: Vec<LaneConfig>,
    /// How long a dead letter is kept.
    pub dead_letter_retention: Duration,
    /// How long settled events are kept.
    pub retain: Duration,
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
    },
    /// A stream of the user's.
    Stream {
        /// Its name.
        stream: String,
    },
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
    /// What the destination speaks.
    pub provider: Provider,
    /// How we prove who we are.
    pub auth: Option<Auth>,
    /// Certificates beyond the public ones.
    pub tls: Option<Tls>,
    /// Deadline, budget and the meaning of answers.
    pub delivery: DeliveryPolicy,
}

impl IntegrationConfig {
    /// The id of the lane to this destination.
    pub fn lane(&self, destination: &str) -> LaneId {
        LaneId::new(&self.uid, destination)
    }
}
