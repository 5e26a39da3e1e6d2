//! What operator and workers tell each other through the KV bucket. Whatever is read from there is untrusted input.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::integration::State;

/// What the operator wishes of an Integration's workers. Without a wish a worker neither receives nor sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// The wished state.
    pub state: State,
}

/// A worker's heartbeat for one Integration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// The worker's name: that of its pod.
    pub worker: String,
    /// The fingerprint of its configuration.
    pub config: String,
    /// The state that has taken effect in it; absent until it has seen a wish.
    pub state: Option<State>,
    /// When it was written, on the worker's clock.
    pub time: Timestamp,
    /// What keeps it from receiving.
    pub source_problem: Option<Problem>,
    /// One for each destination.
    pub lanes: Vec<LaneReport>,
}

/// Something that keeps a worker from its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// In one word.
    pub reason: String,
    /// In a sentence, without payload or credential.
    pub message: String,
}

/// How one lane fares in one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneReport {
    /// Name of the destination within the Integration.
    pub destination: String,
    /// Whether the lane's consumers were found and are being read, or would be but for a pause.
    pub bound: bool,
    /// What keeps the lane from its work.
    pub problem: Option<Problem>,
    /// What keeps events from being settled: a retry or a dead letter can't be written. The originals stay.
    #[serde(default)]
    pub trouble: Option<Problem>,
    /// The destination refuses our credentials, since the last success.
    pub credentials_refused: bool,
    /// The access token that it holds, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenReport>,
    /// Attempts within the last five minutes.
    pub recent_attempts: u64,
    /// Failed ones among them.
    pub recent_failures: u64,
    /// Events within the last five minutes that did not match the Integration's schema.
    #[serde(default)]
    pub recent_violations: u64,
    /// Where in the schema the last of them did not match.
    #[serde(default)]
    pub last_violation: Option<String>,
    /// When a record was last accepted.
    pub last_success: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<Failure>,
}

/// How a worker fares with its access token for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenReport {
    /// When it ends, where the server tells.
    pub expires: Option<Timestamp>,
    /// When one was got last.
    pub granted: Option<Timestamp>,
    /// How often asking has failed since.
    pub failures: u32,
    /// How often was asked.
    pub requests: u64,
}

/// A failed attempt or a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When.
    pub time: Timestamp,
    /// In one word.
    pub reason: String,
    /// The HTTP status, if there was an answer.
    pub code: Option<u16>,
    /// In a sentence, bounded, without payload or credential.
    pub message: String,
}

/// How often a worker writes its heartbeat, in seconds.
pub const HEARTBEAT_SECONDS: i64 = 2;

/// A worker whose last heartbeat is older than this, in seconds, counts as gone: five missed beats and the flush of one.
pub const HEARTBEAT_LOST_SECONDS: i64 = 6 * HEARTBEAT_SECONDS;

/// Heartbeats older than this, in seconds, are removed by the operator.
pub const HEARTBEAT_FORGOTTEN_SECONDS: i64 = 600;
