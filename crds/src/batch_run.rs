//! The KV record of a batch source: who reads, how far everything is stored, and what became of the last run. Read from
//! there it is untrusted input.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many refused rows are named with their line.
pub const MOST_REFUSED_ROWS: usize = 10;

/// A record that was not renewed for this many seconds belongs to a reader that is gone.
pub const READER_LOST_SECONDS: i64 = 10;

/// What the readers of one batch source tell each other and the operator.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRecord {
    /// The pod that reads; none when nobody does.
    pub holder: Option<String>,
    /// When the record was last written, on the reader's clock.
    pub renewed: Option<Timestamp>,
    /// What becomes or became of the last run.
    pub run: BatchRun,
    /// The object that is being read or was read last.
    pub reading: Option<Reading>,
}

/// What becomes or became of one run.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRun {
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
    /// The same in a sentence, without payload or credential.
    pub message: String,
    /// What is read, without a query.
    pub object: String,
    /// What was read in this run and in those that it goes on from.
    pub counts: RowCounts,
    /// Lines of the first refused rows.
    pub refused_lines: Vec<u64>,
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RowCounts {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that became events.
    pub stored: u64,
    /// Rows that the stream had already.
    pub repeated: u64,
    /// Rows that can be no event, and became dead letters.
    pub refused: u64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It reads.
    #[default]
    Running,
    /// It has rows in hand that can't be stored now, and tries again.
    Waiting,
    /// Everything was read and stored.
    Complete,
    /// Nothing has changed since everything was read and stored.
    Unchanged,
    /// It was told to stop, or died; the next one goes on where it ended.
    Interrupted,
    /// It could not go on.
    Failed,
}

impl Outcome {
    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Complete => "Complete",
            Self::Unchanged => "Unchanged",
            Self::Interrupted => "Interrupted",
            Self::Failed => "Failed",
        }
    }

    /// Whether the run is still under way.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Waiting)
    }
}

/// How far one object is read and everything before is stored and acknowledged.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reading {
    /// The object.
    pub object: String,
    /// Its version as its keeper says it; none where it says nothing.
    pub version: Option<String>,
    /// A SHA-256 over the bytes before `offset`, where the version is not known.
    pub digest: Option<String>,
    /// What stands for the format that it was read in.
    pub shape: String,
    /// How often a reading began at the first row: what tells the rows of one from those of another.
    pub number: u64,
    /// Bytes of the unpacked object before the first row that is not settled.
    pub offset: u64,
    /// Rows before it.
    pub row: u64,
    /// Line breaks before it.
    pub line: u64,
    /// The names of a CSV file's columns.
    pub columns: Vec<String>,
    /// Whether the object was read whole.
    pub whole: bool,
    /// What became of the rows of this object.
    pub counts: RowCounts,
}

/// An object below a prefix that was read whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadObject {
    /// The object.
    pub object: String,
    /// Its version then.
    pub version: String,
    /// What stands for the format that it was read in.
    pub shape: String,
}
