use super::*;

#[test]
fn smoke() {
    for (s, p) in [
        (".a == 1", Purpose::Filter), (".a", Purpose::Filter), ("if .a == 1 { true }", Purpose::Filter),
        ("string!(.id)", Purpose::Key), ("to_string(.id) ?? \"x\"", Purpose::Key), ("%event.subject", Purpose::Key), ("%event.id", Purpose::Key),
        ("to_int(.a)", Purpose::Key), ("x = to_int(.a)\nto_string(x)", Purpose::Key), (".a = 1", Purpose::Filter), (".a = 1", Purpose::Transform), (".a = 1\n.", Purpose::Transform),
        ("%event.id = \"x\"\n.", Purpose::Transform), ("now()", Purpose::Key), ("foo(", Purpose::Key), ("strlen(.a) == 2", Purpose::Filter), ("uuid_v4()", Purpose::Key),("abort", Purpose::Transform),
        ("{\"t\": .price * .quantity}", Purpose::Transform), ("t = .price * .quantity\n{\"t\": t}", Purpose::Transform), ("{\"t\": \"x\" * 3}", Purpose::Transform), ("{\"t\": (.a * .b * 2) ?? 0}", Purpose::Transform),
        ("split(.a, \",\")", Purpose::Transform), ("upcas(\"a\")", Purpose::Key), ("if .a { \"x\" } else { \"y\" }", Purpose::Key), ("x + 1", Purpose::Transform), ("join(.a, .b) ?? \"\"", Purpose::Key), (".a[200]", Purpose::Transform), ("", Purpose::Transform),("null", Purpose::Transform),
        ("replace(string!(.a), r'x', \"y\")", Purpose::Key), ("m = upcase!(.a)\nm", Purpose::Key), ("\"a\" + .b", Purpose::Key), ("\"a {{ x }}\"", Purpose::Key),(".status >= 500", Purpose::Outcome),(".headers.\"retry-after\" == \"5\" && .status == 429", Purpose::Outcome),
        ("if .a == 1 { abort }\n.", Purpose::Normalize), ("return true", Purpose::Filter), ("if .a == 1 { return 1 }\ntrue", Purpose::Filter), ("%integration.nme", Purpose::Key),
    ] {
        match compile(s, p) { Ok(_) => println!("OK   {p:?} {s:?}"), Err(e) => println!("ERR  {p:?} {s:?}\n     {} {e}\n{}\n", e.diagnostics[0].code, e.rendered()) }
    }
}
