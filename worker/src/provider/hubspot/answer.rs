//! What HubSpot answers to a batch. The vendor says that every field of an error is optional.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use crate::provider::{Failure, Outcome, told::told};

/// An answer, or what can be read of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Answer {
    category: Option<String>,
    message: Option<String>,
    policy_name: Option<String>,
    results: Vec<Done>,
    errors: Vec<Complaint>,
}

/// An object that was made or changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Done {
    id: Option<String>,
    object_write_trace_id: Option<String>,
    properties: HashMap<String, Value>,
}

/// Something that was not done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Complaint {
    category: Option<String>,
    sub_category: Option<Value>,
    code: Option<String>,
    message: Option<String>,
    context: HashMap<String, Vec<String>>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// Of the day.
    Day,
    /// Of ten seconds.
    TenSeconds,
    /// Of one second, as searches have.
    Second,
}

impl Answer {
    /// Reads an answer; nothing where it can't be read.
    pub(super) fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// How many objects were made or changed.
    pub(super) fn results(&self) -> usize {
        self.results.len()
    }

    /// What it says of the request as a whole: its category and the codes of what is wrong, else its message.
    pub(super) fn said(&self) -> Option<String> {
        let codes = self.errors.iter().filter_map(|error| error.code.as_deref());
        let named: Vec<&str> = self.category.as_deref().into_iter().chain(codes).take(4).collect();
        match (named.is_empty(), &self.message) {
            (false, _) => Some(told(&named.join(", "))),
            (true, message) => message.as_deref().map(told),
        }
    }

    /// Whether the token may not do this at all.
    pub(super) fn lacks_scope(&self) -> bool {
        self.category.as_deref() == Some("MISSING_SCOPES")
    }

    /// Which limit a 429 is about.
    pub(super) fn limited(&self) -> Limited {
        let message = self.message.as_deref().unwrap_or_default();
        match self.policy_name.as_deref() {
            Some("DAILY") => Limited::Day,
            Some("SECONDLY") => Limited::Second,
            Some(_) => Limited::TenSeconds,
            None if message.contains("daily") => Limited::Day,
            None if message.contains("secondly") && !message.contains("ten") => Limited::Second,
            None => Limited::TenSeconds,
        }
    }

    /// What the objects that were made or changed can be known by: our trace ids, and in lower case their own ids and the
    /// values of the property that tells which one it is.
    pub(super) fn done(&self, id_property: Option<&str>) -> HashSet<String> {
        let mut known = HashSet::new();
        for done in &self.results {
            known.extend(done.object_write_trace_id.clone());
            known.extend(done.id.as_ref().map(|id| id.to_lowercase()));
            let value = id_property.and_then(|name| done.properties.get(name)).and_then(Value::as_str);
            known.extend(value.map(str::to_lowercase));
        }
        known
    }

    /// What was refused by trace id, and a complaint that names none.
    pub(super) fn refused(&self) -> (HashMap<String, Complaint>, Option<Complaint>) {
        let mut refused = HashMap::new();
        let mut unclear = None;
        for complaint in &self.errors {
            let traces = complaint.context.get("objectWriteTraceId").filter(|traces| !traces.is_empty());
            match traces {
                Some(traces) => refused.extend(traces.iter().map(|trace| (trace.clone(), complaint.clone()))),
                None => unclear = Some(complaint.clone()),
            }
        }
        (refused, unclear)
    }
}

impl Complaint {
    /// What it means for the record that it is about.
    pub(super) fn outcome(&self, code: u16) -> Outcome {
        let category = self.category.as_deref().unwrap_or_default();
        let sub = self.sub_category.as_ref().and_then(Value::as_str);
        let names: Vec<&str> = [Some(category).filter(|category| !category.is_empty()), sub, self.code.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let what = match (names.is_empty(), &self.message) {
            (false, _) => told(&names.join(", ")),
            (true, Some(message)) => told(message),
            (true, None) => "without a reason".to_owned(),
        };
        let failure = Failure { code: Some(code), message: format!("HubSpot refused the record: {what}") };
        match category {
            "RATE_LIMITS" | "RATE_LIMIT" => Outcome::Retry { after: None, limited: true, failure },
            "INTERNAL_ERROR" | "TRANSIENT_ERROR" | "LOCKED" | "OBJECT_LOCKED" => {
                Outcome::Retry { after: None, limited: false, failure }
            }
            _ => Outcome::Rejected(failure),
        }
    }
}
