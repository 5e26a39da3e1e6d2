//! HubSpot's batches of CRM objects. Source: its pages of CRM objects and of error handling, 2026.

mod tokens;

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

/// An account with its objects: type, number and properties.
#[derive(Debug, Default)]
pub(super) struct Hubspot {
    objects: BTreeMap<(String, u64), Map<String, Value>>,
    last: u64,
    tokens: tokens::Tokens,
}

impl Fake for Hubspot {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        if let Some(reply) = self.tokens.answer(asked) {
            return reply;
        }
        let Some((kind, operation)) = place(asked.path).filter(|_| asked.method == "POST") else { return not_found() };
        let Some(token) = asked.bearer() else {
            return refuse(401, "INVALID_AUTHENTICATION", "Authentication credentials not found");
        };
        if !self.tokens.takes(token) {
            return refuse(
                401,
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call is expired or revoked",
            );
        }
        if wishes.throttle.is_some() {
            let body = json!({ "status": "error", "message": "You have reached your ten_secondly_rolling limit.",
                "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" });
            return Reply::of(429, body).with("x-hubspot-ratelimit-interval-milliseconds", 10_000);
        }
        if !asked.is_json() {
            return refuse(415, "VALIDATION_ERROR", "Unsupported Media Type");
        }
        let Some(inputs) = asked.json().and_then(|body| body["inputs"].as_array().cloned()) else {
            return refuse(400, "VALIDATION_ERROR", "Invalid input JSON: inputs");
        };
        if inputs.is_empty() || inputs.len() > 100 {
            return refuse(400, "VALIDATION_ERROR", "The number of inputs must be between 1 and 100");
        }
        let ids: Vec<String> = inputs.iter().filter_map(|input| text(input, "id").map(str::to_lowercase)).collect();
        let distinct: HashSet<&String> = ids.iter().collect();
        if distinct.len() < ids.len() {
            return refuse(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input");
        }
        self.batch(kind, operation, inputs, wishes)
    }
}

impl Hubspot {
    fn batch(&mut self, kind: &str, operation: &str, inputs: Vec<Value>, wishes: &Wishes<'_>) -> Reply {
        let traced = inputs.iter().all(|input| text(input, "objectWriteTraceId").is_some());
        let faults: Vec<Option<&str>> = inputs
            .iter()
            .map(
                |input| {
                    if (wishes.refuse)(input) { Some("VALIDATION_ERROR") } else { self.fault(kind, operation, input) }
                },
            )
            .collect();
        // Without a trace id on each, one bad input fails them all.
        if let (false, Some(category)) = (traced, faults.iter().flatten().next()) {
            let mut reply = refuse(400, category, "one of the inputs is not valid");
            reply.refused = inputs;
            return reply;
        }
        let mut reply = Reply::default();
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for (input, fault) in inputs.into_iter().zip(faults) {
            if let Some(category) = fault {
                let context = json!({ "objectWriteTraceId": [input["objectWriteTraceId"]] });
                errors.push(json!({ "status": "error", "category": category, "message": "the input is not valid", "context": context }));
                reply.refused.push(input);
            } else {
                results.push(self.write(kind, operation, &input));
                reply.taken.push(input);
            }
        }
        // The order of results is nobody's promise.
        results.reverse();
        reply.status = match (errors.is_empty(), operation) {
            (false, _) => 207,
            (true, "create") => 201,
            (true, _) => 200,
        };
        reply.body = json!({ "status": "COMPLETE", "results": results,
            "startedAt": "2026-11-24T12:00:00.000Z", "completedAt": "2026-11-24T12:00:00.000Z" });
        if !errors.is_empty() {
            reply.body["numErrors"] = json!(errors.len());
            reply.body["errors"] = json!(errors);
        }
        reply
    }

    fn fault(&self, kind: &str, operation: &str, input: &Value) -> Option<&'static str> {
        let properties = input["properties"].as_object().filter(|properties| properties.values().all(Value::is_string));
        let Some(properties) = properties else { return Some("VALIDATION_ERROR") };
        let email = properties.get("email").and_then(Value::as_str).filter(|email| !email.is_empty());
        if kind == "contacts" && email.is_some_and(|email| !email.contains('@')) {
            return Some("VALIDATION_ERROR");
        }
        match operation {
            "create" => {
                let there = email.filter(|_| kind == "contacts").and_then(|email| self.find(kind, "email", email));
                there.map(|_| "CONFLICT")
            }
            _ if text(input, "id").is_none() => Some("VALIDATION_ERROR"),
            "update" => self.named(kind, input).is_none().then_some("OBJECT_NOT_FOUND"),
            _ => None,
        }
    }

    fn find(&self, kind: &str, property: &str, value: &str) -> Option<u64> {
        let has = |properties: &Map<String, Value>| {
            properties.get(property).and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(value))
        };
        let mut found = self.objects.iter().filter(|((known, _), properties)| known == kind && has(properties));
        found.next().map(|((_, number), _)| *number)
    }

    fn named(&self, kind: &str, input: &Value) -> Option<u64> {
        let id = text(input, "id")?;
        match text(input, "idProperty") {
            Some(property) => self.find(kind, property, id),
            None => id.parse().ok().filter(|number| self.objects.contains_key(&(kind.to_owned(), *number))),
        }
    }

    fn write(&mut self, kind: &str, operation: &str, input: &Value) -> Value {
        let known = if operation == "create" { None } else { self.named(kind, input) };
        let number = known.unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        let properties = self.objects.entry((kind.to_owned(), number)).or_default();
        if let (Some(property), Some(id)) = (text(input, "idProperty"), text(input, "id")) {
            properties.insert(property.to_owned(), json!(id));
        }
        properties.extend(input["properties"].as_object().cloned().unwrap_or_default());
        let mut result = json!({ "id": number.to_string(), "properties": properties, "archived": false,
            "createdAt": "2026-11-24T12:00:00.000Z", "updatedAt": "2026-11-24T12:00:00.000Z" });
        if let Some(trace) = text(input, "objectWriteTraceId") {
            result["objectWriteTraceId"] = json!(trace);
        }
        if operation == "upsert" {
            result["new"] = json!(known.is_none());
        }
        result
    }
}

/// The type of object and the operation of a path, in both forms.
fn place(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/crm/")?;
    let parts: Vec<&str> = rest.split('/').collect();
    let (kind, operation) = match parts.as_slice() {
        ["v3", "objects", kind, "batch", operation] => (kind, operation),
        ["objects", version, kind, "batch", operation] if version.starts_with("20") => (kind, operation),
        _ => return None,
    };
    ["create", "update", "upsert"].contains(operation).then_some((*kind, *operation))
}

fn refuse(status: u16, category: &str, message: &str) -> Reply {
    let body = json!({ "status": "error", "message": message, "category": category, "correlationId": "c0ffee" });
    Reply::of(status, body)
}
