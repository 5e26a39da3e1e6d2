//! What Salesforce answers, and what its codes mean for a record and for a request. Pure.

use std::time::Duration;

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::account::Cause;
use serde::Deserialize;

use crate::provider::{Failure, Fate, Outcome, Verdict, default_verdict, hint::Hint};

/// What another try may help: a row that somebody else holds, an org that has too much to do. The last two are words of jobs.
const PASSING: [&str; 8] = [
    "UNABLE_TO_LOCK_ROW",
    "SERVER_UNAVAILABLE",
    "REQUEST_RUNNING_TOO_LONG",
    "QUERY_TIMEOUT",
    "UNKNOWN_EXCEPTION",
    "CONCURRENT_PER_ORG_LONG_TXN",
    "TIMEOUT",
    "TOOMANYLOCKFAILURE",
];

/// What an org may have of a day is used up: requests, or jobs.
const USED_UP: [&str; 2] = ["REQUEST_LIMIT_EXCEEDED", "EXCEEDEDQUOTA"];

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
pub(super) struct Complaint {
    #[serde(alias = "errorCode")]
    pub(super) status_code: String,
    pub(super) fields: Option<Vec<String>>,
}

impl Complaint {
    /// What it means for the record. `code` is the status of the answer that it stands in.
    pub(super) fn outcome(&self, code: u16) -> Outcome {
        let failure = self.failure(code);
        match &self.status_code {
            passing if is_among(&PASSING, passing) => Outcome::Retry { after: None, limited: false, failure },
            used_up if is_among(&USED_UP, used_up) => Outcome::Hold { cause: Cause::Quota, failure },
            _ => Outcome::Rejected(failure),
        }
    }

    fn failure(&self, code: u16) -> Failure {
        let fields = match self.fields.as_deref().unwrap_or_default() {
            [] => String::new(),
            fields => format!(" ({})", fields.join(", ")),
        };
        let message: String =
            format!("Salesforce answered {code}: {}{fields}", self.status_code).chars().take(256).collect();
        Failure { code: Some(code), message }
    }
}

/// Jobs have their own spelling of codes, and not one alone.
fn is_among(codes: &[&str], code: &str) -> bool {
    codes.iter().any(|known| known.eq_ignore_ascii_case(code))
}

/// What an answer means that is no success; none where it is one.
pub(super) fn trouble(response: &Response, now: Timestamp) -> Option<Verdict> {
    if response.status.is_success() {
        return None;
    }
    let mut verdict = Verdict { hint: hint(response, now), ..default_verdict(response, now) };
    let code = response.status.as_u16();
    let complaints: Vec<Complaint> = serde_json::from_slice(&response.body).unwrap_or_default();
    let Some(complaint) = complaints.first().filter(|complaint| !complaint.status_code.is_empty()) else {
        return Some(verdict);
    };
    let failure = complaint.failure(code);
    let retry = |limited, after| Outcome::Retry { after, limited, failure: failure.clone() };
    let hold = |cause| Outcome::Hold { cause, failure: failure.clone() };
    verdict.outcome = match (code, complaint.status_code.as_str()) {
        (401, _) | (_, "INVALID_SESSION_ID") => hold(Cause::Credentials),
        (_, used_up) if is_among(&USED_UP, used_up) => hold(Cause::Quota),
        (403, "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" | "INSUFFICIENT_ACCESS") => hold(Cause::Credentials),
        (503, _) => retry(true, verdict.hint.pause(true).or(Some(Duration::from_secs(5)))),
        (_, passing) if is_among(&PASSING, passing) => retry(false, None),
        (404, _) | (_, "INVALID_TYPE" | "NOT_FOUND") => hold(Cause::Configuration),
        (400..=499, _) => Outcome::Rejected(failure.clone()),
        _ => verdict.outcome,
    };
    Some(verdict)
}

/// One result for each of so many records of a collection, in their order.
pub(super) fn fates(response: &Response, records: usize) -> Vec<Fate> {
    let code = response.status.as_u16();
    let done: Vec<Done> = serde_json::from_slice(&response.body).unwrap_or_default();
    if done.len() != records {
        let message = format!("Salesforce answered {code} with {} results for {records} records", done.len());
        let failure = Failure { code: Some(code), message };
        return vec![Fate::Known(Outcome::Unaccounted(failure)); records];
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

/// What an answer says of limits. Of the org's day it says `Sforce-Limit-Info: api-usage=18/5000`.
pub(super) fn hint(response: &Response, now: Timestamp) -> Hint {
    let hint = default_verdict(response, now).hint;
    Hint { remaining: hint.remaining.or_else(|| left(response)), ..hint }
}

fn left(response: &Response) -> Option<u64> {
    let text = response.headers.get("sforce-limit-info")?.to_str().ok()?;
    let (used, all) = text.split_once("api-usage=")?.1.split([';', ',']).next()?.split_once('/')?;
    let (used, all): (u64, u64) = (used.trim().parse().ok()?, all.trim().parse().ok()?);
    Some(all.saturating_sub(used))
}
