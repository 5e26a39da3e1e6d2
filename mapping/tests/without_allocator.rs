//! A binary that has not installed the counting allocator: the time limit alone bounds memory.

use ropeway_mapping::{
    Context, Data, EventAttributes, Input, IntegrationName, LimitKind, Limits, Purpose, RunError, compile,
    run_transform,
};

#[test]
fn a_doubling_value_still_ends_at_a_limit() {
    let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
    let data = Data::parse(b"{\"list\": [1,2,3,4,5,6,7,8,9,10]}").expect("parses");
    let input = Input { data: &data, context: &context };
    for body in ["s = s + s", "x = append(x, x)", "x = [x, x]"] {
        let source =
            format!("s = \"ab\"\nx = []\nx = push(x, 1)\nfor_each(range!(0, 1000)) -> |_i, _v| {{ {body} }}\n.");
        let program = compile(&source, Purpose::Transform).expect("compiles");
        let start = std::time::Instant::now();
        let result = run_transform(&program, input, &Limits::default());
        eprintln!("{body}: {:?}", start.elapsed());
        assert_eq!(result, Err(RunError::Limit(LimitKind::Time)), "{body}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    eprintln!("{peak:?}");
}
