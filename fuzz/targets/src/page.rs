//! An API's answer to a poller: its items, their cursors, and the next page, which must be the API's own.

use std::{sync::LazyLock, time::Duration};

use ropeway_crds::poll::Position;
use ropeway_worker::intake::poll::{
    page::{cursor_value, read, same_origin},
    plan::Plan,
};
use serde_json::{Value, json};
use url::Url;

use crate::message::{Message, choose};

/// The longest token or URL that may stand in the record.
const LONGEST_PLACE: usize = 8 << 10;

/// Chosen by the first byte, from `a` on.
static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let pages = [
        json!({ "link": {} }),
        json!({ "nextUrl": { "pointer": "/next" } }),
        json!({ "cursor": { "pointer": "/next", "param": "at" } }),
        json!({ "page": { "param": "page", "start": 0 } }),
        json!({ "offset": { "param": "o", "limitParam": "l", "limit": 50 } }),
        json!({ "lastItem": { "field": "/id", "param": "after", "more": "/more" } }),
    ];
    let formats = ["Number", "Rfc3339", "Text", "EpochSeconds", "EpochMilliseconds", "Text"];
    pages
        .into_iter()
        .zip(formats)
        .flat_map(|(page, format)| ["", "/data"].map(|items| plan(&page, items, format)))
        .collect()
});

fn plan(pagination: &Value, items: &str, format: &str) -> Plan {
    let key = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
    let poll = json!({
        "interval": "10s", "request": { "url": "https://api.example.com/items" }, "items": items,
        "pagination": pagination, "cursor": { "field": "/a~1b/0", "param": "after", "format": format },
        "auth": { "apiKey": { "in": "Query", "name": "key", "value": key } },
    });
    Plan::new(serde_json::from_value(poll).expect("it is a poll source")).expect("it has no schedule")
}

/// A letter, headers and a body.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes, PLANS.len()) else { return };
    let plan = &PLANS[choice];
    let message = Message::read(rest);
    let url = Url::parse("https://api.example.com/items?page=1").expect("it is a URL");
    let (headers, position) = (message.headers(), Position::First);
    let Ok(page) = read(plan, &position, &url, &headers, message.body) else { return };
    for item in page.items {
        let Some(value) = cursor_value(plan, item) else { continue };
        let format = plan.format();
        assert!(format.is_value(&value));
        let _ = format.later(Some(format.before(&value, Duration::from_secs(3600))), Some(value));
    }
    match page.next {
        Some(Position::Url(next)) => {
            assert!(next.len() <= LONGEST_PLACE);
            let next = Url::parse(&next).expect("the next page can be asked for");
            assert!(same_origin(&url, &next), "credentials would go to {next}");
            assert!(next.query_pairs().all(|(name, _)| name != "key"), "a key is kept: {next}");
        }
        Some(Position::Token(token)) => assert!(!token.is_empty() && token.len() <= LONGEST_PLACE),
        _ => {}
    }
}
