//! What all workers share about one Destination, through the KV bucket: whether its circuit is closed, and how fast it may
//! be served. The operator reads it for `Destination.status`. Whatever is read from there is untrusted input.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a destination is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CircuitState {
    /// It is served.
    #[default]
    Closed,
    /// It is left alone.
    Open,
    /// One request at a time tries whether it answers again.
    HalfOpen,
}

impl CircuitState {
    /// The word in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Open => "Open",
            Self::HalfOpen => "HalfOpen",
        }
    }
}

/// Why a destination as a whole is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Too many requests fail.
    Errors,
    /// Our credentials are refused or missing.
    Credentials,
    /// No access token can be had just now.
    Token,
    /// A secret of Key Vault can't be read until somebody changes something.
    Vault,
    /// A secret of Key Vault can't be read just now.
    VaultAway,
    /// It answers 403 or 410 to one record after another.
    Gone,
    /// What it takes in a day is used up.
    Quota,
    /// An outcome rule says so.
    Rule,
    /// The address is not one that deliveries may go to.
    Address,
    /// The Destination can't be used as it is configured.
    Configuration,
    /// A person wishes it.
    Manual,
}

impl Cause {
    /// The word in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "Errors",
            Self::Credentials => "Credentials",
            Self::Token => "Token",
            Self::Vault => "Vault",
            Self::VaultAway => "VaultAway",
            Self::Gone => "Gone",
            Self::Quota => "Quota",
            Self::Rule => "Rule",
            Self::Address => "Address",
            Self::Configuration => "Configuration",
            Self::Manual => "Manual",
        }
    }
}

/// The circuit of one Destination, in the key `circuit.<destination uid>`. Written on transitions only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitRecord {
    /// Whether it is served.
    pub state: CircuitState,
    /// Since when.
    pub since: Timestamp,
    /// Why it was opened the last time.
    pub cause: Option<Cause>,
    /// The same in a sentence of at most 256 characters, without payload or credential.
    pub reason: Option<String>,
    /// When the next probe may be made, while it is open. None while a person holds it open.
    pub next_probe: Option<Timestamp>,
    /// Who makes the probe, while it is half open.
    pub probe: Option<Probe>,
    /// Probes that have succeeded in a row.
    #[serde(default)]
    pub succeeded: u32,
    /// How often it was opened.
    #[serde(default)]
    pub opened: u64,
}

/// A probe under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The lane and worker that make it.
    pub holder: String,
    /// When it counts as lost, and another may make one.
    pub until: Timestamp,
}

impl CircuitRecord {
    /// A circuit that is closed and always was.
    pub fn closed(now: Timestamp) -> Self {
        Self {
            state: CircuitState::Closed,
            since: now,
            cause: None,
            reason: None,
            next_probe: None,
            probe: None,
            succeeded: 0,
            opened: 0,
        }
    }
}

/// The rate limit of one Destination, in the key `limit.<destination uid>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRecord {
    /// The time of the first slot that nobody has leased, in microseconds of the server's clock since 1970.
    pub next_slot: i64,
    /// The share of the limit that is used, in thousandths: lowered when the destination answers 429, raised step by step.
    pub factor: u32,
    /// When `factor` changed last, in milliseconds of the server's clock since 1970.
    pub factor_since: i64,
    /// Nothing is sent before, in milliseconds of the server's clock since 1970: the destination asked for it.
    pub closed_until: i64,
    /// What the destination said is left in its window, if it did.
    pub remaining: Option<i64>,
    /// Workers that send there, each with the time of its last sign of life, in milliseconds of the server's clock.
    pub workers: BTreeMap<String, i64>,
}

/// An access token that was refused, in the key `token.<destination uid>`: the operator is asked for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenWish {
    /// What stands for the token that was refused.
    pub refused: String,
}

/// Which worker an ordered lane works in, in the key `order.<lane>`. Whoever wants it and finds it unchanged for as long as
/// a turn lasts may take it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TurnRecord {
    /// Who has it; none where it was given back.
    pub holder: Option<String>,
    /// How often it was taken.
    pub epoch: u64,
}

/// A lane that is held, in the key `hold.<lane>`: most of its recent events would have become dead letters for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneHold {
    /// The reason that they would have had.
    pub reason: String,
    /// What happened to the last one, bounded.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// When one event is tried next.
    pub next_probe: Timestamp,
    /// The fingerprint of the workers' configuration at that time: with another one it is tried anew.
    pub config: String,
}
