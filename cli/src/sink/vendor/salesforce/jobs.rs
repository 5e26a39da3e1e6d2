//! Jobs of Bulk API 2.0, which are worked on when they have been looked at often enough. Source: Salesforce's pages of ingest
//! jobs, of their states and of their results, 2026.

use std::collections::{BTreeMap, HashSet};

use csv::{ReaderBuilder, Writer};
use serde_json::{Map, Value, json};

use super::{Fault, Operation, Salesforce, refuse};
use crate::sink::vendor::{Asked, Reply, Wishes};

/// An org's jobs, by id.
pub(super) type Jobs = BTreeMap<String, Job>;

/// One job.
#[derive(Debug, Default)]
pub(super) struct Job {
    object: String,
    operation: String,
    key: Option<String>,
    state: &'static str,
    looks: u64,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The beginnings of rows of each list, and which row of the file it is.
    taken: Vec<([String; 2], usize)>,
    refused: Vec<([String; 2], usize)>,
    untouched: Vec<usize>,
}

impl Job {
    fn told(&self, id: &str) -> Value {
        let processed = self.taken.len() + self.refused.len();
        let mut told = json!({
            "id": id, "object": self.object, "operation": self.operation, "state": self.state, "contentType": "CSV",
            "apiVersion": 62.0, "jobType": "V2Ingest", "lineEnding": "LF", "columnDelimiter": "COMMA",
            "concurrencyMode": "Parallel", "contentUrl": format!("services/data/v62.0/jobs/ingest/{id}/batches"),
            "numberRecordsProcessed": processed, "numberRecordsFailed": self.refused.len(),
        });
        if let Some(key) = &self.key {
            told["externalIdFieldName"] = json!(key);
        }
        if self.state == "Failed" {
            told["errorMessage"] = json!("InvalidBatch : Field name not found : Nowhere__c");
        }
        told
    }

    /// Rows as a file, with what came of them in front.
    fn list(&self, names: &[&str], rows: impl Iterator<Item = (Vec<String>, usize)>) -> Reply {
        let mut writer = Writer::from_writer(Vec::new());
        let heads = names.iter().map(|name| (*name).to_owned());
        let written = writer.write_record(heads.chain(self.names.iter().cloned()));
        written.expect("a list takes what is written to it");
        for (front, row) in rows {
            let written = writer.write_record(front.iter().chain(&self.rows[row]));
            written.expect("each row has as many cells as there are names");
        }
        let text = String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default();
        Reply { status: 200, csv: Some(text), ..Reply::default() }
    }

    fn operation(&self) -> Option<Operation<'_>> {
        match (self.operation.as_str(), &self.key) {
            ("insert", _) => Some(Operation::Insert),
            ("update", _) => Some(Operation::Update),
            ("upsert", Some(key)) => Some(Operation::Upsert(&self.object, key)),
            _ => None,
        }
    }
}

impl Salesforce {
    /// Answers a request below `/jobs/ingest`.
    pub(super) fn job(&mut self, asked: &Asked<'_>, rest: &[&str], wishes: &Wishes<'_>) -> Reply {
        let state = || asked.json().and_then(|body| body["state"].as_str().map(str::to_owned));
        match (asked.method, rest) {
            ("POST", [] | [""]) => self.open(asked),
            (_, [id, ..]) if !self.jobs.contains_key(*id) => {
                refuse(404, "NOT_FOUND", "The requested resource does not exist")
            }
            ("PUT", [id, "batches"]) => self.store(id, asked),
            ("PATCH", [id]) => self.change(id, &state().unwrap_or_default()),
            ("GET", [id]) => self.look(id, wishes),
            ("DELETE", [id]) => {
                self.jobs.remove(*id);
                Reply { status: 204, ..Reply::default() }
            }
            ("GET", [id, list]) => self.results(id, list.trim_end_matches('/')),
            _ => refuse(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed"),
        }
    }

    fn open(&mut self, asked: &Asked<'_>) -> Reply {
        let Some(body) = asked.json().filter(|_| asked.is_json()) else {
            return refuse(400, "JSON_PARSER_ERROR", "a job is JSON");
        };
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let job = Job {
            object: text("object").unwrap_or_default(),
            operation: text("operation").unwrap_or_default(),
            key: text("externalIdFieldName"),
            state: "Open",
            ..Job::default()
        };
        if job.object.is_empty() || job.operation().is_none() {
            return refuse(400, "INVALIDJOB", "object, operation or externalIdFieldName is missing or unknown");
        }
        if body["contentType"].as_str().unwrap_or("CSV") != "CSV" || body["lineEnding"].as_str().unwrap_or("LF") != "LF"
        {
            return refuse(400, "INVALIDJOB", "this org reads CSV with line feeds only");
        }
        self.last += 1;
        let id = format!("750{:015}", self.last);
        let told = job.told(&id);
        self.jobs.insert(id, job);
        Reply::of(200, told)
    }

    fn store(&mut self, id: &str, asked: &Asked<'_>) -> Reply {
        let kind = asked.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/csv") {
            return refuse(415, "UNSUPPORTED_MEDIA_TYPE", "job data is text/csv");
        }
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.state == "Open" && job.names.is_empty()) else {
            return refuse(400, "INVALIDJOBSTATE", "job data is taken once, while the job is open");
        };
        let mut reader = ReaderBuilder::new().from_reader(asked.body);
        let cells = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
        let names = reader.headers().map(cells);
        let rows = reader.records().map(|row| row.map(|row| cells(&row))).collect::<Result<Vec<_>, _>>();
        let (Ok(names), Ok(rows)) = (names, rows) else {
            return refuse(400, "CLIENTINPUTERROR", "the job data is no CSV");
        };
        (job.names, job.rows) = (names, rows);
        Reply { status: 201, ..Reply::default() }
    }

    fn change(&mut self, id: &str, state: &str) -> Reply {
        let Some(job) = self.jobs.get_mut(id) else { return refuse(404, "NOT_FOUND", "no such job") };
        job.state = match (job.state, state) {
            ("Open", "UploadComplete") => "UploadComplete",
            ("Open" | "UploadComplete" | "InProgress", "Aborted") => {
                job.untouched = (0..job.rows.len()).collect();
                "Aborted"
            }
            _ => return refuse(400, "INVALIDJOBSTATE", "the job can't be changed to this state"),
        };
        Reply::of(200, job.told(id))
    }

    /// Each look brings the job on.
    fn look(&mut self, id: &str, wishes: &Wishes<'_>) -> Reply {
        let Some(job) = self.jobs.get_mut(id) else { return refuse(404, "NOT_FOUND", "no such job") };
        let mut reply = Reply { status: 200, ..Reply::default() };
        if matches!(job.state, "UploadComplete" | "InProgress") {
            job.looks += 1;
            job.state = "InProgress";
            if wishes.jobs.looks.is_some_and(|looks| job.looks >= looks) {
                let mut job = self.jobs.remove(id).unwrap_or_default();
                if wishes.jobs.fail {
                    job.state = "Failed";
                    job.untouched = (0..job.rows.len()).collect();
                } else {
                    self.process(&mut job, wishes, &mut reply);
                }
                self.jobs.insert(id.to_owned(), job);
            }
        }
        reply.body = self.jobs.get(id).map(|job| job.told(id)).unwrap_or_default();
        reply
    }

    fn process(&mut self, job: &mut Job, wishes: &Wishes<'_>, reply: &mut Reply) {
        job.state = "JobComplete";
        let (mut taken, mut refused, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for row in 0..job.rows.len() {
            let record = record(job, row);
            let Some(operation) = job.operation() else { continue };
            match self.one(operation, &record, &mut seen, wishes) {
                Ok((id, created)) => {
                    taken.push(([id, created.to_string()], row));
                    reply.taken.push(record);
                }
                Err(fault) => {
                    refused.push(([String::new(), sentence(fault)], row));
                    reply.refused.push(record);
                }
            }
        }
        // Nothing is promised of their order.
        taken.reverse();
        (job.taken, job.refused) = (taken, refused);
    }

    fn results(&self, id: &str, list: &str) -> Reply {
        let Some(job) = self.jobs.get(id) else { return refuse(404, "NOT_FOUND", "no such job") };
        if !matches!(job.state, "JobComplete" | "Failed" | "Aborted") {
            return refuse(400, "INVALIDJOBSTATE", "the job has not ended");
        }
        let front = |rows: &[([String; 2], usize)]| {
            rows.iter().map(|(front, row)| (front.to_vec(), *row)).collect::<Vec<_>>().into_iter()
        };
        match list {
            "successfulResults" => job.list(&["sf__Id", "sf__Created"], front(&job.taken)),
            "failedResults" => job.list(&["sf__Id", "sf__Error"], front(&job.refused)),
            "unprocessedrecords" => job.list(&[], job.untouched.iter().map(|row| (Vec::new(), *row))),
            _ => refuse(404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }
}

/// A row as a record: an empty cell is no field, `#N/A` is an empty one.
fn record(job: &Job, row: usize) -> Value {
    let mut record = Map::new();
    for (name, cell) in job.names.iter().zip(&job.rows[row]).filter(|(_, cell)| !cell.is_empty()) {
        let value = if cell == "#N/A" { Value::Null } else { json!(cell) };
        match name.split_once('.') {
            Some((relation, field)) => record.insert(relation.to_owned(), json!({ field: value })),
            None => record.insert(name.clone(), value),
        };
    }
    record.insert("attributes".into(), json!({ "type": job.object }));
    record.into()
}

fn sentence((code, field): Fault) -> String {
    format!("{code}:the record is not valid:{} --", field.unwrap_or_default())
}
