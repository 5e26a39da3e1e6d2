use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{Context, EventAttributes, Input, IntegrationName, Limits, Purpose, compile, run_transform};

fn round_trip(json: &str) -> String {
    let data = Data::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"));
    String::from_utf8(data.to_json_bytes()).expect("JSON is UTF-8")
}

#[test]
fn integers_beyond_64_bits_become_strings_of_the_same_digits() {
    for (json, expected) in [
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "\"9223372036854775808\""),
        ("-9223372036854775809", "\"-9223372036854775809\""),
        ("18446744073709551616", "\"18446744073709551616\""),
        ("123456789012345678901234567890", "\"123456789012345678901234567890\""),
        ("[1,18446744073709551615,2]", "[1,\"18446744073709551615\",2]"),
        // Strings, fractions and exponents are left alone.
        ("\"18446744073709551616\"", "\"18446744073709551616\""),
        ("\"a\\\"18446744073709551616\"", "\"a\\\"18446744073709551616\""),
        ("0.12345678901234567890", "0.12345678901234568"),
        ("12345678901234567890.5", "1.2345678901234567e+19"),
        ("12345678901234567890e2", "1.2345678901234568e+21"),
        ("1e0000000000000000000000002", "100.0"),
    ] {
        assert_eq!(round_trip(json), expected, "{json}");
    }
    let from_value = Data::from(json!({"id": u64::MAX}));
    assert_eq!(from_value, Data::parse(b"{\"id\": 18446744073709551615}").expect("parses"));
}

#[test]
fn quoting_large_integers_makes_nothing_valid_that_was_not() {
    for json in [
        "00000000000000000000001",
        "x18446744073709551616",
        "18446744073709551616x",
        "[1 18446744073709551616]",
        "{18446744073709551616: 1}",
        "{18446744073709551616 :1}",
        "--18446744073709551616",
        "+18446744073709551616",
        "18446744073709551616 18446744073709551616",
        "\"18446744073709551616",
        "\"18446744073709551616\\",
    ] {
        assert!(Data::parse(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn digit_runs_are_found_wherever_they_begin() {
    for length in 0..60 {
        for run in 0..25 {
            let text = format!("{}{}{}", "x".repeat(length), "7".repeat(run), "x".repeat(length % 7));
            assert_eq!(has_digit_run(text.as_bytes(), 19), run >= 19, "{text}");
        }
    }
}

#[test]
fn floats_keep_their_digits_and_stay_floats() {
    for float in ["1.0", "0.1", "-0.0", "5e-324", "1.7976931348623157e+308", "123456.789012345"] {
        assert_eq!(round_trip(float), float);
    }
}

/// If any package turns on `serde_json/arbitrary_precision`, numbers arrive here as objects.
#[test]
fn numbers_are_numbers_and_not_objects() {
    let data = Data::parse(b"[1, 1.5]").expect("parses");
    let items = data.0.as_array_unwrap();
    assert_eq!(items[0], Value::Integer(1));
    assert!(items[1].is_float());
}

#[test]
fn keys_come_out_sorted_and_the_last_of_equal_keys_wins() {
    assert_eq!(round_trip("{\"b\": 1, \"a\": 2, \"b\": 3}"), "{\"a\":2,\"b\":3}");
}

#[test]
fn what_is_not_json_is_refused_with_its_place_and_without_its_text() {
    for (json, place) in [
        ("", "line 1, column 0"),
        ("{\"secret\": }", "line 1, column 12"),
        ("{}\n{}", "line 2, column 1"),
        ("\"\\ud800\"", "line 1, column"),
        ("1e400", "line 1, column"),
        ("NaN", "line 1, column"),
    ] {
        let error = Data::parse(json.as_bytes()).expect_err(json).to_string();
        assert!(error.contains(place) && !error.contains("secret"), "{json}: {error}");
    }
}

#[test]
fn nesting_is_limited_on_the_way_in() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(round_trip(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
    assert!(Data::parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    assert!(Data::parse(nested(1_000_000).as_bytes()).is_err());
}

#[test]
fn a_vendors_answer_has_lower_case_headers_and_a_parsed_body() {
    let headers = [("Retry-After", "5"), ("X-A", "1"), ("x-a", "2")];
    let data = Data::from_response(429, headers, b"{\"code\": 7}");
    assert_eq!(
        data.to_json(),
        json!({"status": 429, "headers": {"retry-after": "5", "x-a": "1, 2"}, "body": {"code": 7}})
    );
    let data = Data::from_response(502, [], b"<html>\xff");
    assert_eq!(data.to_json()["body"], json!("<html>\u{fffd}"));
}

#[test]
fn arrays_come_apart_and_other_values_come_back() {
    let data = Data::parse(b"[1, {}]").expect("parses");
    assert_eq!(data.into_array().map(|items| items.len()), Ok(2));
    let data = Data::parse(b"{}").expect("parses");
    assert_eq!(data.clone().into_array(), Err(data));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e300..1e300).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_survives_the_expression_dot_unchanged(value in any_json()) {
        let event = json!({"value": value});
        let program = compile(".", Purpose::Transform).expect("compiles");
        let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
        let data = Data::parse(event.to_string().as_bytes()).expect("parses");
        let input = Input { data: &data, context: &context };
        let result = run_transform(&program, input, &Limits::default()).expect("runs");
        prop_assert_eq!(&result, &data);
        prop_assert_eq!(result.to_json(), event.clone());
        let bytes: Json = serde_json::from_slice(&result.to_json_bytes()).expect("is JSON");
        prop_assert_eq!(bytes, event);
    }

    #[test]
    fn sharing_the_body_gives_the_same_value_or_the_same_error(
        value in any_json(),
        pretty in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let told = |parsed: Result<Data, ParseError>| parsed.map(|data| data.0).map_err(|error| error.to_string());
        let mut body = text.into_bytes();
        prop_assert_eq!(told(Data::parse(&body)), told(Data::parse_shared(&body.clone().into())));
        let place = at.index(body.len());
        body[place] = byte;
        prop_assert_eq!(told(Data::parse(&body)), told(Data::parse_shared(&body.into())));
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let told = |parsed: Result<Data, ParseError>| parsed.map(|data| data.0).map_err(|error| error.to_string());
        prop_assert_eq!(told(Data::parse(&bytes)), told(Data::parse_shared(&bytes.into())));
    }

    #[test]
    fn quoting_agrees_with_the_parser_on_every_integer(digits in "-?[1-9][0-9]{0,30}") {
        let data = Data::parse(digits.as_bytes()).expect("parses");
        let expected = digits.parse::<i64>().map_or_else(|_| Json::from(digits.clone()), Json::from);
        prop_assert_eq!(data.to_json(), expected);
    }
}
