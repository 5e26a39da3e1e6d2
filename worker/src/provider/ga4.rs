//! Google Analytics 4: `POST /mp/collect` of the Measurement Protocol.
//!
//! Google answers 204 to whatever it gets, so everything that it documents is checked here; `/debug/mp/collect` can be asked
//! before. Sources: Google's pages of the Measurement Protocol, of its limits and of validating events, 2026; vendor contracts
//! §4.2.

use http::Method;
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::provider::Ga4Provider;
use serde::Deserialize;

use super::{
    Failure, Invalid, Item, Known, Outcome, Sending, Vendor, Verdict, default_verdict,
    http::{RequestError, address},
    object::{Object, json_request, text},
    told::told,
};
use crate::map::Record;

/// Events of one request, and parameters of one event.
const EVENTS: usize = 25;
/// Characters of the names of events and parameters, and of a parameter's text.
const NAME: usize = 40;
const VALUE: usize = 100;
/// User properties of one request, and characters of a name and a value.
const USER_PROPERTIES: (usize, usize, usize) = (25, 24, 36);
/// Bytes of a request.
const BYTES: usize = 130_000;

/// Names of events that Google keeps for itself, on the web or in apps. Source: its reserved names of the Measurement Protocol
/// and of apps; what it only measures by itself on the web, such as `page_view`, may be sent.
const RESERVED_EVENTS: [&str; 33] = [
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_query",
    "ad_reward",
    "adunit_exposure",
    "app_background",
    "app_clear_data",
    "app_exception",
    "app_install",
    "app_remove",
    "app_store_refund",
    "app_store_subscription_cancel",
    "app_store_subscription_convert",
    "app_store_subscription_renew",
    "app_update",
    "app_upgrade",
    "dynamic_link_app_open",
    "dynamic_link_app_update",
    "dynamic_link_first_open",
    "error",
    "first_open",
    "first_visit",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "notification_send",
    "os_update",
    "session_start",
    "session_start_with_rollout",
    "user_engagement",
    "view_complete",
];

/// Names of user properties that it keeps for itself. Source: the same.
const RESERVED_PROPERTIES: [&str; 5] =
    ["first_open_after_install", "first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id"];

/// A stream of a property of Google Analytics.
#[derive(Debug)]
pub(super) struct Ga4(Ga4Provider);

/// What the validation endpoint answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Validation {
    validation_messages: Vec<Complaint>,
}

/// What it has against a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Complaint {
    field_path: String,
    validation_code: String,
}

impl Ga4 {
    pub(super) fn new(provider: Ga4Provider) -> Self {
        Self(provider)
    }

    fn post(&self, path: &str, record: &Record) -> Result<Request, RequestError> {
        let (name, id) = match (&self.0.measurement_id, &self.0.firebase_app_id) {
            (Some(id), _) => ("measurement_id", id.as_str()),
            (None, id) => ("firebase_app_id", id.as_deref().unwrap_or_default()),
        };
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let uri = address(&format!("{}{path}?{name}={id}", self.0.base()), "provider.ga4.url")?;
        Ok(json_request(Method::POST, uri, record.body.clone()))
    }
}

impl Vendor for Ga4 {
    fn item(&self, record: &[u8], known: Known<'_>) -> Result<Item, Invalid> {
        let mut hit = Object::record(record)?;
        let id = if self.0.measurement_id.is_some() { "client_id" } else { "app_instance_id" };
        hit.needs_text("", id, 256)?;
        hit.takes_text("", "user_id", 256)?;
        let Some(events) = hit.takes_array("", "events")? else { return Err(Invalid("events is missing".into())) };
        if events.is_empty() || events.len() > EVENTS {
            return Err(Invalid(format!("events has {} elements; 1 to {EVENTS} are taken", events.len())));
        }
        for (index, raw) in events.into_iter().enumerate() {
            event(index, raw, self.0.measurement_id.is_some())?;
        }
        user_properties(&hit)?;
        hit.takes_object("", "consent")?;
        match hit.get("timestamp_micros") {
            None => {
                let time = known.attributes.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
                // Without it an event that was tried again would have happened when it arrived.
                if let Some(time) = time {
                    hit.set("timestamp_micros", &time.as_microsecond());
                }
            }
            Some(raw) => {
                let micros = text(raw).unwrap_or_else(|| raw.get().to_owned());
                let micros = micros.parse::<i64>().ok().filter(|micros| *micros >= 1_000_000_000_000_000);
                if micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()).is_none() {
                    return Err(Invalid("timestamp_micros is not a count of microseconds since 1970".into()));
                }
            }
        }
        let body = hit.to_bytes();
        if body.len() > BYTES {
            return Err(Invalid(format!("the record has {} bytes; {BYTES} are the most", body.len())));
        }
        Ok(Item::one(body))
    }

    fn request(&self, records: &[&Record], _: Sending<'_>) -> Result<Request, RequestError> {
        self.post("/mp/collect", records[0])
    }

    fn verdict(&self, response: &Response, _: &[&Record], now: Timestamp) -> Verdict {
        default_verdict(response, now)
    }

    fn rehearsal(&self, records: &[&Record]) -> Result<Option<Request>, RequestError> {
        if !self.0.validate.unwrap_or_default() {
            return Ok(None);
        }
        self.post("/debug/mp/collect", records[0]).map(Some)
    }

    fn rehearsed(&self, response: &Response, now: Timestamp) -> Option<Verdict> {
        let code = response.status.as_u16();
        if !response.status.is_success() {
            return Some(default_verdict(response, now));
        }
        let Ok(validation) = serde_json::from_slice::<Validation>(&response.body) else {
            let message = format!("Google's validation endpoint answered {code} with something else than messages");
            return Some(Verdict::plain(Outcome::Unaccounted(Failure { code: Some(code), message })));
        };
        let Complaint { field_path, validation_code } = validation.validation_messages.into_iter().next()?;
        let message = format!("Google's validation: {}", told(&format!("{field_path} {validation_code}")));
        Some(Verdict::plain(Outcome::Rejected(Failure { code: Some(code), message })))
    }
}

fn event(index: usize, raw: &serde_json::value::RawValue, on_web: bool) -> Result<(), Invalid> {
    let whole = format!("events[{index}]");
    let event = Object::at(&whole, raw)?;
    let place = format!("{whole}.");
    let name = event.needs_text(&place, "name", NAME)?;
    well_named(&format!("{place}name"), &name)?;
    // A purchase in an app is Google's own on the web alone.
    if RESERVED_EVENTS.contains(&name.as_str()) || (on_web && name == "in_app_purchase") {
        return Err(Invalid(format!("{place}name is {name}, which Google keeps for itself")));
    }
    let Some(parameters) = event.takes_object(&place, "params")? else { return Ok(()) };
    if parameters.len() > EVENTS {
        return Err(Invalid(format!("{place}params has {} members; {EVENTS} are the most", parameters.len())));
    }
    for (name, value) in parameters.members() {
        let shown: String = name.chars().take(64).collect();
        let place = format!("{place}params.{shown}");
        if name.chars().count() > NAME {
            return Err(Invalid(format!("{place} has a name of more than {NAME} characters")));
        }
        well_named(&place, name)?;
        if name == "items" {
            continue;
        }
        let most = match name {
            "page_location" => 1_000,
            "page_referrer" => 420,
            "page_title" => 300,
            _ => VALUE,
        };
        match text(value) {
            Some(text) if text.chars().count() > most => {
                return Err(Invalid(format!("{place} has {} characters; {most} are the most", text.chars().count())));
            }
            None if value.get().starts_with(['{', '[']) => {
                return Err(Invalid(format!("{place} is neither a text nor a number")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Letters, digits and underscores, a letter first, and none of Google's own beginnings.
fn well_named(place: &str, name: &str) -> Result<(), Invalid> {
    let letters = name.starts_with(|first: char| first.is_alphabetic());
    let plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if !letters || !plain {
        return Err(Invalid(format!("{place} is not made of letters, digits and underscores with a letter first")));
    }
    if ["firebase_", "ga_", "google_", "gtag."].iter().any(|kept| name.starts_with(kept)) {
        return Err(Invalid(format!("{place} begins with firebase_, ga_ or google_, which Google keeps for itself")));
    }
    Ok(())
}

fn user_properties(hit: &Object<'_>) -> Result<(), Invalid> {
    let Some(properties) = hit.takes_object("", "user_properties")? else { return Ok(()) };
    let (most, name_length, value_length) = USER_PROPERTIES;
    if properties.len() > most {
        return Err(Invalid(format!("user_properties has {} members; {most} are the most", properties.len())));
    }
    for (name, raw) in properties.members() {
        let shown: String = name.chars().take(64).collect();
        let place = format!("user_properties.{shown}");
        if name.chars().count() > name_length {
            return Err(Invalid(format!("{place} has a name of more than {name_length} characters")));
        }
        well_named(&place, name)?;
        if RESERVED_PROPERTIES.contains(&name) {
            return Err(Invalid(format!("{place} has a name that Google keeps for itself")));
        }
        let property = Object::at(&place, raw)?;
        if property.text("value").is_some_and(|value| value.chars().count() > value_length) {
            return Err(Invalid(format!("{place}.value has more than {value_length} characters")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
