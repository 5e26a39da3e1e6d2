//! Braze: `POST /users/track`.
//!
//! Sources: Braze's pages of the endpoint, of API limits and of errors, 2026; what its answers look like, as in vendor
//! contracts §1: 201 with `message` and, for what was not taken, `errors[]` by array and index.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{account::Cause, provider::BrazeProvider};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Failure, Fate, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, json_request},
    told::told,
};
use crate::map::Record;

mod check;

use check::check;

/// The arrays of a request, in the order in which Braze works on them.
const ARRAYS: [&str; 3] = ["attributes", "events", "purchases"];

/// Bytes of one record: Braze takes 4 MB in a request.
const RECORD_BYTES: usize = 3_900_000;

/// One instance of Braze.
#[derive(Debug)]
pub(super) struct Braze(BrazeProvider);

/// What a record holds. An array may be null.
#[derive(Debug, Default, Deserialize)]
struct Parts<'a> {
    #[serde(borrow, default)]
    attributes: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    events: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    purchases: Option<Vec<&'a RawValue>>,
}

/// What Braze answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    message: Option<String>,
    errors: Option<Vec<serde_json::Value>>,
}

/// One of its complaints: about the object at this index of this array, as it was sent.
#[derive(Debug, Deserialize)]
struct Complaint<'a> {
    #[serde(rename = "type")]
    what: Option<Cow<'a, str>>,
    input_array: Cow<'a, str>,
    index: usize,
}

impl Braze {
    pub(super) fn new(provider: BrazeProvider) -> Self {
        Self(provider)
    }
}

impl Parts<'_> {
    fn of(record: &[u8]) -> Parts<'_> {
        serde_json::from_slice(record).unwrap_or_default()
    }

    fn arrays(&self) -> [&[&RawValue]; 3] {
        [&self.attributes, &self.events, &self.purchases].map(|array| array.as_deref().unwrap_or_default())
    }
}

impl Vendor for Braze {
    fn item(&self, record: &[u8], _: Known<'_>) -> Result<Item, Invalid> {
        let object = Object::record(record)?;
        object.knows_only("", &ARRAYS)?;
        let mut weight = 0;
        // Of all arrays together some contracts take no more, some as many in each: Braze says so.
        let most = usize::try_from(BrazeProvider::CAPACITY.items).unwrap_or(usize::MAX);
        for array in ARRAYS {
            let objects = object.takes_array("", array)?.unwrap_or_default();
            if objects.len() > most {
                return Err(Invalid(format!("{array} has {} objects; {most} are the most", objects.len())));
            }
            for (index, raw) in objects.into_iter().enumerate() {
                check(array, index, raw)?;
                weight += 1;
            }
        }
        match weight {
            0 => Err(Invalid("the record has no attributes, no events and no purchases".into())),
            _ if record.len() > RECORD_BYTES => {
                Err(Invalid(format!("the record has {} bytes; {RECORD_BYTES} are the most", record.len())))
            }
            _ => Ok(Item { body: Bytes::copy_from_slice(record), weight, apart: None }),
        }
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let uri = address(&format!("{}/users/track", self.0.url.as_str()), "provider.braze.url")?;
        let parts: Vec<Parts<'_>> = records.iter().map(|record| Parts::of(&record.body)).collect();
        let mut body = b"{".to_vec();
        for (place, name) in ARRAYS.into_iter().enumerate() {
            let mut objects = parts.iter().flat_map(|parts| parts.arrays()[place]).peekable();
            if objects.peek().is_none() {
                continue;
            }
            body.extend_from_slice(if body.len() > 1 { b",\"" } else { b"\"" });
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":[");
            for (index, object) in objects.enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(object.get().as_bytes());
            }
            body.push(b']');
        }
        body.push(b'}');
        Ok(json_request(Method::POST, uri, body.into()))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        let code = response.status.as_u16();
        let failed = |what: String| Failure { code: Some(code), message: what };
        let answer: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
        let errors = answer.errors.unwrap_or_default();
        let said = answer.message.as_deref().map(told).filter(|said| !said.is_empty());
        match (code, said) {
            (200..=299, Some(said)) if said == "success" => verdict.each = fates(&errors, records, code),
            (200..=299, Some(said)) => {
                verdict.outcome = Outcome::Rejected(failed(format!("Braze took nothing of the request: {said}")));
            }
            (200..=299, None) => {
                let message = format!("Braze answered {code} without saying that it took anything");
                verdict.outcome = Outcome::Unaccounted(failed(message));
            }
            // It is Braze's 413: smaller requests are made from then on.
            (400, Some(said)) if said.contains("max input length") => {
                let message = format!("Braze answered 400: too many objects in one request: {said}");
                verdict.outcome = Outcome::Rejected(Failure { code: Some(413), message });
            }
            (401, _) => {
                let message = "Braze answered 401: the key is wrong, or provider.braze.url is another instance's";
                verdict.outcome = Outcome::Hold { cause: Cause::Credentials, failure: failed(message.into()) };
            }
            (404, _) => {
                let message = "Braze answered 404: provider.braze.url is not its REST endpoint";
                verdict.outcome = Outcome::Hold { cause: Cause::Configuration, failure: failed(message.into()) };
            }
            (_, Some(said)) => add(&mut verdict.outcome, &said),
            _ => {}
        }
        verdict
    }
}

/// Puts the vendor's words behind ours.
fn add(outcome: &mut Outcome, said: &str) {
    if let Outcome::Retry { failure, .. } | Outcome::Rejected(failure) | Outcome::Hold { failure, .. } = outcome {
        failure.message = format!("{}: {said}", failure.message);
    }
}

/// What became of each record where Braze took the request, but not all that was in it.
fn fates(errors: &[serde_json::Value], records: &[&Record], code: u16) -> Vec<Fate> {
    if errors.is_empty() {
        return Vec::new();
    }
    let parts: Vec<Parts<'_>> = records.iter().map(|record| Parts::of(&record.body)).collect();
    let mut refused: Vec<BTreeMap<String, String>> = vec![BTreeMap::new(); records.len()];
    let mut unclear = None;
    for error in errors {
        let complaint = Complaint::deserialize(error).ok();
        let owner = complaint.as_ref().and_then(|complaint| owner(&parts, complaint));
        match (complaint, owner) {
            (Some(complaint), Some((record, index))) => {
                let what = complaint.what.as_deref().map(told).unwrap_or_default();
                refused[record].insert(format!("{}[{index}]", complaint.input_array), what);
            }
            _ => unclear = Some(error.as_str().map(told).unwrap_or_default()),
        }
    }
    let whole = |record: usize| {
        let parts = &parts[record];
        parts.arrays().iter().map(|array| array.len()).sum::<usize>()
    };
    let listed = |refused: &BTreeMap<String, String>| {
        let told: Vec<String> = refused.iter().map(|(place, what)| format!("{place}: {what}")).collect();
        told.join("; ")
    };
    let fate = |(record, refused): (usize, BTreeMap<String, String>)| {
        let message = match (refused.is_empty(), &unclear) {
            (true, None) => return Fate::Known(Outcome::Delivered),
            // Sending again would count twice what it took, so a person has to look.
            (true, Some(what)) => {
                format!(
                    "Braze refused something of {} records in one request and does not say of which: {what}",
                    records.len()
                )
            }
            (false, _) if refused.len() < whole(record) => {
                format!("Braze refused a part of the record, and took the rest: {}", listed(&refused))
            }
            (false, _) => format!("Braze refused the record: {}", listed(&refused)),
        };
        Fate::Known(Outcome::Rejected(Failure { code: Some(code), message }))
    };
    refused.into_iter().enumerate().map(fate).collect()
}

/// The record that a complaint is about, and the index within it.
fn owner(parts: &[Parts<'_>], complaint: &Complaint<'_>) -> Option<(usize, usize)> {
    let place = ARRAYS.iter().position(|array| *array == complaint.input_array)?;
    let mut index = complaint.index;
    for (record, parts) in parts.iter().enumerate() {
        match parts.arrays()[place].len() {
            length if index < length => return Some((record, index)),
            length => index -= length,
        }
    }
    None
}

#[cfg(test)]
mod tests;
