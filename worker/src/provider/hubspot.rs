//! HubSpot: `POST /crm/v3/objects/{object}/batch/{operation}`.
//!
//! Every input carries our key as `objectWriteTraceId`, and is looked for in the answer by it: HubSpot promises no order, and
//! answers 200 now and then without having done anything. Sources: HubSpot's pages of batch endpoints, of error handling and
//! of usage limits, 2026; vendor contracts §3.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{
    account::Cause,
    provider::{HubspotOperation, HubspotProvider},
};
use serde_json::value::RawValue;

use super::{
    Failure, Fate, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, envelope, json_request, text},
};
use crate::map::Record;

mod answer;

use answer::{Answer, Limited};

/// Characters of a property's value.
const VALUE: usize = 65_536;

/// A type of object in a HubSpot account.
#[derive(Debug)]
pub(super) struct Hubspot(HubspotProvider);

impl Hubspot {
    pub(super) fn new(provider: HubspotProvider) -> Self {
        Self(provider)
    }

    fn operation(&self) -> HubspotOperation {
        self.0.operation.unwrap_or_default()
    }

    fn path(&self) -> String {
        let (base, object) = (self.0.base(), &self.0.object);
        let operation = match self.operation() {
            HubspotOperation::Upsert => "upsert",
            HubspotOperation::Create => "create",
            HubspotOperation::Update => "update",
        };
        match self.0.api_version.as_deref() {
            None | Some("v3") => format!("{base}/crm/v3/objects/{object}/batch/{operation}"),
            Some(dated) => format!("{base}/crm/objects/{dated}/{object}/batch/{operation}"),
        }
    }

    /// The object that a record is about: what it says itself, or the value of the property that tells.
    fn id(&self, record: &Object<'_>, properties: &Object<'_>) -> Result<Option<String>, Invalid> {
        let id = match record.get("id") {
            Some(raw) => scalar(raw),
            None => self.0.id_property.as_ref().and_then(|name| properties.get(name)).and_then(scalar),
        };
        let id = id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        match (self.operation(), id, &self.0.id_property) {
            (HubspotOperation::Create, None, _) => Ok(None),
            (HubspotOperation::Create, Some(_), _) => {
                Err(Invalid("id is of an object that is there, but the operation is Create".into()))
            }
            (_, Some(id), _) => Ok(Some(id)),
            (_, None, Some(name)) => Err(Invalid(format!("id is missing, and so is properties.{name}"))),
            (_, None, None) => Err(Invalid("id is missing: the object to update".into())),
        }
    }
}

impl Vendor for Hubspot {
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid> {
        let mut record = Object::record(record)?;
        record.knows_only("", &["properties", "id", "idProperty", "associations", "objectWriteTraceId"])?;
        let Some(given) = record.takes_object("", "properties")? else {
            return Err(Invalid("properties is missing".into()));
        };
        let id = self.id(&record, &given)?;
        let mut values = serde_json::Map::new();
        for (name, raw) in given.members() {
            let shown: String = name.chars().take(64).collect();
            // HubSpot takes texts only; a null clears the property.
            let value = if raw.get() == "null" { Some(String::new()) } else { scalar(raw) };
            let Some(value) = value else {
                return Err(Invalid(format!("properties.{shown} is not a text, a number or a truth value")));
            };
            let length = value.chars().count();
            if length > VALUE {
                return Err(Invalid(format!("properties.{shown} has {length} characters; {VALUE} are the most")));
            }
            values.insert(name.to_owned(), value.into());
        }
        if values.is_empty() {
            return Err(Invalid("properties is empty".into()));
        }
        let associations = record.takes_array("", "associations")?.is_some();
        if associations && self.operation() != HubspotOperation::Create {
            return Err(Invalid("associations can only be given where the operation is Create".into()));
        }
        record.takes_text("", "objectWriteTraceId", 128)?;
        record.set("properties", &values);
        match (&id, &self.0.id_property) {
            (Some(id), Some(name)) => {
                record.set("id", id);
                record.set("idProperty", name);
            }
            (Some(id), None) => record.set("id", id),
            (None, _) => record.set_missing("associations", &[(); 0]),
        }
        record.set_missing("objectWriteTraceId", &known.key);
        // Two inputs for one object make HubSpot refuse the whole batch.
        let apart = id.map(|id| {
            let mut hasher = DefaultHasher::new();
            id.to_lowercase().hash(&mut hasher);
            hasher.finish()
        });
        Ok(Item { body: record.to_bytes(), weight: 1, apart })
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let uri = address(&self.path(), "provider.hubspot.url")?;
        let body = envelope("", "inputs", records.iter().map(|record| &record.body), "");
        Ok(json_request(Method::POST, uri, body))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        let code = response.status.as_u16();
        let answer = Answer::of(&response.body);
        let said = answer.said();
        let failed = |what: &str| {
            let said = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
            Failure { code: Some(code), message: format!("HubSpot answered {code}: {what}{said}") }
        };
        let asked = verdict.hint.retry_after;
        let wait = |seconds: u64, what: &str| Outcome::Retry {
            after: Some(asked.unwrap_or(Duration::from_secs(seconds))),
            limited: false,
            failure: failed(what),
        };
        match code {
            200..=299 => verdict.each = self.fates(&answer, records, code),
            403 if answer.lacks_scope() => {
                let failure = failed("the token lacks a scope for this object");
                verdict.outcome = Outcome::Hold { cause: Cause::Credentials, failure };
            }
            404 => {
                let failure = failed("there is no such object or version; see provider.hubspot");
                verdict.outcome = Outcome::Hold { cause: Cause::Configuration, failure };
            }
            423 => verdict.outcome = wait(2, "the object is locked"),
            429 => match answer.limited() {
                Limited::Day => {
                    let failure = failed("the account's daily limit is used up");
                    verdict.outcome = Outcome::Hold { cause: Cause::Quota, failure };
                }
                burst => {
                    let seconds = if burst == Limited::Second { 1 } else { 10 };
                    let after = asked.or(verdict.hint.pause(true)).unwrap_or(Duration::from_secs(seconds));
                    verdict.hint.retry_after = Some(after);
                    let failure = failed("it is asked too often");
                    verdict.outcome = Outcome::Retry { after: Some(after), limited: true, failure };
                }
            },
            // It says for how long, up to a day.
            477 => {
                let failure = failed("the account is being moved to another data centre");
                verdict.outcome = Outcome::Hold { cause: Cause::Errors, failure };
            }
            502 | 504 => verdict.outcome = wait(5, "it has too much to do"),
            400..=499 if said.is_some() && matches!(verdict.outcome, Outcome::Rejected(_)) => {
                verdict.outcome = Outcome::Rejected(failed("the request is refused"));
            }
            _ => {}
        }
        verdict
    }
}

impl Hubspot {
    /// Each record is looked for among what was done and what was refused.
    fn fates(&self, answer: &Answer, records: &[&Record], code: u16) -> Vec<Fate> {
        let (traces, ids) = answer.done(self.0.id_property.as_deref());
        let (refused, refused_ids, unclear) = answer.refused();
        // As many results as inputs, and no complaint: all of them, even if a result says nothing to know it by.
        let all =
            refused.is_empty() && refused_ids.is_empty() && unclear.is_none() && answer.results() == records.len();
        let fate = |record: &&Record| {
            let input = serde_json::from_slice::<Object<'_>>(&record.body).unwrap_or_default();
            let trace = input.text("objectWriteTraceId").unwrap_or_default();
            let id = input.text("id").map(|id| id.to_lowercase());
            let failure = |what: String| Failure { code: Some(code), message: what };
            if let Some(complaint) = refused.get(&trace) {
                return complaint.outcome(code);
            }
            if all || traces.contains(&trace) || id.as_ref().is_some_and(|id| ids.contains(id)) {
                return Outcome::Delivered;
            }
            if let Some(complaint) = id.as_ref().and_then(|id| refused_ids.get(id)) {
                return complaint.outcome(code);
            }
            match &unclear {
                Some(complaint) => complaint.outcome(code),
                None => {
                    Outcome::Unaccounted(failure(format!("HubSpot answered {code}, but neither did nor refused it")))
                }
            }
        };
        records.iter().map(|record| Fate::Known(fate(record))).collect()
    }
}

/// A text, a number or a truth value, as a text.
fn scalar(raw: &RawValue) -> Option<String> {
    let is_plain = super::object::is_number(raw) || matches!(raw.get(), "true" | "false");
    if is_plain { Some(raw.get().to_owned()) } else { text(raw) }
}

#[cfg(test)]
mod tests;
