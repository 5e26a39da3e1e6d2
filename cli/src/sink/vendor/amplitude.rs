//! Amplitude's `POST /2/httpapi` and `/batch`. Source: its pages of HTTP V2 and of batching and retries, 2026.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

/// A project with the events that it knows.
#[derive(Debug, Default)]
pub(super) struct Amplitude {
    known: HashSet<String>,
}

impl Fake for Amplitude {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        let most = match (asked.method, asked.path) {
            ("POST", "/2/httpapi") => 1_000_000,
            ("POST", "/batch") => 20_000_000,
            _ => return not_found(),
        };
        let Some(body) = asked.json() else {
            return Reply::of(400, json!({ "code": 400, "error": "Invalid JSON request body" }));
        };
        if text(&body, "api_key").is_none() {
            return Reply::of(400, json!({ "code": 400, "error": "Invalid API key: " }));
        }
        if asked.body.len() > most {
            return Reply::of(413, json!({ "code": 413, "error": "Payload too large" }));
        }
        let Some(events) = body["events"].as_array() else {
            let body = json!({ "code": 400, "error": "Request missing required field", "missing_field": "events" });
            return Reply::of(400, body);
        };
        if wishes.throttle.is_some() {
            let listed: Vec<usize> = (0..events.len()).collect();
            let body = json!({ "code": 429, "error": "Too many requests for some devices and users", "eps_threshold": 30,
                "throttled_events": listed });
            return Reply::of(429, body);
        }
        let shortest = body["options"]["min_id_length"].as_u64().unwrap_or(5);
        self.take(events, usize::try_from(shortest).unwrap_or(5), asked.body.len(), wishes)
    }
}

impl Amplitude {
    fn take(&mut self, events: &[Value], shortest: usize, bytes: usize, wishes: &Wishes<'_>) -> Reply {
        let mut lists: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        let mut reply = Reply::default();
        for (index, event) in events.iter().enumerate() {
            let short = |name: &str| text(event, name).is_some_and(|id| id.len() < shortest);
            let fault = if (wishes.refuse)(event) || event.get("time").is_some_and(|time| !time.is_number()) {
                Some(("events_with_invalid_fields", "time"))
            } else if text(event, "event_type").is_none() {
                Some(("events_with_missing_fields", "event_type"))
            } else if text(event, "user_id").is_none() && text(event, "device_id").is_none() {
                Some(("events_with_missing_fields", "user_id"))
            } else {
                let name = ["user_id", "device_id"].into_iter().find(|name| short(name));
                name.map(|name| ("events_with_invalid_id_lengths", name))
            };
            if let Some((list, field)) = fault {
                lists.entry(list).or_default().entry(field).or_default().push(index);
                reply.refused.push(event.clone());
            }
        }
        if !lists.is_empty() {
            // One bad event, and nothing of the request is taken.
            reply.status = 400;
            reply.body = json!(lists);
            reply.body["code"] = json!(400);
            reply.body["error"] = json!("Invalid field values on some events");
            return reply;
        }
        for event in events {
            let id = text(event, "insert_id").map(|id| json!([id, event["device_id"]]).to_string());
            if id.is_some_and(|id| !self.known.insert(id)) {
                reply.repeated += 1;
            } else {
                reply.taken.push(event.clone());
            }
        }
        reply.status = 200;
        reply.body = json!({ "code": 200, "events_ingested": events.len(), "payload_size_bytes": bytes,
            "server_upload_time": 1_795_521_600_000_i64 });
        reply
    }
}
