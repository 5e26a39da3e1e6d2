//! Segment's tracking API. It answers 200 to nearly everything. Source: its pages of the HTTP API and of duplicate data, 2026.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Asked, Fake, Reply, Wishes, not_found, text};

const CALLS: [&str; 6] = ["identify", "track", "page", "screen", "group", "alias"];

/// A source with the ids that it knows.
#[derive(Debug, Default)]
pub(super) struct Segment {
    known: HashSet<String>,
}

impl Fake for Segment {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply {
        let Some(call) = asked.path.strip_prefix("/v1/").filter(|call| *call == "batch" || CALLS.contains(call)) else {
            return not_found();
        };
        if asked.method != "POST" {
            return not_found();
        }
        if let Some(pause) = wishes.throttle {
            let seconds = pause.as_secs();
            return Reply::of(429, json!({ "success": false }))
                .with("retry-after", seconds)
                .with("x-ratelimit-reset", seconds);
        }
        let body = asked.json().filter(Value::is_object).filter(|_| asked.is_json() && asked.body.len() <= 500_000);
        let Some(body) = body else {
            return Reply::of(400, json!({ "success": false, "message": "malformed JSON or too large" }));
        };
        let mut reply = Reply::of(200, json!({ "success": true }));
        let calls = match call {
            "batch" => body["batch"].as_array().cloned().unwrap_or_default(),
            kind => {
                let mut call = body.clone();
                call["type"] = json!(kind);
                vec![call]
            }
        };
        // Whoever sends without the key, or too much, is told nothing either.
        let known = asked.basic().is_some() || text(&body, "writeKey").is_some();
        for call in calls.iter().take(if known && calls.len() <= 2_500 { usize::MAX } else { 0 }) {
            if !is_valid(call) || (wishes.refuse)(call) {
                reply.refused.push(call.clone());
            } else if text(call, "messageId").is_some_and(|id| !self.known.insert(id.to_owned())) {
                reply.repeated += 1;
            } else {
                reply.taken.push(call.clone());
            }
        }
        if !known || calls.len() > 2_500 {
            reply.refused.extend(calls);
        }
        reply
    }
}

/// Whether Segment keeps a call.
fn is_valid(call: &Value) -> bool {
    let whose = text(call, "userId").is_some() || text(call, "anonymousId").is_some();
    let fits = call.to_string().len() <= 32 << 10;
    let complete = match call["type"].as_str() {
        Some("track") => text(call, "event").is_some(),
        Some("group") => text(call, "groupId").is_some(),
        Some("alias") => text(call, "previousId").is_some() && text(call, "userId").is_some(),
        Some("identify" | "page" | "screen") => true,
        _ => false,
    };
    whose && fits && complete
}
