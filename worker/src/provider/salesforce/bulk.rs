//! A job of Bulk API 2.0. Pure.
//!
//! ```text
//! open ─▶ upload ─▶ start ─▶ look … look ─▶ lists of what was taken, refused, not got to
//! ```
//!
//! Source: Bulk API 2.0 Ingest, and its job states, 2026. What a job does not tell of a record is told by a collection, which
//! is asked about the same record again: an upsert or an update that comes twice gives the same record.

mod asks;

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use http::Uri;
use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::account::Cause;
use serde::Deserialize;

use super::{
    answer::{hint, trouble},
    file::{File, folded},
    results::{List, complaint, rows},
};
use crate::provider::{
    Failure, Fate, Outcome, Verdict,
    large::{Job, Need},
};

pub(super) use self::asks::opening;

/// One job.
#[derive(Debug)]
pub(super) struct Bulk {
    /// The address of all jobs.
    root: Uri,
    opening: Bytes,
    /// The column that says which record it is.
    key: String,
    csv: Bytes,
    records: HashMap<String, usize>,
    patience: Duration,
    stage: Stage,
    /// How often it was looked at or read in vain.
    tries: u32,
    known: Vec<Option<Outcome>>,
    /// What becomes of records that nothing is known of.
    rest: Fate,
    /// Whether some of what was said could not be understood.
    unclear: bool,
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Upload(String),
    Start(String),
    /// It is being worked on.
    Rest(String),
    Look(String),
    /// It has ended.
    Read(String, List),
    /// A list could not be read just now.
    RestAndRead(String, List),
    Abort(String),
    Over,
}

/// What Salesforce says of a job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    id: String,
    state: String,
}

impl Bulk {
    pub(super) fn new(root: Uri, opening: Bytes, key: &str, file: File, patience: Duration) -> Self {
        let File { csv, records } = file;
        Self {
            root,
            opening,
            key: key.to_owned(),
            csv,
            known: vec![None; records.len()],
            records,
            patience,
            stage: Stage::Open,
            tries: 0,
            rest: Fate::Again,
            unclear: false,
        }
    }

    /// Nothing more is asked; `rest` becomes of what nothing is known of.
    fn end(&mut self, rest: Fate) {
        self.rest = rest;
        self.stage = Stage::Over;
    }

    /// The same for a job that is still there, and must not go on beside what becomes of its records now.
    fn abort(&mut self, id: String, rest: Fate) {
        self.rest = rest;
        self.stage = Stage::Abort(id);
    }

    /// A request succeeded. Answers what it shows of the destination.
    fn succeeded(&mut self, stage: Stage, response: &Response) -> Outcome {
        let told = || serde_json::from_slice::<Told>(&response.body).unwrap_or_default();
        match stage {
            Stage::Open => {
                let Told { id, .. } = told();
                if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    self.end(Fate::Again);
                } else {
                    self.stage = Stage::Upload(id);
                }
            }
            Stage::Upload(id) => {
                self.csv = Bytes::new();
                self.stage = Stage::Start(id);
            }
            Stage::Start(id) => self.stage = Stage::Rest(id),
            Stage::Look(id) => {
                let Told { state, .. } = told();
                self.tries += 1;
                match state.as_str() {
                    // Nobody knows whether the request to start it arrived.
                    "Open" => self.stage = Stage::Start(id),
                    "JobComplete" => {
                        self.tries = 0;
                        self.stage = Stage::Read(id, List::Successful);
                    }
                    "Failed" => self.end(Fate::Again),
                    // A person did that, and has a reason not to want these records now.
                    "Aborted" => self.end(Fate::Known(retry("the job was aborted at Salesforce"))),
                    _ => self.stage = Stage::Rest(id),
                }
            }
            Stage::Read(id, list) => return self.read(id, list, response),
            Stage::Abort(_) | Stage::Rest(_) | Stage::RestAndRead(..) | Stage::Over => self.stage = Stage::Over,
        }
        Outcome::Delivered
    }

    /// Takes a list in. One record's hold is everybody's.
    fn read(&mut self, id: String, list: List, response: &Response) -> Outcome {
        let mut telling = Outcome::Delivered;
        let rows = rows(&response.body, &self.key);
        self.unclear |= rows.is_none();
        for row in rows.unwrap_or_default() {
            let record = row.key.as_deref().and_then(|key| self.records.get(&folded(key)));
            let Some(known) = record.and_then(|record| self.known.get_mut(*record)) else {
                self.unclear = true;
                continue;
            };
            let outcome = match list {
                List::Successful => Outcome::Delivered,
                List::Failed => complaint(row.error.as_deref().unwrap_or_default()).outcome(response.status.as_u16()),
                List::Unprocessed => retry("Salesforce did not get to the record in its job"),
            };
            if matches!(outcome, Outcome::Hold { .. }) {
                telling = outcome.clone();
            }
            known.get_or_insert(outcome);
        }
        match list.next().filter(|_| self.known.contains(&None)) {
            Some(next) => self.stage = Stage::Read(id, next),
            None if self.unclear => self.end(Fate::Again),
            None => self.end(Fate::Known(Outcome::Unaccounted(Failure::silent(
                "the record is in none of the lists of Salesforce's job",
            )))),
        }
        telling
    }

    /// A request failed. Answers what it shows of the destination.
    fn failed(&mut self, stage: Stage, outcome: Outcome) -> Outcome {
        let refused = matches!(outcome, Outcome::Rejected(_) | Outcome::Hold { cause: Cause::Configuration, .. });
        let passes = matches!(
            outcome,
            Outcome::Retry { .. } | Outcome::Hold { cause: Cause::Token | Cause::VaultAway | Cause::Errors, .. }
        );
        match stage {
            Stage::Open if refused => self.end(Fate::Again),
            Stage::Upload(id) | Stage::Start(id) | Stage::Look(id) if refused => self.abort(id, Fate::Again),
            // It may have arrived.
            Stage::Start(id) if passes => self.stage = Stage::Rest(id),
            Stage::Look(id) if passes => {
                self.tries += 1;
                self.stage = Stage::Rest(id);
            }
            Stage::Read(id, list) if passes => {
                self.tries += 1;
                self.stage = Stage::RestAndRead(id, list);
            }
            Stage::Read(id, list) if refused => {
                self.unclear = true;
                match list.next() {
                    Some(next) => self.stage = Stage::Read(id, next),
                    None => self.end(Fate::Again),
                }
            }
            Stage::Upload(id) if passes => self.abort(id, Fate::Known(outcome.clone())),
            Stage::Abort(_) | Stage::Over => self.stage = Stage::Over,
            _ => self.end(Fate::Known(outcome.clone())),
        }
        // What a collection is asked next is for the collection to say.
        if refused { Outcome::Delivered } else { outcome }
    }
}

impl Job for Bulk {
    fn patience(&self) -> Duration {
        self.patience
    }

    fn need(&self) -> Need {
        self.next_need()
    }

    fn rested(&mut self) {
        self.stage = match self.stage.clone() {
            Stage::Rest(id) => Stage::Look(id),
            Stage::RestAndRead(id, list) => Stage::Read(id, list),
            other => other,
        };
    }

    fn answered(&mut self, response: &Response, now: Timestamp) -> Verdict {
        let stage = self.stage.clone();
        match trouble(response, now) {
            None => Verdict { hint: hint(response, now), ..Verdict::plain(self.succeeded(stage, response)) },
            Some(verdict) => Verdict { outcome: self.failed(stage, verdict.outcome), ..verdict },
        }
    }

    fn unanswered(&mut self, outcome: Outcome) {
        self.failed(self.stage.clone(), outcome);
    }

    fn give_up(&mut self, outcome: Outcome) {
        match self.stage.clone() {
            Stage::Upload(id) | Stage::Start(id) | Stage::Rest(id) | Stage::Look(id) => {
                self.abort(id, Fate::Known(outcome));
            }
            Stage::Open | Stage::Read(..) | Stage::RestAndRead(..) => self.end(Fate::Known(outcome)),
            Stage::Abort(_) | Stage::Over => {}
        }
    }

    fn finish(self: Box<Self>) -> Vec<Fate> {
        self.known.into_iter().map(|known| known.map_or_else(|| self.rest.clone(), Fate::Known)).collect()
    }
}

fn retry(message: &str) -> Outcome {
    Outcome::Retry { after: None, limited: false, failure: Failure::silent(message) }
}

#[cfg(test)]
mod tests;
