//! Braze's `POST /users/track`. Source: its pages of the endpoint, of objects and of errors, 2026.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

const ARRAYS: [&str; 3] = ["attributes", "events", "purchases"];

/// Users by what they are known by, with their attributes.
#[derive(Debug, Default)]
pub(super) struct Braze {
    users: BTreeMap<String, Map<String, Value>>,
}

impl Fake for Braze {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        if asked.path != "/users/track" || asked.method != "POST" {
            return not_found();
        }
        if asked.bearer().is_none() {
            return Reply::of(401, json!({ "message": "Error authenticating credentials" }));
        }
        if let Some(pause) = wishes.throttle {
            let reset = Timestamp::now().as_second() + i64::try_from(pause.as_secs()).unwrap_or_default();
            let body = json!({ "message": "Rate limit exceeded for this account" });
            return Reply::of(429, body).with("x-ratelimit-remaining", 0).with("x-ratelimit-reset", reset);
        }
        if asked.body.len() > 4_000_000 {
            return Reply::of(413, json!({ "message": "Payload too large" }));
        }
        let Some(Value::Object(body)) = asked.json() else {
            return Reply::of(400, json!({ "message": "The request body is not valid JSON" }));
        };
        self.track(&body, wishes)
    }
}

impl Braze {
    fn track(&mut self, body: &Map<String, Value>, wishes: &Wishes<'_>) -> Reply {
        let list = |array: &str| body.get(array).and_then(Value::as_array).cloned().unwrap_or_default();
        let all: usize = ARRAYS.iter().map(|array| list(array).len()).sum();
        if all > 75 {
            return Reply::of(400, json!({ "message": "max input length of 75 exceeded" }));
        }
        let mut reply = Reply::of(201, json!({ "message": "success" }));
        let mut errors = Vec::new();
        for array in ARRAYS {
            let mut processed = 0;
            for (index, item) in list(array).into_iter().enumerate() {
                let fault = if (wishes.refuse)(&item) { Some("the object is not valid") } else { fault(array, &item) };
                if let Some(fault) = fault {
                    errors.push(json!({ "type": fault, "input_array": array, "index": index }));
                    reply.refused.push(item);
                    continue;
                }
                processed += 1;
                if array == "attributes" {
                    self.change(&item);
                } else {
                    // Braze can't tell a repeat: each counts.
                    reply.taken.push(item);
                }
            }
            if processed > 0 {
                reply.body[format!("{array}_processed")] = json!(processed);
            }
        }
        if errors.len() == all {
            let message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
            reply.status = 400;
            reply.body = json!({ "message": message, "errors": errors });
        } else if !errors.is_empty() {
            reply.body["errors"] = json!(errors);
        }
        reply
    }

    fn change(&mut self, item: &Value) {
        let name = ["external_id", "braze_id", "email", "phone"].iter().find_map(|name| text(item, name));
        let name = name.map_or_else(|| item["user_alias"].to_string(), str::to_owned);
        let user = self.users.entry(name).or_default();
        for (name, value) in item.as_object().into_iter().flatten() {
            if value.is_null() {
                user.remove(name)
            } else {
                user.insert(name.clone(), value.clone())
            };
        }
    }
}

/// What Braze has against an object.
fn fault(array: &str, item: &Value) -> Option<&'static str> {
    let alias = &item["user_alias"];
    let by_alias = text(alias, "alias_name").is_some() && text(alias, "alias_label").is_some();
    let by_id = ["external_id", "braze_id", "email", "phone"].iter().any(|name| text(item, name).is_some());
    if !by_id && !by_alias {
        return Some("'external_id' or 'braze_id' or 'user_alias' or 'email' or 'phone' is required");
    }
    let timed = || text(item, "time").is_some_and(|time| time.len() >= 10 && time.as_bytes()[4] == b'-');
    match array {
        "events" if text(item, "name").is_none() => Some("'name' is required"),
        "events" | "purchases" if !timed() => Some("'time' is required and must be a valid ISO 8601 time"),
        "purchases" if text(item, "product_id").is_none() => Some("'product_id' is required"),
        "purchases" if text(item, "currency").is_none() => Some("'currency' is required"),
        "purchases" if !item["price"].is_number() => Some("'price' must be a number"),
        _ => None,
    }
}
