use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::*;
use crate::{EventAttributes, IntegrationName, Purpose, STACK_SIZE, compile};

fn context() -> Context {
    let event = EventAttributes {
        id: "e1".into(),
        source: "/shop".into(),
        r#type: "order.paid".into(),
        time: Some("2026-01-02T03:04:05Z".into()),
        extensions: [("region", "eu"), ("id", "forged")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..EventAttributes::default()
    };
    let integration = IntegrationName { name: "orders".into(), namespace: "crm".into() };
    Context::new(&event, &integration)
}

fn compiled(source: &str, purpose: Purpose) -> Program {
    compile(source, purpose).unwrap_or_else(|e| panic!("{source}: {}", e.rendered()))
}

/// Runs a transform on a thread with the stack that the documentation asks for.
fn transform(source: &str, event: &Json) -> (Result<Data, RunError>, Duration) {
    let program = compiled(source, Purpose::Transform);
    let data = Data::from(event.clone());
    let run = move || {
        let context = context();
        let input = Input { data: &data, context: &context };
        let start = Instant::now();
        let result = run_transform(&program, input, &Limits::default());
        (result, start.elapsed())
    };
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE);
    thread.spawn(run).expect("a thread starts").join().expect("the run does not panic")
}

fn json_of(source: &str, event: &Json) -> Result<Json, RunError> {
    transform(source, event).0.map(|data| data.to_json())
}

/// A loop of a million rounds, as far as it gets.
fn looped(before: &str, body: &str) -> String {
    format!(
        "{before}\nfor_each(range!(0, 1000)) -> |_i, _v| {{\n for_each(range!(0, 1000)) -> |_j, _w| {{\n {body}\n }}\n}}\n."
    )
}

#[test]
fn every_hazard_ends_quickly_at_its_limit() {
    use LimitKind::{Memory, Steps, Time};
    let text = json!({"s": "a".repeat(100_000), "list": vec!["ab"; 2_000]});
    let list = "array!(.list)";
    for (name, source, limits) in [
        (
            "nested loops",
            format!("for_each({list}) -> |_i, a| {{ for_each({list}) -> |_j, b| {{ a == b }} }}\n."),
            &[Steps, Time][..],
        ),
        ("range in range", looped("x = 0", "x = x + 1"), &[Steps]),
        ("a doubling string", looped("s = \"ab\"", "s = s + s"), &[Memory]),
        ("a doubling template", looped("s = \"ab\"", "s = \"{{ s }}{{ s }}\""), &[Memory]),
        ("a doubling array", looped("x = [1]", "x = [x, x]"), &[Memory, Time]),
        ("a doubling object", looped("x = {}", "x = {\"a\": x, \"b\": x}"), &[Memory, Time]),
        ("a doubling append", looped("x = [1]", "x = append(x, x)"), &[Memory, Time]),
        ("a doubling event", looped("", ".a = [.a, .a]"), &[Memory, Time]),
        ("a growing event", looped("", ".a = push!(array(.a) ?? [], .s)"), &[Memory, Steps, Time]),
        ("a nesting array", looped("x = [1]", "x = [x]"), &[Time, Memory, Steps]),
        ("a nesting event", looped("", ".a = [.a]"), &[Time, Memory, Steps]),
        ("replace by itself", "s = string!(.s)\n{\"s\": replace(s, \"a\", s)}".into(), &[Memory]),
        ("a regex replaced by itself", "s = string!(.s)\n{\"s\": replace(s, r'a', s)}".into(), &[Memory]),
        (
            "a group named many times",
            "s = string!(.s)\n{\"s\": replace(s, r'(a+)', \"$1$1$1$1$1$1$1$1$1$1$1$1\")}".into(),
            &[Memory],
        ),
        ("replace again and again", looped("s = \"aa\"", "s = replace(s, \"a\", s)"), &[Memory]),
        ("join by itself", "s = string!(.s)\n{\"s\": join(split(s, \"\"), s)}".into(), &[Memory]),
        (
            "a closure that grows",
            "s = string!(.s)\n{\"s\": replace_with(s, r'a') -> |_m| { s }}".into(),
            &[Memory, Time],
        ),
        ("all matches of a long text", "{\"x\": parse_regex_all!(.s, r'a')}".into(), &[Memory]),
        (
            "single characters",
            "x = split(string!(.s) + string!(.s) + string!(.s), \"\")\n{\"x\": x}".into(),
            &[Memory, Time],
        ),
        ("a result too large", "s = string!(.s)\n{\"x\": [s,s,s,s,s,s,s,s,s,s,s]}".into(), &[LimitKind::Output]),
    ] {
        let (result, time) = transform(&source, &text);
        eprintln!("{name}: {result:?} in {time:?}", result = result.as_ref().map(drop));
        match result {
            Err(RunError::Limit(limit)) => assert!(limits.contains(&limit), "{name}: {limit}"),
            other => panic!("{name}: {:?}", other.map(drop)),
        }
        assert!(time < Duration::from_millis(1_500), "{name}: {time:?}");
    }
}

#[test]
fn hazards_that_end_by_themselves_end_with_an_error_or_a_value() {
    let nested = "[".repeat(10_000) + &"]".repeat(10_000);
    let event = json!({"nested": nested, "a": "a".repeat(50_000) + "b", "zone": "x", "zero": 0, "minus": -1});
    for (name, source) in [
        ("deep JSON", "parse_json(.nested) ?? {}"),
        ("a backtracking regex", "{\"x\": match(string!(.a), r'^(a+)+$')}"),
        ("an oversized regex", "r, e = to_regex(\"(a{1000}){1000}\")\n{\"e\": e}"),
        ("a huge range", "{\"x\": length(range!(0, 9223372036854775807))}"),
        ("a large index to get", "{\"x\": get(., [\"a\", 1000000000]) ?? 1}"),
        ("a negative index to get", "{\"x\": get([1], [-1000000000]) ?? 1}"),
        ("remove beyond the end", "remove(., [\"x\", 1000000000]) ?? {}"),
        ("division by zero", "{\"x\": 1 / int(.z) ?? 0}"),
        ("an odd time format", "format_timestamp(now(), \"%Q%!%\") ?? \"\""),
        ("an odd time", "parse_timestamp(.a, \"%Y%m%d%\") ?? now()"),
        ("an odd base", "format_int(5, 99) ?? \"\""),
        ("a wild slice", "slice(.a, -9223372036854775807, 9223372036854775807) ?? \"\""),
        ("a wild truncate", "truncate(string!(.a), -5)"),
        ("a chunk of nothing", "chunks(.zone, int!(.zero)) ?? []"),
        ("a wild round", "round(1.5, precision: 400)"),
        ("an odd base64", "decode_base64(.a) ?? \"\""),
        ("an odd percent", "decode_percent(\"%%%ff%\")"),
        ("an odd duration", "parse_duration(\"99999999999999999999s\", \"ns\") ?? 0"),
        ("an odd friendly id", "uuid_from_friendly_id(.a) ?? \"\""),
        ("an odd address", "ip_cidr_contains(.zone, \"x\") ?? false"),
        ("an odd unix time", "from_unix_timestamp(9223372036854775807, unit: \"seconds\") ?? now()"),
    ] {
        let (result, time) = transform(source, &event);
        eprintln!("{name}: {:?} in {time:?}", result.as_ref().map(drop));
        assert!(!matches!(result, Err(RunError::Panicked)), "{name}");
        assert!(time < Duration::from_millis(1_500), "{name}: {time:?}");
    }
}

/// With overflow checks, as in a debug build, the smallest integer has no absolute value.
#[test]
fn a_panic_of_the_engine_is_contained() {
    let event = json!({"min": i64::MIN});
    let (result, _) = transform("{\"x\": abs(int!(.min))}", &event);
    assert!(matches!(result, Err(RunError::Panicked) | Ok(_)), "{result:?}");
    assert_eq!(json_of("{\"x\": abs(-1)}", &event), Ok(json!({"x": 1})));
}

/// The engine calls the checkpoint before every expression, also in closures. This is not in its
/// changelog; without it no limit would work.
#[test]
fn the_checkpoint_still_fires_for_every_expression() {
    let limits = |steps| Limits { steps, ..Limits::default() };
    let data = Data::from(json!({"list": [1, 2, 3]}));
    let context = context();
    let input = Input { data: &data, context: &context };
    let program = compiled("for_each(array!(.list)) -> |_i, v| { [v, 1] }\n.", Purpose::Transform);
    let enough = (1..100).find(|n| run_transform(&program, input, &limits(*n)).is_ok());
    let enough = enough.expect("the program ends");
    assert!((12..30).contains(&enough), "{enough}");
    let result = run_transform(&program, input, &limits(enough - 1));
    assert_eq!(result, Err(RunError::Limit(LimitKind::Steps)));
}

#[test]
fn results_have_the_type_that_was_compiled_for() {
    let data = Data::from(json!({"id": 7, "on": true}));
    let context = context();
    let input = Input { data: &data, context: &context };
    let limits = Limits::default();
    let filter = |source| run_filter(&compiled(source, Purpose::Filter), input, &limits);
    assert_eq!(filter(".id == 7"), Ok(true));
    assert_eq!(filter("bool!(.on) && %event.type != \"order.paid\""), Ok(false));
    let key = |source| run_key(&compiled(source, Purpose::Key), input, &limits);
    assert_eq!(key("to_string!(.id)"), Ok("7".into()));
    let names = "%event.id + %event.source + %integration.namespace + to_string(%event.region)";
    assert_eq!(key(names), Ok("e1/shopcrmeu".into()));
    assert_eq!(key("to_string(%event.subject)"), Ok(String::new()));
    // A program that is run for another purpose than its own is an error and not a surprise.
    let key = compiled("\"x\"", Purpose::Key);
    assert!(
        matches!(run_filter(&key, input, &limits), Err(RunError::Failed { message }) if message.contains("expected the result to be a boolean, got string"))
    );
}

#[test]
fn an_outcome_sees_status_headers_and_body() {
    let data = Data::from_response(429, [("Retry-After", "5")], b"{\"code\": \"quota\"}");
    let context = context();
    let input = Input { data: &data, context: &context };
    let source = ".status == 429 && .headers.\"retry-after\" == \"5\" && .body.code == \"quota\"";
    let program = compiled(source, Purpose::Outcome);
    assert_eq!(run_outcome(&program, input, &Limits::default()), Ok(true));
}

#[test]
fn a_run_never_changes_its_input() {
    let event = json!({"a": {"b": 1}, "c": [1]});
    let data = Data::from(event.clone());
    let context = context();
    let input = Input { data: &data, context: &context };
    for source in [
        ".a.b = 2\ndel(.c)\n.",
        ". = {}\n.x = 1\n.",
        ".a.b = 2\nif .a.b == 2 { abort }\n.",
        ".a.b = 2\nx = to_int!(.c)\n.",
    ] {
        let _ = run_transform(&compiled(source, Purpose::Transform), input, &Limits::default());
        assert_eq!(data.to_json(), event, "{source}");
    }
    let changed = json_of(".a.b = 2\ndel(.c)\n.", &event);
    assert_eq!(changed, Ok(json!({"a": {"b": 2}})));
    assert_eq!(json_of("x = .\nx.a.b = 3\n{\"old\": .a.b, \"new\": x.a.b}", &event), Ok(json!({"old": 1, "new": 3})));
}

#[test]
fn variables_do_not_survive_from_one_event_to_the_next() {
    let program =
        compiled("seen = null\nif .first == true { seen = \"secret\" }\n{\"seen\": seen}", Purpose::Transform);
    let context = context();
    let run = |event: Json| {
        let data = Data::from(event);
        let input = Input { data: &data, context: &context };
        run_transform(&program, input, &Limits::default()).map(|data| data.to_json())
    };
    assert_eq!(run(json!({"first": true})), Ok(json!({"seen": "secret"})));
    assert_eq!(run(json!({})), Ok(json!({"seen": null})));
}

#[test]
fn failures_say_where_and_why_and_not_on_what() {
    let event = json!({"card": "4111-1111", "list": "x"});
    for (source, message) in [
        ("x = 1\n{\"n\": to_int!(.card)}", "line 2, column 7: `to_int` failed"),
        ("{\"n\": push!(.list, to_int!(.card))}", "line 1, column 20: `to_int` failed"),
        ("{\"n\": push!(.list, 1)}", "line 1, column 7: `push` failed: expected array, got string"),
        ("if true { abort \"no email\" }\n.", "line 1, column 11: aborted: no email"),
        ("if true { abort }\n.", "line 1, column 11: aborted"),
        ("assert!(.a == 1, message: \"a is not 1\")\n.", "line 1, column 1: `assert` failed: a is not 1"),
        ("parse_timestamp!(.card, \"%Y\")", "line 1, column 1: `parse_timestamp` failed"),
        ("parse_json!(.card)", "line 1, column 1: `parse_json` failed"),
        ("{\"x\": int!(.card) * 2}", "`int` failed: expected integer, got string"),
    ] {
        let Err(RunError::Failed { message: got }) = json_of(source, &event) else {
            panic!("{source} did not fail");
        };
        assert!(got.contains(message), "{source}: {got}");
        assert!(!got.contains("4111"), "{source}: {got}");
        assert!(got.chars().count() <= 256);
    }
    let long = format!("if true {{ abort \"{}\" }}\n.", "x".repeat(1_000));
    let Err(RunError::Failed { message }) = json_of(&long, &event) else {
        panic!("it did not fail");
    };
    assert_eq!(message.chars().count(), 256);
}

#[test]
fn events_that_are_not_objects_are_refused() {
    assert_eq!(
        json_of(".", &json!([1])),
        Err(RunError::Failed { message: "expected a JSON object, got array".into() })
    );
}

#[test]
fn infinite_numbers_and_results_nested_too_deep_are_refused() {
    let event = json!({"big": 1e308});
    let result = json_of("{\"x\": float!(.big) * 100.0}", &event);
    assert!(matches!(result, Err(RunError::Failed { message }) if message.contains("infinite")));
    let nest = |rounds: usize| format!("x = []\nfor_each(range!(0, {rounds})) -> |_i, _v| {{ x = [x] }}\nx");
    assert!(json_of(&nest(126), &event).is_ok());
    assert_eq!(json_of(&nest(127), &event), Err(RunError::Limit(LimitKind::Output)));
}

#[test]
fn the_time_zone_of_the_machine_does_not_matter() {
    let source = "{\"t\": parse_timestamp!(\"2026-01-02 03:04\", \"%Y-%m-%d %H:%M\")}";
    assert_eq!(json_of(source, &json!({})), Ok(json!({"t": "2026-01-02T03:04:00Z"})));
}

#[test]
fn whether_the_last_expression_assigns_its_value_to_the_event_makes_no_difference() {
    let event = json!({"a": 1, "b": {"c": 2}});
    for (source, expected) in [
        (". = {\"x\": .b}", json!({"x": {"c": 2}})),
        (". = .b\n. = {\"x\": .c}", json!({"x": 2})),
        (".b = {\"c\": 3}\n.", json!({"a": 1, "b": {"c": 3}})),
        ("x = {\"y\": .a}\n. = x\n.", json!({"y": 1})),
        (". |= {\"a\": 5}\n.", json!({"a": 5, "b": {"c": 2}})),
        (". = {\"x\": replace(string!(%event.id), \"e\", \"--\")}", json!({"x": "--1"})),
    ] {
        assert_eq!(json_of(source, &event), Ok(expected), "{source}");
    }
}

#[test]
fn whether_an_expression_reads_metadata_is_known_before() {
    for (source, reads) in [
        (".", false),
        (". = {\"x\": .a}", false),
        ("%event.id", true),
        ("x = %\n{\"x\": x.event.id}", true),
        ("{\"x\": upcase(string!(%integration.name))}", true),
        ("map_values({\"a\": 1}) -> |_v| { %event.time }", true),
        ("if exists(%event.subject) { {} } else { . }", true),
    ] {
        assert_eq!(compiled(source, Purpose::Transform).reads_metadata(), reads, "{source}");
    }
}
