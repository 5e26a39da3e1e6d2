//! Amplitude: `POST /2/httpapi` or `/batch`.
//!
//! A 400 refuses the whole request for what it lists by index: the rest is sent again at once. A 429 lists users and devices
//! that send too much. Sources: Amplitude's pages of HTTP V2 and of batching and retries, 2026; vendor contracts §4.4.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{
    account::Cause,
    provider::{AmplitudeApi, AmplitudeProvider},
};
use serde::Deserialize;

use super::{
    Failure, Fate, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, envelope, is_number, json_request},
    told::told,
};
use crate::map::Record;

/// How long events of a user that sends too much wait. Source: the vendor's page of batching and retries.
const THROTTLED: Duration = Duration::from_secs(30);

/// How long events of a user wait whose day is used up.
const OVER_QUOTA: Duration = Duration::from_secs(3_600);

/// A project of Amplitude's.
#[derive(Debug)]
pub(super) struct Amplitude(AmplitudeProvider);

/// Events by what is wrong with them.
type Lists = Option<BTreeMap<String, Vec<usize>>>;

/// Users or devices, with how much they sent.
type People = Option<BTreeMap<String, serde_json::Value>>;

/// What Amplitude answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<String>,
    missing_field: Option<String>,
    events_ingested: Option<usize>,
    events_with_invalid_fields: Lists,
    events_with_missing_fields: Lists,
    events_with_invalid_id_lengths: Lists,
    silenced_events: Option<Vec<usize>>,
    throttled_events: Option<Vec<usize>>,
    throttled_users: People,
    throttled_devices: People,
    exceeded_daily_quota_users: People,
    exceeded_daily_quota_devices: People,
}

impl Amplitude {
    pub(super) fn new(provider: AmplitudeProvider) -> Self {
        Self(provider)
    }
}

impl Vendor for Amplitude {
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid> {
        let mut event = Object::record(record)?;
        event.needs_text("", "event_type", 1_024)?;
        let shortest = self.0.shortest_id();
        let mut known_by = 0;
        for name in ["user_id", "device_id"] {
            let Some(id) = event.takes_text("", name, 1_024)? else { continue };
            known_by += 1;
            let length = id.chars().count();
            if length < shortest {
                return Err(Invalid(format!(
                    "{name} has {length} characters; {shortest} are the fewest, see provider.amplitude.minIdLength"
                )));
            }
        }
        if known_by == 0 {
            return Err(Invalid("user_id and device_id are missing".into()));
        }
        event.takes_object("", "event_properties")?;
        event.takes_object("", "user_properties")?;
        match event.get("time").map(is_number) {
            Some(true) => {}
            Some(false) => return Err(Invalid("time is not a number of milliseconds".into())),
            None => {
                let time = known.attributes.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
                // Without it an event that was tried again would have happened when it arrived.
                if let Some(time) = time {
                    event.set("time", &time.as_millisecond());
                }
            }
        }
        event.takes_text("", "insert_id", 1_024)?;
        event.set_missing("insert_id", &known.key);
        Ok(Item::one(event.to_bytes()))
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        let path = match self.0.api.unwrap_or_default() {
            AmplitudeApi::HttpV2 => "/2/httpapi",
            AmplitudeApi::Batch => "/batch",
        };
        let uri = address(&format!("{}{path}", self.0.base()), "provider.amplitude.url")?;
        let options = self.0.min_id_length.map(|length| format!("\"options\":{{\"min_id_length\":{length}}},"));
        let bodies = records.iter().map(|record| &record.body);
        let body = envelope(options.as_deref().unwrap_or_default(), "events", bodies, "");
        Ok(json_request(Method::POST, uri, body))
    }

    fn verdict(&self, response: &Response, records: &[&Record], now: Timestamp) -> Verdict {
        let mut verdict = default_verdict(response, now);
        let code = response.status.as_u16();
        let answer: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
        let failure = |message: String| Failure { code: Some(code), message };
        let error = answer.error.as_deref().unwrap_or_default();
        match code {
            200..=299 => {
                if let Some(taken) = answer.events_ingested.filter(|taken| *taken != records.len()) {
                    let message = format!("Amplitude answered {code}, and that it took {taken} of {}", records.len());
                    verdict.outcome = Outcome::Unaccounted(failure(message));
                }
            }
            400 if error.to_ascii_lowercase().contains("invalid api key") => {
                let failure = failure("Amplitude answered 400: the API key is not valid".into());
                verdict.outcome = Outcome::Hold { cause: Cause::Credentials, failure };
            }
            400 => {
                let mut refused = answer.refused();
                refused.retain(|index, _| *index < records.len());
                if refused.is_empty() {
                    let what = answer.missing_field.as_ref().map(|field| format!("{field} is missing"));
                    let what = what.unwrap_or_else(|| error.to_owned());
                    verdict.outcome =
                        Outcome::Rejected(failure(format!("Amplitude refused the request: {}", told(&what))));
                } else {
                    verdict.each = (0..records.len()).map(|index| fate(refused.get(&index), code)).collect();
                    verdict.outcome = Outcome::Delivered;
                }
            }
            429 => {
                let failure = failure("Amplitude answered 429: it is asked too often".into());
                let after = verdict.hint.pause(true).unwrap_or(THROTTLED);
                verdict.each = answer.throttled(records, &failure);
                // Where it lists users, the others may go on.
                verdict.hint.retry_after = verdict.each.is_empty().then_some(after);
                verdict.outcome = Outcome::Retry { after: Some(after), limited: true, failure };
            }
            _ => {}
        }
        verdict
    }
}

/// What is refused, or to be sent again without the others.
fn fate(refused: Option<&String>, code: u16) -> Fate {
    match refused {
        None => Fate::Again,
        Some(what) => {
            let message = format!("Amplitude refused the event: {what}");
            Fate::Known(Outcome::Rejected(Failure { code: Some(code), message }))
        }
    }
}

impl Answer {
    /// What is listed as refused, by index.
    fn refused(&self) -> BTreeMap<usize, String> {
        let mut refused = BTreeMap::new();
        for (fields, what) in [
            (&self.events_with_invalid_fields, "is not valid"),
            (&self.events_with_missing_fields, "is missing"),
            (&self.events_with_invalid_id_lengths, "is too short"),
        ] {
            for (field, indexes) in fields.iter().flatten() {
                refused.extend(indexes.iter().map(|index| (*index, told(&format!("{field} {what}")))));
            }
        }
        refused
            .extend(self.silenced_events.iter().flatten().map(|index| (*index, "its device is silenced".to_owned())));
        refused
    }

    /// What becomes of each event after a 429; nothing where it lists none.
    fn throttled(&self, records: &[&Record], failure: &Failure) -> Vec<Fate> {
        let listed: BTreeSet<usize> = self.throttled_events.iter().flatten().copied().collect();
        let retry = |after| Fate::Known(Outcome::Retry { after: Some(after), limited: true, failure: failure.clone() });
        let fates: Vec<Fate> = records
            .iter()
            .enumerate()
            .map(|(index, record)| {
                let event: Object<'_> = serde_json::from_slice(&record.body).unwrap_or_default();
                let (user, device) = (event.text("user_id"), event.text("device_id"));
                let among = |users: &People, devices: &People| {
                    let has = |all: &People, id: &str| all.as_ref().is_some_and(|all| all.contains_key(id));
                    user.as_ref().is_some_and(|id| has(users, id)) || device.as_ref().is_some_and(|id| has(devices, id))
                };
                if among(&self.exceeded_daily_quota_users, &self.exceeded_daily_quota_devices) {
                    retry(OVER_QUOTA)
                } else if listed.contains(&index) || among(&self.throttled_users, &self.throttled_devices) {
                    retry(THROTTLED)
                } else {
                    Fate::Again
                }
            })
            .collect();
        if fates.iter().all(|fate| *fate == Fate::Again) { Vec::new() } else { fates }
    }
}

#[cfg(test)]
mod tests;
