//! Salesforce: sObject Collections, `PATCH` or `POST /services/data/{version}/composite/sobjects/…`.
//!
//! Sources: Salesforce's pages of sObject Collections, of error codes and of API limits, 2026; vendor contracts §4.1. Results
//! come in the order of the request, which the vendor promises.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{
    account::Cause,
    provider::{SalesforceOperation, SalesforceProvider},
};
use serde::Deserialize;

use super::{
    Failure, Fate, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address, relative},
    object::{Object, envelope, json_request},
};
use crate::map::Record;

/// The version of the REST API where the user says nothing.
const VERSION: &str = "v62.0";

/// What another try may help: a row that somebody else holds, an org that has too much to do.
const PASSING: [&str; 6] = [
    "UNABLE_TO_LOCK_ROW",
    "SERVER_UNAVAILABLE",
    "REQUEST_RUNNING_TOO_LONG",
    "QUERY_TIMEOUT",
    "UNKNOWN_EXCEPTION",
    "CONCURRENT_PER_ORG_LONG_TXN",
];

/// One sObject of an org.
#[derive(Debug)]
pub(super) struct Salesforce(SalesforceProvider);

/// What became of one record.
#[derive(Debug, Deserialize)]
struct Done {
    success: bool,
    #[serde(default)]
    errors: Option<Vec<Complaint>>,
}

/// What is wrong with a record, or with the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Complaint {
    #[serde(alias = "errorCode")]
    status_code: String,
    fields: Option<Vec<String>>,
}

impl Salesforce {
    pub(super) fn new(provider: SalesforceProvider) -> Self {
        Self(provider)
    }

    fn operation(&self) -> SalesforceOperation {
        self.0.operation.unwrap_or_default()
    }
}

impl Vendor for Salesforce {
    fn item(&self, record: &[u8], _: Known<'_>) -> Result<Item, Invalid> {
        let mut record = Object::record(record)?;
        if record.len() == 0 {
            return Err(Invalid("the record has no fields".into()));
        }
        if let Some(given) = record.takes_object("", "attributes")?.and_then(|given| given.text("type"))
            && given != self.0.object
        {
            return Err(Invalid(format!("attributes.type is not {}, which this Destination is for", self.0.object)));
        }
        let key = match (self.operation(), &self.0.external_id_field) {
            (SalesforceOperation::Upsert, Some(field)) => Some(field.as_str()),
            (SalesforceOperation::Update, _) => Some("Id"),
            _ => None,
        };
        let has_id = record.members().any(|(name, _)| name.eq_ignore_ascii_case("id"));
        if has_id && key.is_none_or(|key| !key.eq_ignore_ascii_case("id")) {
            return Err(Invalid("Id can't be given: Salesforce chooses it, or finds it by the external id".into()));
        }
        let apart = match key {
            None => None,
            Some(key) => {
                // Names of fields have no case.
                let named = record.members().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
                let Some(value) = named.filter(|value| !matches!(value.get(), "\"\"" | "null")) else {
                    return Err(Invalid(format!("{key} is missing: it says which record it is")));
                };
                let mut hasher = DefaultHasher::new();
                value.get().to_lowercase().hash(&mut hasher);
                Some(hasher.finish())
            }
        };
        record.set("attributes", &std::collections::BTreeMap::from([("type", &self.0.object)]));
        Ok(Item { body: record.to_bytes(), weight: 1, apart })
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let version = self.0.api_version.as_deref().unwrap_or(VERSION);
        let root = format!("/services/data/{version}/composite/sobjects");
        let (method, path) = match (self.operation(), &self.0.external_id_field) {
            (SalesforceOperation::Upsert, Some(field)) => (Method::PATCH, format!("{root}/{}/{field}", self.0.object)),
            (SalesforceOperation::Update, _) => (Method::PATCH, root),
            _ => (Method::POST, root),
        };
        let uri = match &self.0.instance_url {
            Some(url) => address(&format!("{}{path}", url.as_str()), "provider.salesforce.instanceUrl")?,
            // The address comes with the access token.
            None => relative(&path),
        };
        let body = envelope("\"allOrNone\":false,", "records", records.iter().map(|record| &record.body), "");
        Ok(json_request(method, uri, body))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        verdict.hint.remaining = verdict.hint.remaining.or_else(|| left(response));
        let code = response.status.as_u16();
        if response.status.is_success() {
            verdict.each = fates(response, records, code);
            return verdict;
        }
        let complaints: Vec<Complaint> = serde_json::from_slice(&response.body).unwrap_or_default();
        let Some(complaint) = complaints.first().filter(|complaint| !complaint.status_code.is_empty()) else {
            return verdict;
        };
        let failure = complaint.failure(code);
        let retry = |limited, after| Outcome::Retry { after, limited, failure: failure.clone() };
        let hold = |cause| Outcome::Hold { cause, failure: failure.clone() };
        verdict.outcome = match (code, complaint.status_code.as_str()) {
            (401, _) | (_, "INVALID_SESSION_ID") => hold(Cause::Credentials),
            (_, "REQUEST_LIMIT_EXCEEDED") => hold(Cause::Quota),
            (403, "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" | "INSUFFICIENT_ACCESS") => {
                hold(Cause::Credentials)
            }
            (503, _) => retry(true, verdict.hint.pause(true).or(Some(Duration::from_secs(5)))),
            (_, code) if PASSING.contains(&code) => retry(false, None),
            (404, _) | (_, "INVALID_TYPE" | "NOT_FOUND") => hold(Cause::Configuration),
            (400..=499, _) => Outcome::Rejected(failure.clone()),
            _ => verdict.outcome,
        };
        verdict
    }
}

impl Complaint {
    fn failure(&self, code: u16) -> Failure {
        let fields = match self.fields.as_deref().unwrap_or_default() {
            [] => String::new(),
            fields => format!(" ({})", fields.join(", ")),
        };
        let message: String =
            format!("Salesforce answered {code}: {}{fields}", self.status_code).chars().take(256).collect();
        Failure { code: Some(code), message }
    }

    fn outcome(&self, code: u16) -> Outcome {
        let failure = self.failure(code);
        match self.status_code.as_str() {
            passing if PASSING.contains(&passing) => Outcome::Retry { after: None, limited: false, failure },
            "REQUEST_LIMIT_EXCEEDED" => Outcome::Hold { cause: Cause::Quota, failure },
            _ => Outcome::Rejected(failure),
        }
    }
}

/// One result for each record, in their order.
fn fates(response: &Response, records: &[&Record], code: u16) -> Vec<Fate> {
    let done: Vec<Done> = serde_json::from_slice(&response.body).unwrap_or_default();
    if done.len() != records.len() {
        let message = format!("Salesforce answered {code} with {} results for {} records", done.len(), records.len());
        let failure = Failure { code: Some(code), message };
        return vec![Fate::Known(Outcome::Unaccounted(failure)); records.len()];
    }
    let outcome = |done: Done| match (done.success, done.errors.iter().flatten().next()) {
        (true, _) => Outcome::Delivered,
        (false, Some(complaint)) => complaint.outcome(code),
        (false, None) => {
            let message = format!("Salesforce answered {code}, and that it did not take the record");
            Outcome::Unaccounted(Failure { code: Some(code), message })
        }
    };
    done.into_iter().map(|done| Fate::Known(outcome(done))).collect()
}

/// What is left of the org's day: `Sforce-Limit-Info: api-usage=18/5000`.
fn left(response: &Response) -> Option<u64> {
    let text = response.headers.get("sforce-limit-info")?.to_str().ok()?;
    let (used, all) = text.split_once("api-usage=")?.1.split([';', ',']).next()?.split_once('/')?;
    let (used, all): (u64, u64) = (used.trim().parse().ok()?, all.trim().parse().ok()?);
    Some(all.saturating_sub(used))
}

#[cfg(test)]
mod tests;
