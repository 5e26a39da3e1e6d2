//! Google Analytics' Measurement Protocol: 204 to whatever comes, and what is wrong only from the validation endpoint. Source:
//! Google's pages of the protocol and of validating events, 2026.

use serde_json::{Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

/// A stream of a property.
#[derive(Debug)]
pub(super) struct Ga4;

impl Fake for Ga4 {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        let debug = match (asked.method, asked.path) {
            ("POST", "/mp/collect") => false,
            ("POST", "/debug/mp/collect") => true,
            _ => return not_found(),
        };
        if wishes.throttle.is_some() {
            return Reply::of(429, Value::Null);
        }
        let hit = asked.json().unwrap_or_default();
        let fault = if (wishes.refuse)(&hit) { Some(("events", "VALUE_INVALID")) } else { fault(asked, &hit) };
        if debug {
            let messages: Vec<Value> = fault
                .iter()
                .map(|(path, code)| json!({ "fieldPath": path, "description": "the value is not valid", "validationCode": code }))
                .collect();
            return Reply::of(200, json!({ "validationMessages": messages }));
        }
        let mut reply = Reply::of(204, Value::Null);
        match fault {
            None => reply.taken.push(hit),
            Some(_) => reply.refused.push(hit),
        }
        reply
    }
}

/// What Google has against a request.
fn fault(asked: &Asked<'_>, hit: &Value) -> Option<(&'static str, &'static str)> {
    let secret = asked.parameter("api_secret").is_some_and(|secret| !secret.is_empty());
    let web = asked.parameter("measurement_id").is_some();
    let app = asked.parameter("firebase_app_id").is_some();
    if !secret || web == app {
        return Some(("measurement_id", "VALUE_REQUIRED"));
    }
    if text(hit, if web { "client_id" } else { "app_instance_id" }).is_none() {
        return Some(("client_id", "VALUE_REQUIRED"));
    }
    let events = hit["events"].as_array().filter(|events| (1..=25).contains(&events.len()));
    let Some(events) = events else { return Some(("events", "VALUE_INVALID")) };
    let named = |event: &Value| {
        let name = text(event, "name").unwrap_or_default();
        let plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        plain && name.len() <= 40 && name.starts_with(char::is_alphabetic)
    };
    events.iter().any(|event| !named(event)).then_some(("events", "NAME_INVALID"))
}
