//! What the vendors' tests share: records, answers and outcomes in short.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_mapping::EventAttributes;
use serde_json::Value;

use super::{Fate, Item, Known, Outcome, Sending, Vendor, Verdict};
use crate::map::Record;

/// The time at which everything happens.
pub(super) fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The record that a vendor makes of this one, or what it has against it. The event's time is 09:30 of 2 November 2026.
pub(super) fn item(vendor: &dyn Vendor, key: &str, record: &Value) -> Result<Item, String> {
    let attributes = EventAttributes { time: Some("2026-11-02T09:30:00Z".into()), ..EventAttributes::default() };
    let known = Known { key, attributes: &attributes };
    vendor.item(record.to_string().as_bytes(), known).map_err(|invalid| invalid.0)
}

/// Records as they are sent, with the keys `key0`, `key1`, ….
pub(super) fn records(vendor: &dyn Vendor, given: &[Value]) -> Vec<Record> {
    let record = |(index, record): (usize, &Value)| {
        let key = format!("key{index}");
        let Item { body, weight, apart } = item(vendor, &key, record).unwrap();
        Record { body, key, attributes: Arc::default(), weight, apart }
    };
    given.iter().enumerate().map(record).collect()
}

/// The request that is made of records: its address and its body.
pub(super) fn request(vendor: &dyn Vendor, given: &[Value], secrets: &[String]) -> (String, Value) {
    let records = records(vendor, given);
    let records: Vec<&Record> = records.iter().collect();
    let request = vendor.request(&records, Sending { now: now(), secrets }).unwrap();
    assert_eq!(request.headers["content-type"], "application/json");
    (format!("{} {}", request.method, request.uri), serde_json::from_slice(&request.body).unwrap())
}

/// An answer.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()));
    let headers: HeaderMap = headers.collect();
    Response { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() }
}

/// What an answer means.
pub(super) fn verdict(vendor: &dyn Vendor, given: &[Value], response: &Response) -> Verdict {
    let records = records(vendor, given);
    let records: Vec<&Record> = records.iter().collect();
    vendor.verdict(response, &records, now())
}

/// An outcome in a word or two, and its message.
pub(super) fn short(outcome: &Outcome) -> (String, String) {
    match outcome {
        Outcome::Delivered => ("delivered".into(), String::new()),
        Outcome::Retry { after, limited, failure } => {
            let after = after.map(|after| format!(" {}s", after.as_secs())).unwrap_or_default();
            (format!("{}{after}", if *limited { "limited" } else { "retry" }), failure.message.clone())
        }
        Outcome::Rejected(failure) => ("rejected".into(), failure.message.clone()),
        Outcome::Unaccounted(failure) => ("unaccounted".into(), failure.message.clone()),
        Outcome::Left(failure) => ("left".into(), failure.message.clone()),
        Outcome::Hold { cause, failure } => (format!("hold {}", cause.as_str()), failure.message.clone()),
    }
}

/// What an answer means in short: for the whole, then for each record if it says so.
pub(super) fn told(verdict: &Verdict) -> String {
    let each: Vec<String> = verdict
        .each
        .iter()
        .map(|fate| match fate {
            Fate::Known(outcome) => short(outcome).0,
            Fate::Again => "again".into(),
        })
        .collect();
    let whole = short(&verdict.outcome).0;
    if each.is_empty() { whole } else { format!("{whole}: {}", each.join(", ")) }
}

/// Everything that is said about failures.
pub(super) fn messages(verdict: &Verdict) -> String {
    let each = verdict.each.iter().filter_map(|fate| match fate {
        Fate::Known(outcome) => Some(short(outcome).1),
        Fate::Again => None,
    });
    [short(&verdict.outcome).1].into_iter().chain(each).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// One row of a vendor's table: status, headers, body, what it means, and words of the message.
pub(super) type Row<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

/// Checks a vendor's table against what it says of these records.
pub(super) fn check(vendor: &dyn Vendor, given: &[Value], rows: &[Row<'_>]) {
    for (status, headers, body, expected, words) in rows {
        let verdict = verdict(vendor, given, &answer(*status, headers, body));
        assert_eq!(told(&verdict), *expected, "{status} {body}");
        let said = messages(&verdict);
        assert!(said.contains(words), "{status} {body}: {said}");
    }
}

/// Checks what a vendor has against records: what is put into a good one at a JSON pointer, and the words that follow.
pub(super) fn refuses(vendor: &dyn Vendor, good: &Value, rows: &[(&str, Value, &str)]) {
    item(vendor, "key", good).unwrap();
    for (pointer, value, words) in rows {
        let mut bad = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match bad.pointer_mut(parent).unwrap() {
            Value::Object(object) if *value == Value::Null => {
                object.remove(name).unwrap();
            }
            Value::Object(object) => {
                object.insert(name.to_owned(), value.clone());
            }
            other => other[name.parse::<usize>().unwrap()] = value.clone(),
        }
        match item(vendor, "key", &bad) {
            Err(said) => assert!(said.contains(words), "{pointer} {value}: {said}"),
            Ok(_) => panic!("{pointer}: {value} was taken; expected {words}"),
        }
    }
}
