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
    results: Option<Vec<Done>>,
    errors: Option<Vec<Value>>,
}

/// An object that was made or changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Done {
    id: Option<String>,
    object_write_trace_id: Option<String>,
    properties: Option<HashMap<String, Value>>,
}

/// Something that was not done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Complaint {
    category: Option<String>,
    sub_category: Option<Value>,
    code: Option<String>,
    message: Option<String>,
    context: Value,
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
        self.results.as_ref().map_or(0, Vec::len)
    }

    /// What it says of the request as a whole: its category and the codes of what is wrong, else its message.
    pub(super) fn said(&self) -> Option<String> {
        let errors = self.complaints();
        let codes = errors.iter().filter_map(|error| error.code.as_deref());
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

    /// What it complains about; what can't be read is left out.
    fn complaints(&self) -> Vec<Complaint> {
        self.errors.iter().flatten().filter_map(|error| Complaint::deserialize(error).ok()).collect()
    }

    /// What was made or changed: our trace ids; and in lower case the values of the property that tells which one it is, or
    /// the objects' own ids where none does.
    pub(super) fn done(&self, id_property: Option<&str>) -> (HashSet<String>, HashSet<String>) {
        let (mut traces, mut ids) = (HashSet::new(), HashSet::new());
        for done in self.results.iter().flatten() {
            traces.extend(done.object_write_trace_id.clone());
            let id = match id_property {
                None => done.id.as_deref(),
                Some(name) => done.properties.as_ref().and_then(|known| known.get(name)).and_then(Value::as_str),
            };
            ids.extend(id.map(str::to_lowercase));
        }
        (traces, ids)
    }

    /// What was refused, by trace id and by id in lower case; and a complaint that names neither.
    pub(super) fn refused(&self) -> (HashMap<String, Complaint>, HashMap<String, Complaint>, Option<Complaint>) {
        let (mut by_trace, mut by_id, mut unclear) = (HashMap::new(), HashMap::new(), None);
        for complaint in self.complaints() {
            let traces = complaint.names("objectWriteTraceId");
            let ids: Vec<String> = ["ids", "id"].iter().flat_map(|name| complaint.names(name)).collect();
            if traces.is_empty() && ids.is_empty() {
                unclear = Some(complaint);
                continue;
            }
            by_trace.extend(traces.into_iter().map(|trace| (trace, complaint.clone())));
            by_id.extend(ids.into_iter().map(|id| (id.to_lowercase(), complaint.clone())));
        }
        (by_trace, by_id, unclear)
    }
}

impl Complaint {
    /// The texts that its context has under a name.
    fn names(&self, name: &str) -> Vec<String> {
        let texts = self.context[name].as_array().into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

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
