//! What `ropeway dlq` writes: tables for people and documents for programs. Pure. What comes out of a stream is other
//! people's text, so nothing in it may steer a terminal.

use base64::{Engine, prelude::BASE64_STANDARD};
use comfy_table::CellAlignment;
use jiff::Timestamp;
use ropeway_operator::offline::{Census, Entry, Page, redact};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::table::plain;

/// The longest error in a table, in characters.
const LONGEST_ERROR: usize = 80;

/// A text without anything that steers a terminal.
pub fn harmless(text: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&letter)
            || ('\u{2066}'..='\u{2069}').contains(&letter)
    };
    text.chars().map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect()
}

fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| harmless(&value.to_string()))
}

/// A page as a table.
pub fn page(page: &Page) -> String {
    if page.entries.is_empty() {
        return "no dead letters".into();
    }
    let head = ["SEQUENCE", "TIME", "DESTINATION", "REASON", "CODE", "ATTEMPTS", "EVENT", "ERROR"];
    let rows = page.entries.iter().map(|entry| {
        let mut error: String = harmless(&entry.error).chars().take(LONGEST_ERROR + 1).collect();
        if error.chars().count() > LONGEST_ERROR {
            error = error.chars().take(LONGEST_ERROR - 1).chain(['…']).collect();
        }
        vec![
            entry.sequence.to_string(),
            second(entry.time),
            harmless(&entry.destination),
            harmless(&entry.reason),
            or_dash(entry.code),
            entry.attempts.to_string(),
            or_dash(entry.event_id.as_ref()),
            error,
        ]
    });
    plain(&head, rows.collect(), CellAlignment::Left).trim_fmt()
}

/// What an entry says of itself, without its body and the headers of the event.
fn summary(entry: &Entry) -> Map<String, Value> {
    let Entry { sequence, time, destination, reason, code, attempts, resend, error, delivery, .. } = entry;
    let members = json!({
        "sequence": sequence, "time": time.to_string(), "destination": destination, "reason": reason, "code": code,
        "attempts": attempts, "resends": resend, "eventId": entry.event_id, "deliveryId": delivery, "error": error,
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A page as a document.
pub fn page_json(integration: &str, page: &Page) -> Value {
    let Page { entries, next, remaining, unreadable } = page;
    json!({
        "integration": integration,
        "entries": entries.iter().map(summary).collect::<Vec<_>>(),
        "next": next, "remaining": remaining, "unreadable": unreadable,
    })
}

/// The headers of an entry, each with its values.
fn headers(entry: &Entry, reveal: bool) -> Map<String, Value> {
    let mut headers: Vec<(String, Value)> = entry
        .headers
        .iter()
        .map(|(name, values)| {
            let shown = |value: &str| if reveal { value.to_owned() } else { redact::header(name.as_ref(), value) };
            (name.to_string(), values.iter().map(|value| shown(value.as_str())).collect())
        })
        .collect();
    headers.sort_by(|(name, _), (other, _)| name.cmp(other));
    headers.into_iter().collect()
}

/// One entry as a document. A revealed body stands there byte for byte if it is JSON, and in base 64 if it is not.
///
/// # Errors
/// Never for what a stream can hold; serialisation says so.
pub fn entry_json(integration: &str, entry: &Entry, reveal: bool) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        integration: &'a str,
        #[serde(flatten)]
        summary: Map<String, Value>,
        first_failure_time: Option<String>,
        last_failure_time: Option<String>,
        trace_parent: Option<&'a String>,
        headers: Map<String, Value>,
        redacted: bool,
        body_bytes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        body_base64: Option<String>,
    }
    let text = std::str::from_utf8(&entry.body).ok();
    let raw = text.filter(|_| reveal).and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let document = Document {
        integration,
        summary: summary(entry),
        first_failure_time: entry.first_failure.map(|time| time.to_string()),
        last_failure_time: entry.last_failure.map(|time| time.to_string()),
        trace_parent: entry.trace_parent.as_ref(),
        headers: headers(entry, reveal),
        redacted: !reveal,
        body_bytes: entry.body.len(),
        body_base64: (reveal && raw.is_none()).then(|| BASE64_STANDARD.encode(&entry.body)),
    };
    let body = match raw {
        Some(raw) => raw.get().to_owned(),
        None if reveal => "null".to_owned(),
        None => redact::body(&entry.body).to_string(),
    };
    let document = serde_json::to_string(&document)?;
    // By hand: beside a flattened map a raw value is not kept byte for byte. The document ends with its own brace.
    let open = document.strip_suffix('}').unwrap_or(&document);
    Ok(format!("{open},\"body\":{body}}}"))
}

/// One entry for people.
pub fn entry(entry: &Entry, reveal: bool) -> String {
    let mut lines = Vec::new();
    let mut say = |name: &str, value: String| lines.push(format!("{name:<15}{value}"));
    say("sequence", entry.sequence.to_string());
    say("time", second(entry.time));
    say("destination", harmless(&entry.destination));
    say("reason", harmless(&entry.reason));
    say("code", or_dash(entry.code));
    say("error", harmless(&entry.error));
    say("attempts", entry.attempts.to_string());
    say("sent again", format!("{} times", entry.resend));
    say("first failure", or_dash(entry.first_failure.map(second)));
    say("last failure", or_dash(entry.last_failure.map(second)));
    say("event", or_dash(entry.event_id.as_ref()));
    say("delivery", harmless(&entry.delivery));
    say("trace", or_dash(entry.trace_parent.as_ref()));
    lines.push("headers".into());
    for (name, values) in headers(entry, reveal) {
        for value in values.as_array().into_iter().flatten() {
            lines.push(format!("  {}: {}", harmless(&name), harmless(value.as_str().unwrap_or_default())));
        }
    }
    let note = if reveal { "" } else { ", values redacted; --reveal shows them" };
    lines.push(format!("body ({} bytes{note})", entry.body.len()));
    let body = match (reveal, std::str::from_utf8(&entry.body)) {
        (true, Ok(text)) => text.to_owned(),
        (true, Err(_)) => BASE64_STANDARD.encode(&entry.body),
        (false, _) => format!("{:#}", redact::body(&entry.body)),
    };
    lines.extend(body.lines().map(|line| format!("  {}", harmless(line))));
    lines.join("\n")
}

/// Counts as a document.
pub fn census_json(census: &Census) -> Map<String, Value> {
    let mut destinations: Vec<Value> = Vec::new();
    for ((destination, reason), count) in &census.counts {
        let reason = json!({ "reason": reason, "count": count });
        match destinations.last_mut().filter(|last| last["name"] == destination.as_str()) {
            Some(last) => {
                last["messages"] = json!(last["messages"].as_u64().unwrap_or(0) + count);
                last["reasons"].as_array_mut().into_iter().for_each(|reasons| reasons.push(reason.clone()));
            }
            None => destinations.push(json!({ "name": destination, "messages": count, "reasons": [reason] })),
        }
    }
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    [
        ("messages", json!(census.total())),
        ("oldestTime", json!(time(census.oldest))),
        ("newestTime", json!(time(census.newest))),
        ("destinations", json!(destinations)),
        ("unreadable", json!(census.unreadable)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// Counts as a table.
pub fn census(census: &Census) -> String {
    if census.total() == 0 {
        return "no dead letters".into();
    }
    let row = |((destination, reason), count): (&(String, String), &u64)| {
        vec![harmless(destination), harmless(reason), count.to_string()]
    };
    let table =
        plain(&["DESTINATION", "REASON", "COUNT"], census.counts.iter().map(row).collect(), CellAlignment::Left);
    let (oldest, newest) = (or_dash(census.oldest.map(second)), or_dash(census.newest.map(second)));
    format!("{}\n\n{} dead letters, the oldest of {oldest}, the newest of {newest}", table.trim_fmt(), census.total())
}

#[cfg(test)]
mod tests;
