use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::lists::OWN;
use super::*;
use crate::{
    Context, Data, EventAttributes, Input, IntegrationName, LimitKind, Limits, RunError, compile, run_transform,
};

fn run(source: &str, event: &Json) -> Result<Json, RunError> {
    let program = compile(source, Purpose::Transform).unwrap_or_else(|e| panic!("{source}: {e}"));
    let data = Data::from(event.clone());
    let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
    let input = Input { data: &data, context: &context };
    run_transform(&program, input, &Limits::default()).map(|data| data.to_json())
}

#[test]
fn every_function_of_the_engine_is_on_exactly_one_list() {
    let denied = || DENIED.iter().flat_map(|(_, names)| names.iter());
    for function in vrl::stdlib::all() {
        let name = function.identifier();
        let allowed = ALLOWED.contains(&name) || OWN.contains(&name);
        // The clock is on two: allowed for some purposes, with a reason for the others.
        let refused = denied().any(|denied| *denied == name) && !CLOCK.contains(&name);
        let clock = CLOCK.contains(&name);
        let lists = [allowed, refused, clock].into_iter().filter(|on| *on).count();
        assert_eq!(lists, 1, "{name}");
    }
    let engine: BTreeSet<&str> = vrl::stdlib::all().iter().map(|f| f.identifier()).collect();
    for name in ALLOWED.iter().chain(CLOCK) {
        assert!(engine.contains(name), "{name} is not a function of the engine");
    }
    for (name, keyword, _) in BOUNDED {
        let function = TIMED.iter().find(|f| f.identifier() == *name).expect(name);
        assert!(function.parameters().iter().any(|p| p.keyword == *keyword), "{name}");
    }
}

#[test]
fn nothing_that_sees_more_than_the_event_can_be_called() {
    for purpose in [Purpose::Filter, Purpose::Key, Purpose::Transform, Purpose::Normalize, Purpose::Outcome] {
        let names = names(purpose);
        for name in &names {
            let outside = ["random", "uuid_v", "dns", "http", "env", "hostname", "secret", "crypt", "log", "timezone"];
            assert!(!outside.iter().any(|part| name.contains(part)), "{name}");
        }
        let clock = matches!(purpose, Purpose::Filter | Purpose::Transform | Purpose::Normalize);
        assert_eq!(names.contains(&"now"), clock, "{purpose:?}");
        assert!(!names.contains(&at_most::NAME));
    }
}

#[test]
fn replace_and_join_answer_as_the_engines_own() {
    let own = select(&[ALLOWED]);
    let theirs: Functions = vrl::stdlib::all();
    let answer = |source: &str, functions: &Functions| {
        let program = vrl::compiler::compile(source, functions).unwrap_or_else(|e| panic!("{source}: {e:?}")).program;
        let mut target = vrl::compiler::TargetValue {
            value: vrl::value::Value::Null,
            metadata: vrl::value::Value::Null,
            secrets: vrl::value::Secrets::new(),
        };
        vrl::compiler::runtime::Runtime::default().resolve(&mut target, &program, &vrl::compiler::TimeZone::default())
    };
    for source in [
        r#"replace("abcabc", "b", "é")"#,
        r#"replace("abcabc", "b", "xx", count: 1)"#,
        r#"replace("abcabc", "b", "xx", 0)"#,
        r#"replace("abc", "", "-")"#,
        r#"replace("abc", "", "-", count: 2)"#,
        r#"replace("", "", "-")"#,
        r#"replace("", "a", "-")"#,
        r#"replace("abcabc", r'[ac]', "")"#,
        r#"replace("abc", r'.*', "x")"#,
        r#"replace("abc", r'', "-")"#,
        r#"replace("abcabc", r'(?P<x>b)(c)', "<$x$2$$>")"#,
        r#"replace("abcabc", r'(b)', "<${1}>", count: 1)"#,
        r#"replace("abcabc", r'b', "x", count: 0)"#,
        r#"replace("éàü", r'à', "$0$0")"#,
        r#"replace("abc", r'z', "x")"#,
        r#"join(["a", "é", ""])"#,
        r#"join(["a", "b"], ", ")"#,
        r#"join([], ", ")"#,
        r#"join(["a"], separator: ", ")"#,
    ] {
        assert_eq!(answer(source, &own), answer(source, &theirs), "{source}");
    }
}

#[test]
fn multiplication_gives_what_it_should_for_numbers_and_fails_for_text() {
    let event = json!({"i": 6, "f": 1.5, "s": "ab", "n": null, "z": -0.0});
    for (source, expected) in [
        ("{\"x\": int!(.i) * 7}", json!(42)),
        ("{\"x\": 2 * 3 * 7}", json!(42)),
        ("{\"x\": (.i * .f * 2) ?? 0}", json!(18.0)),
        ("{\"x\": (.i * .i) ?? 0}", json!(36)),
        ("{\"x\": (.s * 1000000000) ?? 0}", json!(0)),
        ("{\"x\": (1000000000 * .s) ?? 0}", json!(0)),
        ("{\"x\": (.n * 2) ?? -1}", json!(-1)),
        ("{\"x\": (.z * 1) ?? -1}", json!(-0.0)),
        ("s = \"ab\"\nx = (s * 1000000000) ?? 1\n{\"x\": x}", json!(1)),
    ] {
        assert_eq!(run(source, &event).map(|r| r["x"].clone()), Ok(expected), "{source}");
    }
}

#[test]
fn arguments_are_bounded_by_position_and_by_keyword() {
    let long = json!({"s": "a,".repeat(200_000)});
    for source in [
        "split(string!(.s), \",\")",
        "split(pattern: \",\", value: string!(.s))",
        "split!(.s, \",\")",
        "split(.s, \",\") ?? []",
        "x, err = split(.s, \",\")\n{\"x\": x, \"e\": err}",
        "map_values({\"a\": .s}) -> |v| { split(v, \",\") ?? [] }",
        "parse_json(.s) ?? {}",
        "parse_regex_all(.s, r'.') ?? []",
        "parse_regex_all!(pattern: r'.', value: .s)",
        "chunks!(.s, 1)",
        "parse_csv(.s) ?? []",
    ] {
        let result = run(source, &long);
        match source {
            // An error that the expression handles is the expression's own affair.
            _ if source.contains("??") || source.contains("err") => {
                assert!(result.is_ok(), "{source}: {result:?}");
            }
            _ => assert_eq!(result, Err(RunError::Limit(LimitKind::Memory)), "{source}"),
        }
    }
    let short = json!({"s": "a,b"});
    assert_eq!(run("split(string!(.s), \",\")", &short), Ok(json!(["a", "b"])));
    assert_eq!(run("split(.s, \",\", limit: 1) ?? []", &short), Ok(json!(["a,b"])));
    assert_eq!(run("split(limit: 1, pattern: \",\", value: .s) ?? []", &short), Ok(json!(["a,b"])));
}

#[test]
fn digests_are_available() {
    let event = json!({"id": "a"});
    for (source, expected) in [
        ("md5(\"a\")", "0cc175b9c0f1b6a831c399e269772661"),
        ("slice!(sha2(\"a\", variant: \"SHA-256\"), 0, 8)", "ca978112"),
        ("slice!(encode_base16(hmac(\"a\", \"k\")), 0, 4)", "3a88"),
    ] {
        let result = run(source, &event).expect(source);
        let text = result.as_str().unwrap_or_default();
        assert!(source.contains("hmac") || text == expected, "{source}: {text}");
    }
}

/// Values on which functions have failed badly before, small enough for an event.
fn odd_values() -> Vec<Json> {
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    vec![
        json!(""),
        json!("é\u{0}%x"),
        json!("%Q%!%"),
        json!("-9223372036854775808"),
        json!("2026-01-02T03:04:05Z"),
        json!("a=\"b c\" {[(,;&=%41\\\""),
        json!("a1,".repeat(3_000)),
        json!("((((((((((((((((a{100}){100}){100}"),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(-1),
        json!(0),
        json!(40),
        json!(1e308),
        json!(-0.0),
        json!([]),
        json!(["é", null, [1], {"a": 1}]),
        json!(vec!["ab"; 1_000]),
        json!({}),
        json!({"a": {"b": [1, {"c": null}]}, "": 1}),
        nested,
        json!(null),
        json!(true),
    ]
}

/// Calls that panic inside the engine, by function and value: contained, and of no use to anybody.
const PANICS: &[(&str, i64)] = &[("abs", i64::MIN), ("format_int", i64::MIN)];

#[test]
fn no_allowed_function_panics_or_takes_long_on_odd_values() {
    let values = odd_values();
    let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
    let mut called = BTreeSet::new();
    for function in TIMED.iter().filter(|f| f.closure().is_none()) {
        let name = function.identifier();
        for arity in 1..=function.parameters().len().min(3) {
            let arguments = [".a", ".b", ".c"][..arity].join(", ");
            // Functions that can't fail or want constants don't compile like this.
            let source = format!("{{\"x\": {name}!({arguments})}}");
            let Ok(program) = compile(&source, Purpose::Transform) else {
                continue;
            };
            called.insert(name);
            // Three free arguments have too many combinations for a test: every 37th.
            let step = if arity == 3 { 37 } else { 1 };
            let combinations = (0..values.len().pow(u32::try_from(arity).expect("small"))).step_by(step);
            for combination in combinations {
                let value = |place: u32| &values[combination / values.len().pow(place) % values.len()];
                let data = Data::from(json!({"a": value(0), "b": value(1), "c": value(2)}));
                let input = Input { data: &data, context: &context };
                let start = std::time::Instant::now();
                let result = run_transform(&program, input, &Limits::default());
                let time = start.elapsed();
                let known = PANICS.iter().any(|(f, v)| *f == name && *value(0) == *v);
                let shown = || format!("{source} on {:.200}, {:.200}", value(0).to_string(), value(1).to_string());
                assert!(known || result != Err(RunError::Panicked), "{}", shown());
                assert!(time.as_millis() < 500, "{} took {time:?}", shown());
            }
        }
    }
    assert!(called.len() > 50, "{called:?}");
}

#[test]
fn a_wrong_type_is_an_error_that_can_be_handled_and_never_a_panic() {
    let event = json!({"n": 1, "s": "aB"});
    assert_eq!(run("{\"x\": snakecase(.n) ?? \"none\"}", &event), Ok(json!({"x": "none"})));
    assert_eq!(run("{\"x\": snakecase(.s) ?? \"none\"}", &event), Ok(json!({"x": "a_b"})));
    assert_eq!(run("{\"x\": split(.n, \",\") ?? []}", &event), Ok(json!({"x": []})));
}
