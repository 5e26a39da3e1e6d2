//! What a schema can't judge of a polled source.

use ropeway_crds::{
    IntegrationSpec,
    condition::{ConditionType, Finding, Reason},
    pointer::is_pointer,
    schedule::Schedule,
    source::{Cursor, Pagination, Poll},
};

/// The shortest pause between two runs, in milliseconds.
const SHORTEST_INTERVAL: u128 = 1_000;

/// The largest answer that may be read, in bytes.
const LARGEST_PAGE: u64 = 64 << 20;

/// Checks a polled source, if it is one.
pub(super) fn check(spec: &IntegrationSpec, findings: &mut Vec<Finding>) {
    let Some(poll) = &spec.source.poll else { return };
    let mut refuse = |field: &str, message: String| {
        let message = format!("spec.source.poll.{field}: {message}");
        findings.push(Finding::fails(ConditionType::SourceReady, Reason::InvalidSpec, message));
    };
    when(poll, &mut refuse);
    request(poll, &mut refuse);
    if poll.timeout.is_some_and(|timeout| timeout.std().is_zero() || timeout.std().as_secs() > 120) {
        refuse("timeout", "give at least 100ms and at most 2m".into());
    }
    if poll.max_page_bytes.is_some_and(|most| most.bytes() == 0 || most.bytes() > LARGEST_PAGE) {
        refuse("maxPageBytes", "give at most 64Mi".into());
    }
    if let Some(pointer) = poll.items.as_deref().filter(|pointer| !pointer.is_empty()) {
        pointer_is_one("items", pointer, &mut refuse);
    }
    if let Some(pagination) = &poll.pagination {
        pages(pagination, &mut refuse);
    }
    if let Some(given) = &poll.cursor {
        cursor(given, &mut refuse);
    }
}

fn when(poll: &Poll, refuse: &mut dyn FnMut(&str, String)) {
    match (&poll.schedule, poll.interval) {
        (Some(text), None) => {
            if let Err(error) = Schedule::parse(text, poll.time_zone.as_deref()) {
                refuse(error.field(), error.to_string());
            }
        }
        (None, Some(interval)) if interval.std().as_millis() < SHORTEST_INTERVAL => {
            refuse("interval", "give at least 1s".into());
        }
        (None, Some(_)) => {}
        _ => refuse("interval", "give exactly one of interval and schedule".into()),
    }
}

fn request(poll: &Poll, refuse: &mut dyn FnMut(&str, String)) {
    let url = &poll.request.url;
    let authority = url.split('/').nth(2).unwrap_or_default();
    if !(url.starts_with("https://") || url.starts_with("http://")) || authority.is_empty() {
        refuse("request.url", "give an address such as https://api.example.com/v1/items".into());
    }
    if authority.contains('@') {
        refuse("request.url", "it must not hold credentials; put them in auth".into());
    }
    if let Some(body) = &poll.request.body
        && serde_json::from_str::<serde_json::Value>(body).is_err()
    {
        refuse("request.body", "it is no JSON".into());
    }
}

fn pages(pagination: &Pagination, refuse: &mut dyn FnMut(&str, String)) {
    let Pagination { link, next_url, cursor, page, offset, last_item } = pagination;
    let given =
        [link.is_some(), next_url.is_some(), cursor.is_some(), page.is_some(), offset.is_some(), last_item.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        refuse("pagination", "give exactly one of link, nextUrl, cursor, page, offset and lastItem".into());
    }
    if let Some(next_url) = next_url {
        pointer_is_one("pagination.nextUrl.pointer", &next_url.pointer, refuse);
    }
    if let Some(cursor) = cursor {
        pointer_is_one("pagination.cursor.pointer", &cursor.pointer, refuse);
    }
    if let Some(last_item) = last_item {
        pointer_is_one("pagination.lastItem.field", &last_item.field, refuse);
        if let Some(more) = &last_item.more {
            pointer_is_one("pagination.lastItem.more", more, refuse);
        }
    }
}

fn cursor(given: &Cursor, refuse: &mut dyn FnMut(&str, String)) {
    let format = given.format.unwrap_or_default();
    pointer_is_one("cursor.field", &given.field, refuse);
    if given.lookback.is_some_and(|lookback| !lookback.std().is_zero()) && !format.is_time() {
        refuse("cursor.lookback", format!("from a value of the format {format:?} no time can be taken; leave it out"));
    }
    if let Some(initial) = given.initial.as_deref().filter(|initial| !format.is_value(initial)) {
        refuse("cursor.initial", format!("{initial:?} is not {}, as cursor.format says", format.expected()));
    }
}

/// Names a field whose text is no JSON pointer, or leads to the whole.
fn pointer_is_one(field: &str, pointer: &str, refuse: &mut dyn FnMut(&str, String)) {
    if pointer.is_empty() || !is_pointer(pointer) {
        refuse(field, format!("{pointer:?} is no JSON pointer; write it as /data/items"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(pointer: &str, value: Value) -> Vec<String> {
        let mut poll = json!({
            "interval": "1m", "request": { "url": "https://api.example.com/v1/items" },
            "pagination": { "link": {} }, "cursor": { "field": "/updated_at", "param": "since" },
        });
        if !pointer.is_empty() {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            poll.pointer_mut(parent).unwrap()[name] = value;
        }
        let spec = json!({ "source": { "poll": poll }, "destinations": [{ "name": "a", "ref": "a" }] });
        let spec: IntegrationSpec = serde_json::from_value(spec).unwrap();
        let mut findings = Vec::new();
        check(&spec, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn what_can_not_work_is_named_with_its_field_and_a_remedy() {
        assert_eq!(told("", Value::Null), Vec::<String>::new());
        for (pointer, value, words) in [
            ("/interval", json!("500ms"), ["interval", "at least 1s"]),
            ("/schedule", json!("0 9 * * *"), ["interval", "exactly one of"]),
            ("/request/url", json!("ftp://x/y"), ["request.url", "such as https://"]),
            ("/request/url", json!("https://u:p@x/y"), ["request.url", "put them in auth"]),
            ("/request/body", json!("{"), ["request.body", "no JSON"]),
            ("/items", json!("data"), ["items", "no JSON pointer"]),
            ("/items", json!("/a~2"), ["items", "no JSON pointer"]),
            ("/pagination", json!({}), ["pagination", "exactly one of"]),
            ("/pagination", json!({ "nextUrl": { "pointer": "next" } }), ["pagination.nextUrl.pointer", "/data/items"]),
            (
                "/pagination",
                json!({ "lastItem": { "field": "id", "param": "starting_after" } }),
                ["pagination.lastItem.field", "/data/items"],
            ),
            (
                "/pagination",
                json!({ "lastItem": { "field": "/id", "param": "starting_after", "more": "has_more" } }),
                ["pagination.lastItem.more", "/data/items"],
            ),
            ("/maxPageBytes", json!("65Mi"), ["maxPageBytes", "at most 64Mi"]),
            ("/cursor/initial", json!("yesterday"), ["cursor.initial", "a time such as"]),
            ("/cursor/field", json!("updated_at"), ["cursor.field", "no JSON pointer"]),
        ] {
            let found = told(pointer, value.clone());
            assert!(
                found.len() == 1 && words.iter().all(|word| found[0].contains(word)),
                "{pointer} {value}: {found:?}"
            );
        }
        let counted = json!({ "field": "/n", "param": "after", "format": "Number", "lookback": "1h" });
        assert!(told("/cursor", counted)[0].contains("cursor.lookback"));
    }

    #[test]
    fn a_schedule_is_read_with_its_time_zone() {
        let told = |schedule: &str, zone: &str| {
            let poll = json!({ "schedule": schedule, "timeZone": zone, "request": { "url": "https://a/b" } });
            let mut said = Vec::new();
            when(&serde_json::from_value(poll).unwrap(), &mut |field, message| {
                said.push(format!("{field}: {message}"))
            });
            said.join("; ")
        };
        assert_eq!(told("0 9 * * 1-5", "Europe/Berlin"), "");
        assert!(told("0 9 * *", "UTC").contains("schedule: ") && told("0 9 * *", "UTC").contains("4 fields"));
        assert!(told("0 9 * * *", "Europe/Nowhere").starts_with("timeZone: "));
    }
}
