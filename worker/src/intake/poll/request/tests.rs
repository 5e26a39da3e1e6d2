use serde_json::json;

use super::*;

fn plan(more: Value) -> Plan {
    let mut poll = json!({
        "interval": "10s",
        "request": { "url": "https://api.example.com/items?fixed=1&since=old", "query": [{ "name": "q", "value": "a&b" }] },
        "cursor": { "field": "/at", "param": "since", "untilParam": "until" },
        "pagination": { "page": { "param": "page", "sizeParam": "size", "size": 50 } },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        poll[name] = value.clone();
    }
    Plan::new(serde_json::from_value(poll).unwrap()).unwrap()
}

fn made(plan: &Plan, run: &Run, until: Option<&str>) -> PageRequest {
    request(plan, run, until, &values(plan), None).unwrap()
}

fn values(plan: &Plan) -> Values {
    let written = plan.poll.request.query.iter().flatten().map(|parameter| parameter.value.clone().unwrap_or_default());
    Values { headers: Vec::new(), query: written.collect() }
}

#[test]
fn parameters_take_the_place_of_those_in_the_url_and_are_encoded() {
    let run = Run { from: Some("2026-01-01T00:00:00+02:00".into()), ..Run::default() };
    let made = made(&plan(json!({})), &run, Some("2027-01-01T00:00:00Z"));
    let expected = "https://api.example.com/items?fixed=1&q=a%26b&since=2026-01-01T00%3A00%3A00%2B02%3A00&until=2027-01-01T00%3A00%3A00Z&page=1&size=50";
    assert_eq!(made.url.as_str(), expected);
    assert_eq!((made.request.method, made.request.body.len()), (Method::GET, 0));
}

#[test]
fn the_last_item_of_a_page_stands_in_the_request_for_the_next() {
    let pages = json!({ "lastItem": { "field": "/id", "param": "starting_after" } });
    let plan =
        plan(json!({ "request": { "url": "https://api.example.com/v1/charges?limit=100" }, "pagination": pages }));
    assert_eq!(made(&plan, &Run::default(), None).url.as_str(), "https://api.example.com/v1/charges?limit=100");
    let next = Run { position: Position::Token("ch_1&x".into()), ..Run::default() };
    let expected = "https://api.example.com/v1/charges?limit=100&starting_after=ch_1%26x";
    assert_eq!(made(&plan, &next, None).url.as_str(), expected);
}

#[test]
fn a_recorded_page_of_another_host_is_not_asked_for() {
    let own = Run { position: Position::Url("https://api.example.com/items?page=9".into()), ..Run::default() };
    assert_eq!(made(&plan(json!({})), &own, None).url.as_str(), "https://api.example.com/items?page=9");
    let foreign = Run { position: Position::Url("https://evil.example.com/".into()), ..Run::default() };
    let why = request(&plan(json!({})), &foreign, None, &Values::default(), None).unwrap_err();
    assert_eq!(why.reason, "PollPagination");
}

#[test]
fn marks_are_sent_with_the_same_request_for_the_first_page_alone() {
    let plan = plan(json!({}));
    let first = Run::default();
    let known =
        Validators { request: made(&plan, &first, None).stands_for, etag: Some("\"e\"".into()), last_modified: None };
    let sent = |run: &Run| {
        let made = request(&plan, run, None, &values(&plan), Some(&known)).unwrap();
        made.request.headers.contains_key(header::IF_NONE_MATCH)
    };
    assert!(sent(&first));
    assert!(!sent(&Run { from: Some("2026-01-01T00:00:00Z".into()), ..Run::default() }));
    assert!(!sent(&Run { position: Position::Number(1), ..Run::default() }));
}

#[test]
fn a_pointer_puts_a_parameter_into_the_body_as_what_it_is() {
    let plan = plan(json!({
        "request": { "url": "https://api.example.com/search", "method": "Post", "body": "{\"filter\": {\"kind\": 1}}" },
        "cursor": { "field": "/n", "param": "/filter/after", "format": "Number" },
        "pagination": { "cursor": { "pointer": "/next", "param": "/page/token" } },
    }));
    let run = Run { from: Some("12".into()), position: Position::Token("34".into()), ..Run::default() };
    let body: Value = serde_json::from_slice(&made(&plan, &run, None).request.body).unwrap();
    assert_eq!(body, json!({ "filter": { "kind": 1, "after": 12 }, "page": { "token": "34" } }));
}
