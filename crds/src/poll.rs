//! How far an Integration's polling is, in the KV key `poll.<integration>`: one record, changed by compare-and-set alone, so
//! that a worker that slept can change nothing afterwards. Whatever is read from there is untrusted input.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{cursor::CursorFormat, report::Problem};

/// How far an Integration's polling is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PollRecord {
    /// The worker that is asking now; none between runs. Whoever finds the record unchanged for as long as a term lasts may
    /// take its place.
    pub holder: Option<String>,
    /// How often the work was taken up.
    pub epoch: u64,
    /// What stands for the part of the spec that requests are made of.
    pub spec: String,
    /// How the values of the cursor are written; none where there is no cursor.
    pub format: Option<CursorFormat>,
    /// When polling was looked at first.
    pub since: Option<Timestamp>,
    /// The committed cursor: the highest value that a whole run has seen.
    pub cursor: Option<String>,
    /// The value that a person set the cursor to: nothing before it is asked for.
    pub floor: Option<String>,
    /// How often a person set the cursor. What is read again after that are events again.
    pub era: u64,
    /// The run that is under way.
    pub run: Option<Run>,
    /// The backfill that was asked for last.
    pub backfill: Option<Backfill>,
    /// When the last run started.
    pub last_start: Option<Timestamp>,
    /// When the last run ended that read everything.
    pub last_success: Option<Timestamp>,
    /// When the next run starts.
    pub next: Option<Timestamp>,
    /// Nothing is asked before.
    pub not_before: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// What the only page of the last run was marked with.
    pub validators: Option<Validators>,
    /// The last run that ended.
    pub last_run: Option<LastRun>,
}

/// A run: from its first page to its last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Run {
    /// When it started.
    pub started: Timestamp,
    /// The value that the cursor's parameter has in it.
    pub from: Option<String>,
    /// The page that is asked for next.
    pub position: Position,
    /// The highest value seen so far.
    pub highest: Option<String>,
    /// Pages read.
    pub pages: u64,
    /// Items on them.
    pub items: u64,
    /// Those that became events.
    pub stored: u64,
    /// Those that were known already.
    pub repeated: u64,
    /// Those that can be no event and became dead letters.
    pub refused: u64,
    /// How often it began again because its place was refused.
    pub restarts: u32,
    /// What stands for a page that was seen: where it comes again, the pages go round in a circle.
    pub mark: Option<String>,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Position {
    /// The first one.
    #[default]
    First,
    /// The one that a token stands for.
    Token(String),
    /// The one at this address.
    Url(String),
    /// The one with this number, or behind so many items.
    Number(u64),
}

/// A run over a range of its own, asked for by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// Tells it from others: its rows are events again.
    pub id: String,
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When it was asked for.
    pub asked: Timestamp,
    /// How far it is.
    #[serde(default)]
    pub run: Option<Run>,
    /// What became of it.
    #[serde(default)]
    pub result: Option<LastRun>,
}

/// What the only page of a run was marked with, so that it need not be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validators {
    /// What stands for the request.
    pub request: String,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// A run that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRun {
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Pages read.
    pub pages: u64,
    /// Items on them.
    pub items: u64,
    /// Those that became events.
    pub stored: u64,
    /// Those that were known already.
    pub repeated: u64,
    /// Those that can be no event and became dead letters.
    pub refused: u64,
    /// `Complete`, `NotModified`, or the reason for which it ended early.
    pub outcome: String,
    /// What ended it early, in a sentence.
    pub message: Option<String>,
}

impl PollRecord {
    /// Puts the cursor somewhere else. The next run asks from there, and what it reads are events again.
    pub fn set_cursor(&mut self, value: Option<String>) {
        self.floor.clone_from(&value);
        self.cursor = value;
        self.era += 1;
        self.run = None;
        self.validators = None;
    }
}
