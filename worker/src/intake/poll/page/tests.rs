use serde_json::{Value, json};

use super::*;

fn plan(pagination: Value, items: &str) -> Plan {
    let poll = json!({
        "interval": "10s", "request": { "url": "https://api.example.com/items" }, "items": items,
        "pagination": pagination, "cursor": { "field": "/a~1b/0", "param": "after", "format": "Number" },
        "auth": { "apiKey": { "in": "Query", "name": "key", "value": { "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } } } },
    });
    Plan::new(serde_json::from_value(poll).unwrap()).unwrap()
}

fn read_text(plan: &Plan, position: &Position, body: &str) -> Result<(usize, Option<Position>), String> {
    let url = Url::parse("https://api.example.com/items?page=1").unwrap();
    let page = read(plan, position, &url, &HeaderMap::new(), body.as_bytes()).map_err(|problem| problem.message)?;
    Ok((page.items.len(), page.next))
}

#[test]
fn the_next_page_is_found_and_nothing_there_is_the_end() {
    let token = plan(json!({ "cursor": { "pointer": "/next", "param": "at" } }), "/data");
    for (next, expected) in [
        ("\"abc\"", Some("abc")),
        ("12345678901234567890123", Some("12345678901234567890123")),
        ("null", None),
        ("\"\"", None),
        ("false", None),
    ] {
        let found = read_text(&token, &Position::First, &format!("{{\"data\":[1],\"next\":{next}}}"));
        assert_eq!(found.unwrap().1, expected.map(|token| Position::Token(token.into())), "{next}");
    }
    assert!(read_text(&token, &Position::First, "{\"data\":[],\"next\":{}}").unwrap_err().contains("cursor.pointer"));
    let counted = plan(json!({ "page": { "param": "page", "start": 0 } }), "");
    assert_eq!(read_text(&counted, &Position::First, "[1, 2]").unwrap().1, Some(Position::Number(1)));
    assert_eq!(read_text(&counted, &Position::Number(4), "[1]").unwrap().1, Some(Position::Number(5)));
    assert_eq!(read_text(&counted, &Position::Number(5), "[]").unwrap().1, None);
    let offset = plan(json!({ "offset": { "param": "o", "limitParam": "l", "limit": 50 } }), "");
    // The API gives fewer than it was asked for: what counts is what came.
    assert_eq!(read_text(&offset, &Position::Number(20), "[1, 2]").unwrap().1, Some(Position::Number(22)));
}

#[test]
fn the_page_behind_the_last_item_is_asked_for_until_the_api_says_that_there_is_none() {
    let told = plan(json!({ "lastItem": { "field": "/id", "param": "starting_after", "more": "/has_more" } }), "/data");
    let next = |body: Value| read_text(&told, &Position::First, &body.to_string()).map(|(_, next)| next);
    let token = |text: &str| Ok(Some(Position::Token(text.into())));
    let two = json!([{ "id": "a" }, { "id": "b" }]);
    assert_eq!(next(json!({ "data": two, "has_more": true })), token("b"));
    assert_eq!(next(json!({ "data": [{ "id": 7 }], "has_more": true })), token("7"));
    assert_eq!(next(json!({ "data": two, "has_more": false })), Ok(None));
    assert_eq!(next(json!({ "data": [], "has_more": false })), Ok(None));
    // Whatever can't be told is no end: pages would be left out.
    for (body, words) in [
        (json!({ "data": two }), "lastItem.more: neither true nor false"),
        (json!({ "data": two, "has_more": "yes" }), "lastItem.more: neither true nor false"),
        (json!({ "data": [], "has_more": true }), "lastItem.more: the answer has no items"),
        (json!({ "data": [{ "id": null }], "has_more": true }), "lastItem.field: the last item"),
        (json!({ "data": [1], "has_more": true }), "lastItem.field: the last item"),
        (json!({ "data": [{ "id": "x".repeat(9_000) }], "has_more": true }), "lastItem.field: the last item"),
    ] {
        let message = next(body.clone()).unwrap_err();
        assert!(message.contains(words), "{body}: {message}");
    }
    let untold = plan(json!({ "lastItem": { "field": "/id", "param": "after" } }), "");
    let next = |body: &str| read_text(&untold, &Position::Token("a".into()), body).unwrap().1;
    assert_eq!(next(r#"[{"id":"b"}]"#), Some(Position::Token("b".into())));
    assert_eq!(next("[]"), None);
}

#[test]
fn only_pages_of_the_api_itself_are_followed_and_its_keys_are_not_kept() {
    let plan = plan(json!({ "nextUrl": { "pointer": "/next" } }), "/data");
    let next = |url: &str| read_text(&plan, &Position::First, &json!({ "data": [], "next": url }).to_string());
    let url = |text: &str| Ok((0, Some(Position::Url(text.into()))));
    assert_eq!(next("?page=2&key=s3cret"), url("https://api.example.com/items?page=2"));
    assert_eq!(next("https://api.example.com:443/x#y"), url("https://api.example.com/x"));
    for foreign in [
        "http://api.example.com/items",
        "https://api.example.com:8443/",
        "https://evil.example.com/",
        "//evil.example.com/",
        "https://api.example.com@evil.example.com/",
        "https://u:p@api.example.com/",
        "file:///etc/passwd",
    ] {
        let told = next(foreign).unwrap_err();
        assert!(told.contains("where our credentials don't go"), "{foreign}: {told}");
    }
}

#[test]
fn the_value_of_the_cursor_is_taken_as_it_is_written() {
    let plan = plan(json!({ "link": {} }), "");
    for (item, expected) in [
        (r#"{"a/b":[9007199254740993]}"#, Some("9007199254740993")),
        (r#"{"a/b":["1.50"]}"#, Some("1.50")),
        (r#"{"a/b":["x"]}"#, None),
        (r#"{"a/b":[]}"#, None),
        (r#"[1]"#, None),
    ] {
        let raw: &RawValue = serde_json::from_str(item).unwrap();
        assert_eq!(cursor_value(&plan, raw).as_deref(), expected, "{item}");
    }
}

#[test]
fn hostile_answers_are_refused_in_words() {
    let plan = plan(json!({ "link": {} }), "/data");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, words) in
        [(deep.as_str(), "nothing at"), ("", "not JSON"), ("[]", "nothing at"), ("{\"data\":\"x\"}", "no array")]
    {
        let told = read_text(&plan, &Position::First, body).unwrap_err();
        assert!(told.contains(words), "{told}");
    }
    let whole = self::plan(json!({ "link": {} }), "");
    assert!(read_text(&whole, &Position::First, "{\"secret\":1}").unwrap_err().contains("name the array"));
    assert_eq!(read_text(&whole, &Position::First, "\u{feff}[1]").unwrap().0, 1);
}
