use serde_json::json;

use super::*;
use crate::mapping::DestinationMapping;
use crate::program::{Program, Purpose, compile};

fn program(source: &str, purpose: Purpose) -> Option<Program> {
    Some(compile(source, purpose).unwrap_or_else(|e| panic!("{source}: {e}")))
}

fn mapping() -> Mapping {
    Mapping {
        normalize: program(".email = downcase(string!(.email))\n.", Purpose::Normalize),
        destinations: vec![
            DestinationMapping {
                name: "crm".into(),
                filter: program("ends_with(string!(.email), \"@example.com\")", Purpose::Filter),
                transform: program(
                    "{\"id\": %event.id, \"from\": %integration.name, \"email\": .email, \"total\": int!(.total)}",
                    Purpose::Transform,
                ),
            },
            DestinationMapping { name: "archive".into(), ..DestinationMapping::default() },
        ],
    }
}

fn failures(input: Value, destination: &str, expected: Expected) -> Vec<String> {
    let case = Case {
        name: "a signup".into(),
        event: EventAttributes { id: "e1".into(), ..EventAttributes::default() },
        input,
        expect: vec![Expectation { destination: destination.into(), expected }],
    };
    let integration = IntegrationName { name: "signups".into(), namespace: "crm".into() };
    let failures = run_cases(&mapping(), &integration, &[case], &Limits::default());
    failures.iter().map(ToString::to_string).collect()
}

fn failed() -> Expected {
    Expected::Error { contains: None }
}

#[test]
fn what_comes_out_as_expected_is_not_reported() {
    let event = json!({"email": "A@Example.com", "total": 3});
    let record = json!({"id": "e1", "from": "signups", "email": "a@example.com", "total": 3.0});
    for (input, destination, expected) in [
        (event.clone(), "crm", Expected::Record(record)),
        (event, "archive", Expected::Record(json!({"email": "a@example.com", "total": 3}))),
        (json!({"email": "a@other.org"}), "crm", Expected::Filtered),
        (json!({}), "crm", failed()),
        (json!({"email": "a@example.com"}), "crm", failed()),
        (
            json!({"email": "a@example.com"}),
            "crm",
            Expected::Error { contains: Some("transform: line 1, column".into()) },
        ),
        (json!([1]), "archive", Expected::Error { contains: Some("JSON object".into()) }),
        (json!({"email": "a", "id": u64::MAX}), "archive", Expected::Record(json!({"email": "a", "id": u64::MAX}))),
    ] {
        assert_eq!(failures(input, destination, expected), [""; 0]);
    }
}

#[test]
fn what_comes_out_otherwise_is_reported_with_the_first_difference() {
    let event = json!({"email": "a@example.com", "total": 3, "x": {"y": [1, {"z": 2}]}});
    let other = json!({"email": "a@other.org"});
    for (input, destination, expected, message) in [
        (
            event.clone(),
            "archive",
            Expected::Record(json!({"email": "a@example.com", "total": 3, "x": {"y": [1, {"z": "2"}]}})),
            "at .x.y[1].z: expected \"2\", got 2",
        ),
        (
            event.clone(),
            "archive",
            Expected::Record(json!({"email": "a@example.com", "total": 3, "x": {"y": [1]}})),
            "at .x.y[1]: expected nothing, got {\"z\":2}",
        ),
        (
            event.clone(),
            "archive",
            Expected::Record(json!({"email": "a@example.com", "total": 3, "a-b": null})),
            "at .\"a-b\": expected null, got nothing",
        ),
        (event.clone(), "archive", Expected::Record(json!(1)), "at .: expected 1, got {\"email\""),
        (event.clone(), "crm", Expected::Filtered, "expected the event to be filtered out, got a record: {\"email\""),
        (event.clone(), "crm", failed(), "expected an error, got a record"),
        (other.clone(), "crm", failed(), "expected an error, got it was filtered out"),
        (other, "crm", Expected::Record(json!({})), "expected a record, got it was filtered out"),
        (json!({}), "crm", Expected::Filtered, "got an error: normalize: line 1, column"),
        (
            json!({}),
            "crm",
            Expected::Error { contains: Some("quota".into()) },
            "expected an error containing \"quota\", got: normalize",
        ),
        (event, "warehouse", Expected::Filtered, "no destination named \"warehouse\""),
    ] {
        let failures = failures(input, destination, expected);
        let [failure] = failures.as_slice() else {
            panic!("{message}: {failures:?}");
        };
        assert!(failure.contains(message), "{failure} does not contain {message}");
        assert!(failure.starts_with("test \"a signup\", destination"), "{failure}");
    }
}

#[test]
fn long_values_are_cut_in_messages() {
    let long = json!("x".repeat(10_000));
    let message = first_difference(&json!({"a": long}), &json!({"a": 1})).unwrap_or_default();
    assert!(message.chars().count() < 200, "{message}");
}

#[test]
fn numbers_are_compared_by_value_and_large_ones_exactly() {
    assert_eq!(first_difference(&json!(1), &json!(1.0)), None);
    assert!(first_difference(&json!(1), &json!(1.5)).is_some());
    let (a, b) = (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64));
    assert!(first_difference(&a, &b).is_some());
}
