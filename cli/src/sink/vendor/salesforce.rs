//! Salesforce's sObject Collections and jobs of Bulk API 2.0. Source: its pages of both and of error codes, 2026.

mod jobs;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use self::jobs::Jobs;
use super::{Asked, Fake, Reply, Wishes};

/// An org with its records: sObject, id and fields.
#[derive(Debug, Default)]
pub(super) struct Salesforce {
    records: BTreeMap<(String, String), Map<String, Value>>,
    /// Which record has a value, by the sObject and the field that records were looked for.
    indexes: HashMap<(String, String), HashMap<String, String>>,
    last: u64,
    jobs: Jobs,
}

/// What is asked of a collection.
#[derive(Clone, Copy)]
enum Operation<'a> {
    Insert,
    Update,
    /// The sObject and its external id field.
    Upsert(&'a str, &'a str),
}

/// A code, and the field that it is about.
type Fault = (&'static str, Option<&'static str>);

impl Fake for Salesforce {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        let parts: Vec<&str> = asked.path.split('/').collect();
        if let ["", "services", "data", _, "jobs", "ingest", rest @ ..] = parts.as_slice() {
            return match guard(asked, wishes) {
                Some(refused) => refused,
                None => self.job(asked, rest, wishes).with("sforce-limit-info", "api-usage=18/15000"),
            };
        }
        let operation = match (asked.method, parts.as_slice()) {
            ("POST", ["", "services", "data", _, "composite", "sobjects"]) => Operation::Insert,
            ("PATCH", ["", "services", "data", _, "composite", "sobjects"]) => Operation::Update,
            ("PATCH", ["", "services", "data", _, "composite", "sobjects", kind, field]) => {
                Operation::Upsert(kind, field)
            }
            _ => return refuse(404, "NOT_FOUND", "The requested resource does not exist"),
        };
        if let Some(refused) = guard(asked, wishes) {
            return refused;
        }
        let Some(records) = asked.json().and_then(|body| body["records"].as_array().cloned()) else {
            return refuse(400, "JSON_PARSER_ERROR", "records is missing");
        };
        if records.len() > 200 {
            return refuse(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records");
        }
        self.collection(operation, records, wishes).with("sforce-limit-info", "api-usage=18/15000")
    }
}

impl Salesforce {
    fn collection(&mut self, operation: Operation<'_>, records: Vec<Value>, wishes: &Wishes<'_>) -> Reply {
        let mut reply = Reply { status: 200, ..Reply::default() };
        let (mut results, mut seen) = (Vec::new(), HashSet::new());
        for record in records {
            match self.one(operation, &record, &mut seen, wishes) {
                Err((code, field)) => {
                    let fields: Vec<&str> = field.into_iter().collect();
                    let error = json!({ "statusCode": code, "message": "the record is not valid", "fields": fields });
                    results.push(json!({ "success": false, "errors": [error] }));
                    reply.refused.push(record);
                }
                Ok((id, created)) => {
                    let mut result = json!({ "id": id, "success": true, "errors": [] });
                    if matches!(operation, Operation::Upsert(..)) {
                        result["created"] = json!(created);
                    }
                    results.push(result);
                    reply.taken.push(record);
                }
            }
        }
        reply.body = json!(results);
        reply
    }

    /// The record's id, and whether it is new; or the code and the field of what is wrong with it.
    fn one(
        &mut self,
        operation: Operation<'_>,
        record: &Value,
        seen: &mut HashSet<String>,
        wishes: &Wishes<'_>,
    ) -> Result<(String, bool), Fault> {
        let fault = if (wishes.refuse)(record) {
            Some(("FIELD_CUSTOM_VALIDATION_EXCEPTION", None))
        } else {
            self.fault(operation, record, seen)
        };
        fault.map_or_else(|| Ok(self.write(operation, record)), Err)
    }

    fn fault(&self, operation: Operation<'_>, record: &Value, seen: &mut HashSet<String>) -> Option<Fault> {
        let kind = record["attributes"]["type"].as_str();
        let Some(kind) = kind else { return Some(("INVALID_TYPE", None)) };
        match operation {
            Operation::Upsert(of, field) => {
                let value = &record[field];
                if kind != of || record.get("Id").is_some() || record.get("id").is_some() {
                    return Some(("INVALID_FIELD", None));
                }
                if value.is_null() || value == "" {
                    return Some(("MISSING_ARGUMENT", None));
                }
                if !seen.insert(value.to_string().to_lowercase()) {
                    return Some(("DUPLICATE_VALUE", None));
                }
            }
            Operation::Update => {
                let id = id(record).unwrap_or_default();
                if !self.records.contains_key(&(kind.to_owned(), id.to_owned())) {
                    return Some(("ENTITY_IS_DELETED", None));
                }
            }
            Operation::Insert => {}
        }
        let makes = !matches!(operation, Operation::Update);
        let nameless =
            matches!(kind, "Lead" | "Contact") && makes && record["LastName"].as_str().unwrap_or_default().is_empty();
        nameless.then_some(("REQUIRED_FIELD_MISSING", Some("LastName")))
    }

    fn write(&mut self, operation: Operation<'_>, record: &Value) -> (String, bool) {
        let kind = record["attributes"]["type"].as_str().unwrap_or_default().to_owned();
        let known = match operation {
            Operation::Insert => None,
            Operation::Update => id(record).map(str::to_owned),
            Operation::Upsert(_, field) => {
                let index = self.indexes.entry((kind.clone(), field.to_owned())).or_insert_with(|| {
                    let of_kind = self.records.iter().filter(|((known, _), _)| *known == kind);
                    of_kind.filter_map(|((_, id), fields)| Some((fields.get(field)?.to_string(), id.clone()))).collect()
                });
                index.get(&record[field].to_string()).cloned()
            }
        };
        let created = known.is_none();
        let id = known.unwrap_or_else(|| {
            self.last += 1;
            format!("00Q{:015}", self.last)
        });
        for ((_, field), index) in self.indexes.iter_mut().filter(|((of, _), _)| *of == kind) {
            index.extend(record.get(field).map(|value| (value.to_string(), id.clone())));
        }
        let fields = self.records.entry((kind, id.clone())).or_default();
        fields.extend(record.as_object().cloned().unwrap_or_default());
        (id, created)
    }
}

/// What keeps any request from being looked at.
fn guard(asked: &Asked<'_>, wishes: &Wishes<'_>) -> Option<Reply> {
    if asked.bearer().is_none() {
        return Some(refuse(401, "INVALID_SESSION_ID", "Session expired or invalid"));
    }
    wishes.throttle.map(|_| refuse(503, "SERVER_UNAVAILABLE", "The server is too busy"))
}

/// `Id`, in whatever case.
fn id(record: &Value) -> Option<&str> {
    record.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"))?.1.as_str()
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    Reply::of(status, json!([{ "message": message, "errorCode": code }]))
}
