//! What came in through the source.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came in through the source.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceStatus {
    /// When the last event was stored.
    pub last_received_time: Option<Time>,
    /// The committed cursor of a polled API: the highest value that a whole run has seen.
    pub cursor: Option<String>,
    /// When the last run over a polled API started.
    pub last_poll_time: Option<Time>,
    /// When the next run over a polled API starts.
    pub next_poll_time: Option<Time>,
    /// The last run: over a polled API the last one that ended, of a batch the last one that started.
    pub last_run: Option<RunStatus>,
    /// When a batch source is read next by its schedule.
    pub next_run_time: Option<Time>,
    /// The backfill that was asked for last.
    pub backfill: Option<BackfillStatus>,
}

/// A run over a polled API or over a batch's files.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunStatus {
    /// When it started.
    pub start_time: Option<Time>,
    /// When it ended; absent while it is under way.
    pub completion_time: Option<Time>,
    /// Of a batch: what was read, or is being read.
    pub object: Option<String>,
    /// Of a polled API: pages read.
    pub pages: Option<i64>,
    /// Of a polled API: items on them.
    pub items: Option<i64>,
    /// Of a batch: rows that were read, in this run and in those that it went on from.
    pub rows: Option<i64>,
    /// Items or rows that became events.
    pub stored: i64,
    /// Those that were known already.
    pub repeated: i64,
    /// Those that can be no event and became dead letters.
    pub refused: i64,
    /// Of a batch: lines of the first refused rows, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_lines: Vec<i64>,
    /// Running, Waiting, Complete, NotModified, Unchanged, Interrupted, Failed, or the reason for which it ended early.
    pub outcome: String,
    /// The same in a sentence of at most 256 characters, without payload.
    pub message: Option<String>,
}

/// A run over a range of its own, asked for by `ropeway backfill`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackfillStatus {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: Option<String>,
    /// How far it is; absent until it begins.
    pub run: Option<RunStatus>,
}
