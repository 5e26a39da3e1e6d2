use super::*;

struct Refused {
    source: &'static str,
    purpose: Purpose,
    at: (usize, usize),
    code: &'static str,
    message: &'static str,
    remedy: &'static str,
}

fn refused(
    purpose: Purpose,
    source: &'static str,
    at: (usize, usize),
    code: &'static str,
    message: &'static str,
    remedy: &'static str,
) -> Refused {
    Refused { source, purpose, at, code, message, remedy }
}

fn check(cases: &[Refused]) {
    for case in cases {
        let error = compile(case.source, case.purpose).expect_err(case.source);
        let [diagnostic] = error.diagnostics.as_slice() else {
            panic!("{}: {} faults: {error:?}", case.source, error.diagnostics.len());
        };
        let source = case.source;
        assert_eq!((diagnostic.line, diagnostic.column), case.at, "{source}");
        assert_eq!(diagnostic.code, case.code, "{source}");
        assert!(diagnostic.message.contains(case.message), "{source}: {diagnostic}");
        let remedy = diagnostic.remedy.as_deref().expect(source);
        assert!(remedy.contains(case.remedy), "{source}: {diagnostic}");
        let line = format!("line {}, column {}: ", case.at.0, case.at.1);
        assert!(error.to_string().starts_with(&line), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn results_have_exactly_the_type_of_their_purpose() {
    use Purpose::{Filter, Key, Normalize, Outcome, Transform};
    for (purpose, source) in [
        (Filter, ".a == 1"),
        (Filter, "bool!(.a)"),
        (Filter, "return true"),
        (Filter, "if .a == 1 { abort }\ntrue"),
        (Filter, "starts_with(%event.type, \"user.\")"),
        (Key, "string!(.id)"),
        (Key, "to_string(.id) ?? \"x\""),
        (Key, "%event.id + \"/\" + %integration.name"),
        (Key, "to_string(%event.subject)"),
        (Key, "sha2(encode_json(.))"),
        (Transform, "."),
        (Transform, "{\"id\": .id, \"at\": now()}"),
        (Transform, "[.a, .b]"),
        (Transform, ".id"),
        (Transform, ". = {\"a\": 1}"),
        (Transform, "if exists(.skip) { abort \"not for us\" }\n."),
        (Normalize, ".email = downcase(string!(.email))\n."),
        (Normalize, "{\"id\": .id}"),
        (Outcome, ".status == 429 && .headers.\"x-quota\" == \"0\""),
        (Outcome, "contains(string(.body.message) ?? \"\", \"try again\")"),
    ] {
        let program = compile(source, purpose).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!((program.purpose(), program.source()), (purpose, source));
    }
}

#[test]
fn wrong_results_are_refused_with_the_way_to_the_right_type() {
    use Purpose::{Filter, Key, Normalize, Outcome, Transform};
    check(&[
        refused(Filter, ".a", (1, 1), "E1010", "exactly boolean, but is any JSON value", "`bool!(.a)`"),
        refused(Filter, "x = 1\nif .a == x { true }", (2, 1), "E1010", "boolean or null", "`else`"),
        refused(Filter, "if .a == 1 { return 1 }\ntrue", (2, 1), "E1010", "integer or boolean", "`else`"),
        refused(Outcome, ".status", (1, 1), "E1010", "exactly boolean, but is integer", "`.status == "),
        refused(Key, "%event.subject", (1, 1), "E1010", "string or null", "`string!(%event.subject)`"),
        refused(Key, ".id", (1, 1), "E1010", "exactly string", "`to_string(.id) ?? \"default\"`"),
        refused(Key, "1", (1, 1), "E1010", "but is integer", "string!(.field)"),
        refused(Normalize, "[.]", (1, 1), "E1010", "exactly an object", "end with `.`"),
        refused(Transform, ".a = 1", (1, 1), "E1010", "value just assigned", "add a last line with `.`"),
        refused(Transform, "null", (1, 1), "E1010", "not always null", "end with `.`"),
        refused(Transform, "abort", (1, 1), "E1010", "always aborts", "under a condition"),
        refused(Key, "abort \"no\"", (1, 1), "E1010", "always aborts", "under a condition"),
        refused(Transform, "", (1, 1), "E1010", "empty", "end with `.`"),
        refused(Filter, "# only a comment", (1, 1), "E1010", "empty", "compare"),
    ]);
}

#[test]
fn faults_say_where_they_are_and_what_to_write_instead() {
    use Purpose::{Filter, Key, Transform};
    check(&[
        refused(Transform, "é = 1\n.a", (1, 1), "E203", "syntax error", "complete or remove"),
        refused(Key, "\n  to_int(.a)", (2, 3), "E100", "unhandled error", "`to_int!(.a)` to fail"),
        refused(Key, "x = to_int(.a)\nto_string(x)", (1, 5), "E103", "fallible", "`to_int(.a) ?? default`"),
        refused(Transform, "{\"é\": .a / .b}", (1, 7), "E100", "unhandled", "`(.a / .b) ?? default`"),
        refused(Transform, "{\"t\": .a * .b}", (1, 7), "E100", "unhandled", "`(.a * .b) ?? default`"),
        refused(Filter, "strlen(.a) == 2", (1, 8), "E110", "argument type", "`string!(.a)`"),
        refused(Filter, "if .a { true } else { false }", (1, 4), "E102", "predicate", "`bool!(.field)`"),
        refused(Key, "upcas(\"a\")", (1, 1), "E105", "undefined function", "upcase"),
        refused(Transform, "x + 1", (1, 1), "E701", "undefined variable", "`.x` for a field"),
        refused(Filter, ".a = 1\ntrue", (1, 1), "E315", "read-only", "variable"),
        refused(Filter, "del(.a) == 1", (1, 1), "E610", "read-only", "variable"),
        refused(Transform, "%event.id = \"x\"\n.", (1, 1), "E315", "read-only", "variable"),
        refused(Transform, "%x = 1\n.", (1, 1), "E315", "read-only", "variable"),
        refused(Key, "foo(", (1, 5), "E204", "unexpected end of program", "complete"),
        refused(Key, "now()", (1, 1), "E105", "undefined function", "%event.time"),
        refused(Transform, "uuid_v4()", (1, 1), "E105", "undefined function", "%event.id"),
        refused(Transform, "get_env_var!(\"HOME\")", (1, 1), "E105", "undefined", "nothing but the event"),
        refused(Transform, "http_request!(\"x\")", (1, 1), "E105", "undefined", "nothing but the event"),
        refused(Transform, "dns_lookup!(\"x\")", (1, 1), "E105", "undefined", "nothing but the event"),
    ]);
}

#[test]
fn several_faults_are_listed_in_the_order_of_the_source() {
    let error =
        compile("a = to_int(.a)\nb = upcas(.a)\nc = to_int(.c)\n.", Purpose::Transform).expect_err("three faults");
    let lines: Vec<usize> = error.diagnostics.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 2, 3]);
    assert!(error.to_string().ends_with("(and 2 more)"), "{error}");
}

#[test]
fn the_full_rendering_shows_the_source_with_a_caret_and_the_fix() {
    let error = compile(".total = .price * .quantity\n.", Purpose::Transform).expect_err("fallible");
    let rendered = error.rendered();
    for part in [
        "error[E103]",
        "1 │ .total = .price * .quantity",
        "^^^^^^^^^^^^^^^^^^",
        ".total, err = .price * .quantity",
        "= fix: write `(.price * .quantity) ?? default`",
    ] {
        assert!(rendered.contains(part), "{part} is missing in\n{rendered}");
    }
    assert!(!rendered.contains("REPL"), "{rendered}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_compiled() {
    let chain = |n: usize, part: &str, joint: &str| vec![part; n].join(joint);
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    let closures = |n: usize| {
        let open = "for_each([1]) -> |_i, v| { v\n".repeat(n);
        format!("{open}{}\n.", "}".repeat(n))
    };
    for (source, code) in [
        (" ".repeat(syntax::MAX_SOURCE) + ".", "E1001"),
        (format!("[{}]", chain(2_000, "1", ",")), "E1002"),
        (nested(41), "E1003"),
        (nested(8_000), "E1003"),
        (chain(42, ".a", " + "), "E1003"),
        (chain(4_000, "1", "+"), "E1003"),
        ("!".repeat(16_000) + "true", "E1003"),
        (format!("\"{}\"", "{{ a }}".repeat(41)), "E1003"),
        (chain(50, "if .a == 1 { 1 }", " else "), "E1003"),
        (closures(3), "E1004"),
        (".a".repeat(17), "E1005"),
        (format!("{} = 1\n.", ".a".repeat(17)), "E1005"),
        (format!("x, err = {{}}{}\n.", ".a".repeat(17)), "E1005"),
        (".a[101]".into(), "E1006"),
        (".a[100000000] = 1\n.".into(), "E1006"),
        (".a[-10000] = 1\n.".into(), "E1006"),
        ("x = []\nx[1000] = 1\n.".into(), "E1006"),
        ("x, .e[1000] = to_int(.a)\n.".into(), "E1006"),
        ("{\"x\": \"ab\" * 1000000000}".into(), "E1007"),
        ("{\"x\": 1000000000 * \"ab\"}".into(), "E1007"),
    ] {
        let start = std::time::Instant::now();
        let error = compile(&source, Purpose::Transform).expect_err(&source);
        assert_eq!(error.diagnostics[0].code, code, "{source:.60}: {error}");
        assert!(start.elapsed().as_millis() < 500, "{source:.60}");
    }
}

#[test]
fn what_is_just_small_enough_compiles() {
    for source in [
        format!("{}1{}", "(".repeat(39), ")".repeat(39)),
        vec!["1"; 40].join(" * "),
        ".a[100]".into(),
        ".a[-100]".into(),
        ".a".repeat(16),
        "for_each([1]) -> |_i, v| { for_each([v]) -> |_j, w| { w } }\n.".into(),
        "a = \"x\"\n\"{{ a }} and {{ a }} and {{ a }}\"".into(),
    ] {
        compile(&source, Purpose::Transform).unwrap_or_else(|e| panic!("{source}: {e}"));
    }
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&compile(".", Purpose::Transform).expect("compiles"));
}
