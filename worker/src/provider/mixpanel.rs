//! Mixpanel: `POST /import?strict=1`.
//!
//! A 400 can be a partial success: it lists what was refused, and the rest was taken. Sources: Mixpanel's ingestion API
//! (openapi/ingestion.openapi.yaml) and its pages of errors 400 and 413, 2026; vendor contracts §4.3.

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::provider::MixpanelProvider;
use serde::Deserialize;

use super::{
    Failure, Fate, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, join, json_request, text},
    told::told,
};
use crate::map::Record;

/// Bytes and properties of one event.
const EVENT_BYTES: usize = 1_000_000;
const PROPERTIES: usize = 255;

/// What stands for nobody and is refused as a `distinct_id`.
const NOBODY: [&str; 18] = [
    "00000000-0000-0000-0000-000000000000",
    "-1",
    "0",
    "anon",
    "anonymous",
    "false",
    "lmy47d",
    "n/a",
    "na",
    "nil",
    "none",
    "null",
    "true",
    "undefined",
    "unknown",
    "{}",
    "[]",
    "<nil>",
];

/// A project of Mixpanel's.
#[derive(Debug)]
pub(super) struct Mixpanel(MixpanelProvider);

/// What Mixpanel answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<String>,
    num_records_imported: Option<usize>,
    failed_records: Option<Vec<Complaint>>,
}

/// One event that was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    index: Option<usize>,
    #[serde(alias = "$insert_id")]
    insert_id: Option<String>,
    field: Option<String>,
}

impl Mixpanel {
    pub(super) fn new(provider: MixpanelProvider) -> Self {
        Self(provider)
    }
}

impl Vendor for Mixpanel {
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid> {
        let mut event = Object::record(record)?;
        event.knows_only("", &["event", "properties"])?;
        event.needs_text("", "event", 255)?;
        let Some(mut properties) = event.takes_object("", "properties")? else {
            return Err(Invalid("properties is missing".into()));
        };
        match properties.get("distinct_id").map(text) {
            None => return Err(Invalid("properties.distinct_id is missing; give \"\" for an event of nobody".into())),
            Some(None) => return Err(Invalid("properties.distinct_id is not a text".into())),
            Some(Some(id)) if NOBODY.contains(&id.to_ascii_lowercase().as_str()) => {
                return Err(Invalid(
                    "properties.distinct_id is a placeholder; give \"\" for an event of nobody".into(),
                ));
            }
            Some(_) => {}
        }
        match properties.get("time").map(|raw| raw.get().parse::<u64>()) {
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                return Err(Invalid("properties.time is not a whole number of seconds or milliseconds".into()));
            }
            None => {
                let time = known.attributes.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
                let Some(time) = time else {
                    return Err(Invalid("properties.time is missing, and the event has no time".into()));
                };
                properties.set("time", &time.as_millisecond());
            }
        }
        if let Some(id) = properties.takes_text("properties.", "$insert_id", 36)?
            && !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Invalid("properties.$insert_id is not made of letters, digits and hyphens".into()));
        }
        properties.set_missing("$insert_id", &known.key);
        if properties.len() >= PROPERTIES {
            return Err(Invalid(format!(
                "properties has {} members; fewer than {PROPERTIES} are taken",
                properties.len()
            )));
        }
        let properties = serde_json::value::to_raw_value(&properties).expect("raw JSON is writable");
        event.set("properties", &properties);
        let body = event.to_bytes();
        if body.len() > EVENT_BYTES {
            return Err(Invalid(format!("the event has {} bytes; {EVENT_BYTES} are the most", body.len())));
        }
        Ok(Item::one(body))
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let project = self.0.project_id.map(|id| format!("&project_id={id}")).unwrap_or_default();
        let uri = address(&format!("{}/import?strict=1{project}", self.0.base()), "provider.mixpanel.url")?;
        let mut body = b"[".to_vec();
        join(&mut body, records.iter().map(|record| &record.body));
        body.push(b']');
        Ok(json_request(Method::POST, uri, body.into()))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        let code = response.status.as_u16();
        let answer: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
        match code {
            200..=299 => {
                if let Some(taken) = answer.num_records_imported.filter(|taken| *taken != records.len()) {
                    let message = format!("Mixpanel answered {code}, and that it took {taken} of {}", records.len());
                    verdict.outcome = Outcome::Unaccounted(Failure { code: Some(code), message });
                }
            }
            400 if answer.failed_records.as_ref().is_some_and(|failed| !failed.is_empty()) => {
                verdict.each = fates(&answer, records);
                // It did what it could.
                verdict.outcome = Outcome::Delivered;
            }
            400 => {
                if let Some(error) = &answer.error {
                    let message = format!("Mixpanel refused the request: {}", told(error));
                    verdict.outcome = Outcome::Rejected(Failure { code: Some(code), message });
                }
            }
            _ => {}
        }
        verdict
    }
}

/// What became of each event where some are listed as refused.
fn fates(answer: &Answer, records: &[&Record]) -> Vec<Fate> {
    let ids: Vec<Option<String>> = records.iter().map(|record| insert_id(&record.body)).collect();
    let mut refused: Vec<Option<String>> = vec![None; records.len()];
    let mut lost = 0;
    for Complaint { index, insert_id, field } in answer.failed_records.iter().flatten() {
        // The index is right unless the id says otherwise; several events may have one id.
        let has = |at: &usize| insert_id.as_ref().is_none_or(|id| ids.get(*at).and_then(Option::as_ref) == Some(id));
        let mut same = (0..ids.len()).filter(|at| insert_id.is_some() && has(at));
        let by_id = same.next().filter(|_| same.next().is_none());
        match index.filter(has).or(by_id).or(*index).and_then(|index| refused.get_mut(index)) {
            Some(refusal) => *refusal = Some(told(field.as_deref().unwrap_or("without a field"))),
            None => lost += 1,
        }
    }
    let listed = refused.iter().flatten().count();
    let taken = answer.num_records_imported.unwrap_or(records.len() - listed);
    let adds_up = lost == 0 && taken + listed == records.len();
    let fate = |refusal: Option<String>| match refusal {
        Some(what) => {
            Outcome::Rejected(Failure { code: Some(400), message: format!("Mixpanel refused the event: {what}") })
        }
        None if adds_up => Outcome::Delivered,
        None => {
            let message = format!("Mixpanel took {taken} of {} events and lists {listed} as refused", records.len());
            Outcome::Unaccounted(Failure { code: Some(400), message })
        }
    };
    refused.into_iter().map(|refusal| Fate::Known(fate(refusal))).collect()
}

fn insert_id(event: &[u8]) -> Option<String> {
    let event: Object<'_> = serde_json::from_slice(event).ok()?;
    event.takes_object("", "properties").ok()??.text("$insert_id")
}

#[cfg(test)]
mod tests;
