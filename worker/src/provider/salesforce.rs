//! Salesforce: sObject Collections, `PATCH` or `POST /services/data/{version}/composite/sobjects/…`, and jobs of Bulk API 2.0.
//!
//! Sources: Salesforce's pages of sObject Collections, of error codes and of API limits, 2026; vendor contracts §4.1. Results
//! of a collection come in the order of the request, which the vendor promises.

mod answer;
mod bulk;
mod file;
mod results;

use http::{Method, Uri};
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::provider::{SalesforceOperation, SalesforceProvider};

use super::{
    Invalid, Item, Known, Outcome, Sending, Vendor, Verdict,
    http::{RequestError, address, relative},
    large::{Job, Large},
    object::{Object, envelope, json_request},
};
use crate::map::Record;

/// The version of the REST API where the user says nothing.
const VERSION: &str = "v62.0";

/// The bytes around the records of a collection.
const ENVELOPE: usize = 64;

/// One sObject of an org.
#[derive(Debug)]
pub(super) struct Salesforce(SalesforceProvider);

impl Salesforce {
    pub(super) fn new(provider: SalesforceProvider) -> Self {
        Self(provider)
    }

    fn operation(&self) -> SalesforceOperation {
        self.0.operation.unwrap_or_default()
    }

    /// The field that says which record it is; none where each is a new one.
    fn key(&self) -> Option<&str> {
        match (self.operation(), &self.0.external_id_field) {
            (SalesforceOperation::Upsert, Some(field)) => Some(field),
            (SalesforceOperation::Update, _) => Some("Id"),
            _ => None,
        }
    }

    /// An address below `/services/data/{version}`.
    fn uri(&self, path: &str) -> Result<Uri, RequestError> {
        let version = self.0.api_version.as_deref().unwrap_or(VERSION);
        let path = format!("/services/data/{version}{path}");
        match &self.0.instance_url {
            Some(url) => address(&format!("{}{path}", url.as_str()), "provider.salesforce.instanceUrl"),
            // The address comes with the access token.
            None => Ok(relative(&path)),
        }
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
        let key = self.key();
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
                Some(file::apart(value))
            }
        };
        if self.0.bulk.is_some() {
            file::check(&record)?;
        }
        record.set("attributes", &std::collections::BTreeMap::from([("type", &self.0.object)]));
        Ok(Item { body: record.to_bytes(), weight: 1, apart })
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let root = "/composite/sobjects";
        let (method, path) = match (self.operation(), &self.0.external_id_field) {
            (SalesforceOperation::Upsert, Some(field)) => (Method::PATCH, format!("{root}/{}/{field}", self.0.object)),
            (SalesforceOperation::Update, _) => (Method::PATCH, root.to_owned()),
            _ => (Method::POST, root.to_owned()),
        };
        let uri = self.uri(&path)?;
        let body = envelope("\"allOrNone\":false,", "records", records.iter().map(|record| &record.body), "");
        Ok(json_request(method, uri, body))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        answer::trouble(response, now).unwrap_or_else(|| Verdict {
            each: answer::fates(response, records.len()),
            hint: answer::hint(response, now),
            ..Verdict::plain(Outcome::Delivered)
        })
    }

    fn large(&self) -> Option<&dyn Large> {
        self.0.bulk.as_ref().map(|_| self as _)
    }
}

impl Large for Salesforce {
    fn piece(&self, records: &[&Record]) -> usize {
        let (most, bytes) = (SalesforceProvider::CAPACITY.items, SalesforceProvider::CAPACITY.bytes);
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(ENVELOPE);
        let fits = |record: &&&Record| {
            let rest = left.checked_sub(record.body.len() + 1);
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        records.iter().take(most).take_while(fits).count().max(1)
    }

    fn job(&self, records: &[&Record]) -> Option<Box<dyn Job>> {
        let bulk = self.0.bulk.as_ref().filter(|bulk| records.len() >= bulk.threshold())?;
        let key = self.key()?;
        // Where the address is none the requests will say so.
        let root = self.uri("/jobs/ingest").ok()?;
        let file = file::file(records, key)?;
        let opening = match self.operation() {
            SalesforceOperation::Upsert => bulk::opening(&self.0.object, "upsert", Some(key)),
            SalesforceOperation::Update => bulk::opening(&self.0.object, "update", None),
            SalesforceOperation::Insert => return None,
        };
        Some(Box::new(bulk::Bulk::new(root, opening, key, file, bulk.timeout().std())))
    }
}

#[cfg(test)]
mod tests;
