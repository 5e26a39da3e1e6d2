//! Source that would take the compiler's process down, compiled in a child process.

use std::path::Path;
use std::time::{Duration, Instant};

use ropeway_mapping::{Purpose, UntrustedError, compile, compile_in_child};

const CHILD: &str = env!("CARGO_BIN_EXE_compile-child");

fn check(source: &str, purpose: Purpose) -> Result<(), UntrustedError> {
    compile_in_child(Path::new(CHILD), source, purpose)
}

#[test]
fn good_source_passes_within_milliseconds() {
    let start = Instant::now();
    check(".a == \"é\"", Purpose::Filter).expect("compiles");
    let first = start.elapsed();
    check("{\"id\": .id}", Purpose::Transform).expect("compiles");
    eprintln!("first {first:?}, both {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn bad_source_gives_the_same_diagnostics_as_in_this_process() {
    for source in [".a", "to_int(.a)\nupcas(.b)", "foo(", "{\"x\": .a * .b}", &"\"\\\u{1}".repeat(5_000)] {
        let here = compile(source, Purpose::Filter).expect_err(source);
        let Err(UntrustedError::Refused(there)) = check(source, Purpose::Filter) else {
            panic!("{source} was not refused");
        };
        assert_eq!(here, there);
    }
}

#[test]
fn source_that_is_too_long_is_refused_without_a_child() {
    let source = "x".repeat(100_000);
    let result = compile_in_child(Path::new("/nonexistent"), &source, Purpose::Filter);
    assert!(matches!(result, Err(UntrustedError::Refused(error)) if error.diagnostics[0].code == "E1001"));
}

/// None of these gets past the syntax check by accident: each is small, and most of them would kill
/// the process that compiles it.
#[test]
fn hazards_of_compiling_end_the_child_and_nothing_else() {
    let nested_types = |n: usize| {
        let lines: Vec<String> = (0..n).map(|_| "x = {\"a\": x, \"b\": x}".to_owned()).collect();
        format!("x = {{}}\n{}\n.", lines.join("\n"))
    };
    let doubling = |n: usize| format!("s = \"{}\"\n{}.", "x".repeat(1_000), "s = s + s\n".repeat(n));
    let arrays = |n: usize| format!("x = [1]\n{}.", "x = [x, x]\n".repeat(n));
    let closures = |n: usize| {
        let open = "for_each([1]) -> |_i, v| { v\n".repeat(n);
        format!("{open}{}\n.", "}".repeat(n))
    };
    for (name, source) in [
        ("doubling object types", nested_types(30)),
        ("doubling array types", arrays(30)),
        ("doubling constants", doubling(30)),
        ("parentheses", format!("{}1{}", "(".repeat(480), ")".repeat(480))),
        ("brackets", "[".repeat(16_000)),
        ("negations", "!".repeat(16_000) + "true"),
        ("additions", vec!["1"; 8_000].join("+")),
        ("alternatives", vec!["if .a == 1 { 1 }"; 400].join(" else ")),
        ("calls", format!("{}1{}", "to_string(".repeat(205), ")".repeat(205))),
        ("closures", closures(17)),
        ("a negative index", ".a[-10000] = 1\n.".to_owned()),
        ("a repeated constant", "{\"x\": \"ab\" * 9000000000000000000}".to_owned()),
        (
            "a repeated variable",
            "s = \"ab\"\n{\"x\": (s * 9000000000) ?? 1, \"y\": to_int(s * 9000000000) ?? 1}".to_owned(),
        ),
    ] {
        let start = Instant::now();
        let result = check(&source, Purpose::Transform);
        let time = start.elapsed();
        match &result {
            Err(UntrustedError::Refused(error)) => eprintln!("{name}: {error} in {time:?}"),
            other => eprintln!("{name}: {other:?} in {time:?}"),
        }
        assert!(!matches!(result, Err(UntrustedError::Child(_))), "{name}");
        assert!(time < Duration::from_secs(6), "{name}: {time:?}");
        if name.ends_with(" types") {
            assert!(
                matches!(result, Err(UntrustedError::Refused(error)) if error.diagnostics[0].code == "E1008"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_child_that_can_not_be_started_is_not_the_fault_of_the_source() {
    let result = compile_in_child(Path::new("/nonexistent"), ".", Purpose::Transform);
    assert!(matches!(result, Err(UntrustedError::Child(_))));
}

#[test]
fn a_child_that_says_nothing_is_a_refusal() {
    let result = compile_in_child(Path::new("/bin/true"), ".", Purpose::Transform);
    assert!(matches!(result, Err(UntrustedError::Refused(error)) if error.diagnostics[0].code == "E1008"));
}

#[test]
fn a_child_that_hangs_is_ended_at_the_deadline() {
    // A file of the repository: one that is written here may still be open in a child of another test, and can't be run then.
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hanging-child.sh"));
    let start = Instant::now();
    let result = compile_in_child(script, ".", Purpose::Transform);
    assert!(matches!(result, Err(UntrustedError::Refused(error)) if error.diagnostics[0].code == "E1008"));
    assert!(start.elapsed() < Duration::from_secs(8));
}
