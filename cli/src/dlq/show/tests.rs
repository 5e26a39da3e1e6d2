use bytes::Bytes;
use ropeway_crds::names::LaneId;
use ropeway_crds::names::ShortUid;

use super::*;

/// More than a 64-bit float can hold.
const BODY: &[u8] = br#"{"email":"ann@example.com", "amount":18446744073709551616, "tags":["vip"]}"#;

fn letter(body: &'static [u8]) -> Entry {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-id", "e-1");
    headers.insert("Authorization", "Bearer secret-token");
    Entry {
        sequence: 7,
        time: Timestamp::UNIX_EPOCH,
        lane: LaneId::new(&ShortUid::of("i"), "crm"),
        destination: "crm".into(),
        reason: "Rejected".into(),
        delivery: "01J".into(),
        resend: 1,
        code: Some(422),
        attempts: 3,
        event_id: Some("e-1\u{1b}[2J".into()),
        error: "no".repeat(100),
        first_failure: None,
        last_failure: Some(Timestamp::UNIX_EPOCH),
        trace_parent: None,
        headers,
        body: Bytes::from_static(body),
    }
}

#[test]
fn a_redacted_entry_holds_no_value_and_a_revealed_one_is_the_event_byte_for_byte() {
    let hidden = entry_json("signups", &letter(BODY), false).unwrap();
    let document: Value = serde_json::from_str(&hidden).unwrap();
    assert_eq!(document["body"]["email"], "<string of 15>");
    assert_eq!((&document["redacted"], &document["sequence"]), (&json!(true), &json!(7)));
    for secret in ["ann@example.com", "18446744073709551616", "vip", "secret-token"] {
        assert!(!hidden.contains(secret) && !entry(&letter(BODY), false).contains(secret), "{secret}");
        assert!(entry(&letter(BODY), true).contains(secret), "{secret}");
    }
    let revealed = entry_json("signups", &letter(BODY), true).unwrap();
    assert!(revealed.contains(std::str::from_utf8(BODY).unwrap()), "{revealed}");
    assert!(serde_json::from_str::<Value>(&revealed).is_ok(), "{revealed}");
}

#[test]
fn a_body_that_is_not_json_is_measured_or_revealed_in_base_64() {
    let hidden: Value = serde_json::from_str(&entry_json("signups", &letter(b"\xff"), false).unwrap()).unwrap();
    assert_eq!(hidden["body"], "<1 bytes that are not JSON>");
    let revealed: Value = serde_json::from_str(&entry_json("signups", &letter(b"\xff"), true).unwrap()).unwrap();
    assert_eq!((&revealed["body"], &revealed["bodyBase64"]), (&Value::Null, &json!("/w==")));
}

#[test]
fn nothing_in_an_entry_steers_a_terminal_and_an_error_is_cut() {
    let page = Page { entries: vec![letter(BODY)], ..Page::default() };
    for text in [super::page(&page), entry(&letter(b"{\"\xc2\x9b2J\": 1}"), true)] {
        assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    }
    assert!(super::page(&page).contains('…'));
}

#[test]
fn counts_are_grouped_by_destination() {
    let count = |destination: &str, reason: &str, count| ((destination.to_owned(), reason.to_owned()), count);
    let counts = [count("crm", "Poison", 1), count("crm", "Rejected", 2), count("shop", "Rejected", 4)].into();
    let census = Census { counts, oldest: Some(Timestamp::UNIX_EPOCH), ..Census::default() };
    let document = Value::Object(census_json(&census));
    assert_eq!((&document["messages"], &document["destinations"][0]["messages"]), (&json!(7), &json!(3)));
    assert_eq!(document["destinations"][1]["reasons"][0], json!({ "reason": "Rejected", "count": 4 }));
    assert_eq!(document["oldestTime"], "1970-01-01T00:00:00Z");
    assert!(super::census(&census).contains("7 dead letters, the oldest of 1970-01-01T00:00:00Z, the newest of -"));
}
