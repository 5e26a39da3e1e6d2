//! Mixpanel's `POST /import?strict=1`. Source: its ingestion API (openapi/ingestion.openapi.yaml), 2026.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

/// A project with the events that it knows.
#[derive(Debug, Default)]
pub(super) struct Mixpanel {
    known: HashSet<String>,
}

impl Fake for Mixpanel {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        if asked.path != "/import" || asked.method != "POST" {
            return not_found();
        }
        let fails =
            |status: u16, error: &str| Reply::of(status, json!({ "code": status, "error": error, "status": error }));
        let allowed =
            asked.basic().is_some_and(|(_, password)| password.is_empty() || asked.parameter("project_id").is_some());
        if !allowed {
            return fails(401, "Invalid credentials");
        }
        if wishes.throttle.is_some() {
            return fails(429, "project exceeded rate limits");
        }
        if asked.body.len() > 10_000_000 {
            return fails(413, "request exceeds max limit of 10485760 bytes");
        }
        let events = match asked.json() {
            Some(Value::Array(events)) if !events.is_empty() && events.len() <= 2_000 => events,
            Some(Value::Array(_)) => return fails(400, "the number of events must be between 1 and 2000"),
            _ => return fails(400, "request is not valid JSON"),
        };
        let mut reply = Reply::of(200, Value::Null);
        let mut failed = Vec::new();
        for (index, event) in events.into_iter().enumerate() {
            let id = event["properties"]["$insert_id"].clone();
            let fault = if (wishes.refuse)(&event) { Some("properties") } else { fault(&event) };
            if let Some(field) = fault {
                failed.push(json!({ "index": index, "insert_id": id, "field": field, "message": format!("'{field}' is invalid") }));
                reply.refused.push(event);
                continue;
            }
            let properties = &event["properties"];
            let known = json!([event["event"], properties["time"], properties["distinct_id"], id]).to_string();
            if self.known.insert(known) { reply.taken.push(event) } else { reply.repeated += 1 }
        }
        let imported = u64::try_from(reply.taken.len()).unwrap_or(u64::MAX) + reply.repeated;
        reply.body = json!({ "code": 200, "num_records_imported": imported, "status": "OK" });
        if !failed.is_empty() && asked.parameter("strict").as_deref() == Some("1") {
            reply.status = 400;
            reply.body = json!({ "code": 400, "error": "some data points in the request failed validation",
                "failed_records": failed, "num_records_imported": imported, "status": "Bad Request" });
        }
        reply
    }
}

/// The field that Mixpanel does not take.
fn fault(event: &Value) -> Option<&'static str> {
    let only = event.as_object().is_some_and(|object| object.keys().all(|key| key == "event" || key == "properties"));
    if !only || text(event, "event").is_none() {
        return Some("event");
    }
    let properties = &event["properties"];
    if properties.as_object().is_none_or(|properties| properties.len() >= 255) {
        return Some("properties");
    }
    if !properties["time"].is_u64() {
        return Some("properties.time");
    }
    let id = &properties["distinct_id"];
    if !id.is_string() || ["anon", "null", "none", "n/a"].contains(&id.as_str().unwrap_or_default()) {
        return Some("properties.distinct_id");
    }
    let insert = text(properties, "$insert_id").is_some_and(|id| id.len() <= 36);
    (!insert).then_some("properties.$insert_id")
}
