//! The rules of a polled source.

use super::*;

#[test]
fn rules_of_a_polled_source() {
    fn polled() -> Value {
        let poll = json!({
            "interval": "1m", "request": { "url": "https://api.example.com/items" }, "pagination": { "link": {} },
            "cursor": { "field": "/at", "param": "since" },
        });
        with(integration(), "/spec/source", json!({ "poll": poll }))
    }
    let page = |extra: Value| json!({ "page": extra });
    let cursor = |format: &str, lookback: &str| json!({ "field": "/at", "param": "since", "format": format, "lookback": lookback });
    let request = |method: &str| json!({ "url": "https://a/b", "method": method, "body": "{}" });
    check(
        polled,
        integration_errors,
        &[
            ("/spec/source/poll/interval", json!("1s"), json!("999ms"), "at least 1s"),
            ("/spec/source/poll/timeout", json!("2m"), json!("3m"), "at most 2m"),
            ("/spec/source/poll/pagination", json!({ "link": {} }), json!({}), "exactly one of link"),
            (
                "/spec/source/poll/pagination",
                json!({ "lastItem": { "field": "/id", "param": "starting_after", "more": "/has_more" } }),
                json!({ "lastItem": { "field": "/id", "param": "starting_after" }, "link": {} }),
                "offset and lastItem",
            ),
            (
                "/spec/source/poll/pagination",
                page(json!({ "param": "p", "sizeParam": "s", "size": 5 })),
                page(json!({ "param": "p", "size": 5 })),
                "give size and sizeParam together",
            ),
            (
                "/spec/source/poll/cursor",
                cursor("EpochSeconds", "1h"),
                cursor("Number", "1h"),
                "a format that is a time",
            ),
            ("/spec/source/poll/cursor", cursor("Rfc3339", "720h"), cursor("Rfc3339", "721h"), "at most 720h"),
            ("/spec/source/poll/request", request("Post"), request("Get"), "body is for the method Post"),
            (
                "/spec/source/poll/request/query",
                json!([{ "name": "a", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } }]),
                json!([{ "name": "a" }]),
                "exactly one of value and valueFrom",
            ),
            ("/spec/source/poll/request/url", json!("https://a/b"), json!("https://u:p@a/b"), "put them in auth"),
            (
                "/spec/source",
                json!({ "poll": { "schedule": "0 9 * * *", "timeZone": "Europe/Berlin", "request": { "url": "https://a/b" } } }),
                json!({ "poll": { "request": { "url": "https://a/b" } } }),
                "exactly one of interval and schedule",
            ),
            (
                "/spec/source",
                json!({ "poll": { "interval": "1m", "request": { "url": "https://a/b" } } }),
                json!({ "poll": { "interval": "1m", "timeZone": "UTC", "request": { "url": "https://a/b" } } }),
                "timeZone is for schedule",
            ),
        ],
    );
    let (before, after) = (integration(), polled());
    let [before, after]: [Integration; 2] = [before, after].map(|it| serde_json::from_value(it).unwrap());
    let told = after.validate_cel_update(&before).err().map(|errors| errors.to_string()).unwrap_or_default();
    assert!(told.contains("the kind of source can't be changed"), "{told}");
}
