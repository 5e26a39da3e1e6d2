//! The command `ropeway` as a user runs it: the demo, planted losses, lint with line and column, every example.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ropeway_tests::{
    port::free_port,
    process::{Launch, Process},
    programs::{self, examples},
    scene::program,
    scratch::Scratch,
};
use rustix::process::Signal;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ropeway(arguments: &[&str]) -> Output {
    let tools = programs::find("nats-server").expect("nats-server is there");
    let path = format!(
        "{}:{}",
        tools.parent().expect("a program is in a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new(program("ropeway-under-test").expect("the command is built"));
    command.args(arguments).env("PATH", path).current_dir(root()).output().expect("the command runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

/// Runs the demo with more arguments. Its exit code, its report and what it printed.
fn demo(more: &[&str]) -> (Option<i32>, Value, String) {
    let scratch = Scratch::new("demo").expect("a folder");
    let (data, json) = (scratch.path().join("data"), scratch.path().join("demo.json"));
    let example = "examples/signups-to-marketing";
    let (script, events) = (format!("{example}/demo/sink.yaml"), format!("{example}/demo/registrations.ndjson"));
    let (data, json_path) = (data.display().to_string(), json.display().to_string());
    let mut arguments =
        vec!["dev", example, "--sink", "--sink-script", &script, "--send", &events, "--json", &json_path];
    arguments.extend(["--data", &data, "--listen", "127.0.0.1:0", "--deadline", "40"]);
    arguments.extend(more);
    let output = ropeway(&arguments);
    let report = std::fs::read(&json).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    (output.status.code(), report, text(&output))
}

#[test]
fn the_demo_accounts_for_every_event() {
    let (code, report, text) = demo(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(report["accountedFor"], true, "{text}");
    let destination = |index: usize| &report["destinations"][index];
    assert_eq!(destination(0)["counts"]["filtered"], 62, "{text}");
    assert!(destination(0)["counts"]["retried"].as_u64() >= Some(60), "{text}");
    assert_eq!(destination(1)["counts"]["delivered"], 200, "{text}");
    assert_eq!(destination(2)["counts"]["rejected"], 5, "{text}");
    assert_eq!(destination(2)["counts"]["deduplicated"], 9, "{text}");
    assert!(text.contains("every event is accounted for"), "{text}");
}

#[test]
fn a_planted_loss_makes_the_demo_fail() {
    for plant in [["--plant-sink-loss", "1"], ["--plant-send-loss", "3"]] {
        let (code, report, text) = demo(&plant);
        assert_eq!(code, Some(1), "{plant:?}: {text}");
        assert_eq!(report["accountedFor"], false, "{plant:?}: {text}");
        assert!(text.contains("LOST"), "{plant:?}: {text}");
    }
}

#[test]
fn every_example_with_events_accounts_for_each_of_them() {
    let mut seen = 0;
    for example in examples().into_iter().filter(|path| path.join("demo/events.ndjson").is_file()) {
        let scratch = Scratch::new("example").expect("a folder");
        let at = |name: &str| example.join(name).display().to_string();
        let data = scratch.path().display().to_string();
        let (folder, script, events) = (at(""), at("demo/sink.yaml"), at("demo/events.ndjson"));
        let mut arguments = vec!["dev", &folder, "--sink", "--sink-script", &script, "--send", &events];
        arguments.extend(["--data", &data, "--listen", "127.0.0.1:0", "--deadline", "40"]);
        let output = ropeway(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}: {}", example.display(), text(&output));
        assert!(text(&output).contains("every event is accounted for"), "{}: {}", example.display(), text(&output));
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} examples have events");
}

#[test]
fn every_example_is_in_order_and_its_tests_pass() {
    for example in examples() {
        let path = example.display().to_string();
        for verb in ["lint", "test", "render"] {
            let output = ropeway(&[verb, &path]);
            assert!(output.status.success(), "ropeway {verb} {path}: {}", text(&output));
        }
    }
}

#[test]
fn a_local_run_says_that_nobody_would_keep_its_tokens_unless_there_is_one() {
    let scratch = Scratch::new("tokens").expect("a folder");
    let (file, data) = (scratch.path().join("all.yaml"), scratch.path().join("data").display().to_string());
    let manifests = "\
apiVersion: ropeway.dev/v1alpha1
kind: Destination
metadata: { name: crm }
spec:
  provider: { http: { url: http://127.0.0.1:9/ } }
  auth:
    oauth2:
      grant: AuthorizationCode
      issuer: https://login.example.com
      clientId: { value: us }
";
    std::fs::write(&file, manifests).expect("written");
    let path = file.display().to_string();
    let output = ropeway(&["dev", &path, "--data", &data, "--listen", "127.0.0.1:0"]);
    let told = text(&output);
    assert!(!output.status.success(), "{told}");
    assert!(
        told.contains("all.yaml:8") && told.contains("a Secret \"ropeway-token-crm\" with the key \"access_token\""),
        "{told}"
    );
    // What is for a cluster is in order as it is.
    assert!(ropeway(&["lint", &path]).status.success());
}

#[test]
fn lint_names_file_line_and_remedy() {
    let scratch = Scratch::new("lint").expect("a folder");
    let example = root().join("examples/signups-to-marketing");
    let lint = |from: &str, to: &str| {
        for file in ["integration.yaml", "destinations.yaml", "secrets.yaml"] {
            let content = std::fs::read_to_string(example.join(file)).expect("the example is there");
            std::fs::write(scratch.path().join(file), content.replacen(from, to, 1)).expect("written");
        }
        let output = ropeway(&["lint", &scratch.path().display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{from} → {to}: {}", text(&output));
        text(&output)
    };
    let type_error = lint("filter: .consent == true", "filter: .consent");
    let original = std::fs::read_to_string(example.join("integration.yaml")).expect("the example is there");
    let line =
        1 + original.lines().position(|line| line.contains("filter: .consent == true")).expect("there is a filter");
    assert!(type_error.contains(&format!("integration.yaml:{line}: spec.destinations[braze].filter")), "{type_error}");
    assert!(type_error.contains("line 1, column 1") && type_error.contains("boolean"), "{type_error}");
    let fallible = lint("id = string!(.id)", "id = downcase(.id)");
    assert!(fallible.contains("integration.yaml:") && fallible.contains("column"), "{fallible}");
    let missing = lint("ref: hubspot-sandbox", "ref: hubspot-eu");
    assert!(missing.contains("hubspot-eu"), "{missing}");
    let unknown = lint("dedup:", "deduplicate:");
    assert!(unknown.contains("there is no field spec.deduplicate"), "{unknown}");
    let order = lint("  dedup:", "  ordering: { key: .id }\n  dedup:");
    assert!(order.contains("spec.ordering.key") && order.contains("string"), "{order}");
    let secret = lint("name: braze-sandbox, key: api-key", "name: braze-sandbox, key: apikey");
    assert!(secret.contains("apikey"), "{secret}");
    let failing_test = lint("registration_id: r-1 }", "registration_id: r-9 }");
    assert!(failing_test.contains("spec.tests"), "{failing_test}");
}

#[test]
fn the_first_command_of_the_readme_ends_well() {
    let output = Command::new("make").arg("demo").current_dir(root()).output().expect("make runs");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("every event is accounted for"), "{}", text(&output));
}

#[test]
fn the_integration_in_the_readme_is_in_order() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    let yaml =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it shows an Integration");
    let scratch = Scratch::new("readme").expect("a folder");
    std::fs::write(scratch.path().join("integration.yaml"), yaml).expect("written");
    for file in ["destinations.yaml", "secrets.yaml"] {
        let from = root().join("examples/signups-to-marketing").join(file);
        std::fs::copy(from, scratch.path().join(file)).expect("copied");
    }
    let output = ropeway(&["lint", &scratch.path().display().to_string()]);
    assert!(output.status.success(), "{}", text(&output));
}

/// Runs `check` until it says something, for a minute.
fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "{what} did not come");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_local_run_takes_events_shows_its_status_and_reads_its_files_again() {
    let scratch = Scratch::new("dev").expect("a folder");
    let files = scratch.path().join("files");
    std::fs::create_dir(&files).expect("a folder");
    let example = root().join("examples/signups-to-marketing");
    for file in ["integration.yaml", "destinations.yaml", "secrets.yaml"] {
        std::fs::copy(example.join(file), files.join(file)).expect("copied");
    }
    let (data, log) = (scratch.path().join(".ropeway"), scratch.path().join("dev.log"));
    let data = data.display().to_string();
    // A port of its own, so that the address stays over a reload.
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let arguments = ["dev", &files.display().to_string(), "--sink", "--listen", &listen, "--data", &data];
    let tools = programs::find("nats-server").expect("nats-server is there");
    let path = format!("{}:{}", tools.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let launch = Launch::at(program("ropeway-under-test").expect("built")).arguments(arguments).variable("PATH", path);
    let mut dev = Process::start("ropeway dev", launch, &log).expect("it starts");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let url = eventually("the address for events", || {
        let text = read();
        Some(text.split("send events to ").nth(1)?.lines().next()?.to_owned())
    });
    let secret = scratch.path().join("secret");
    std::fs::write(&secret, "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0wMDAx\n").expect("written");
    let (secret, events) = (secret.display().to_string(), "examples/signups-to-marketing/demo/registrations.ndjson");
    let sent = ropeway(&["send", events, "--url", &url, "--signing-secret-file", &secret, "--output", "json"]);
    assert!(text(&sent).contains("\"accepted\":209"), "{}", text(&sent));
    let status = || text(&ropeway(&["status", "--dev", &data]));
    eventually("all deliveries in the status", || {
        let shown = status();
        let row: Vec<&str> =
            shown.lines().find(|line| line.starts_with("signups-to-marketing"))?.split_whitespace().collect();
        (row.get(1..4) == Some(&["True", "True", "Running"][..]) && row.get(6) == Some(&"538")).then_some(())
    });
    assert!(status().contains("RECEIVED"), "{}", status());
    // Dead letters are found without a flag beside a local run.
    let dlq = || {
        let mut command = Command::new(program("ropeway-under-test").expect("the command is built"));
        command.args(["dlq", "stats", "signups-to-marketing"]).env_remove("ROPEWAY_NATS_URL");
        command.current_dir(scratch.path()).output().expect("the command runs")
    };
    assert_eq!(text(&dlq()), "no dead letters\n");
    // A fault in a changed file is shown, and what was in effect stays; the mended file takes effect.
    let integration = files.join("integration.yaml");
    let good = std::fs::read_to_string(&integration).expect("it is there");
    std::fs::write(&integration, good.replace("filter: .consent == true", "filter: .consent")).expect("written");
    eventually("the fault", || read().contains("spec.destinations[braze].filter").then_some(()));
    std::fs::write(&integration, good.replace("window: 24h", "window: 12h")).expect("written");
    eventually("the reload", || read().contains("the changed files are in effect").then_some(()));
    let wrong = ropeway(&["send", events, "--url", &url, "--bearer-token-file", &secret]);
    assert!(!wrong.status.success() && text(&wrong).contains("401"), "{}", text(&wrong));
    // Told to stop, it takes its nats-server along.
    dev.signal(Signal::TERM);
    eventually("the end of the local run", || dev.check().is_err().then_some(()));
    assert!(text(&dlq()).contains("there is no local run in .ropeway"), "{}", text(&dlq()));
}

#[test]
fn a_local_run_of_a_batch_source_reads_its_file_at_the_start() {
    let scratch = Scratch::new("dev-batch").expect("a folder");
    let (data, log) = (scratch.path().join(".ropeway").display().to_string(), scratch.path().join("dev.log"));
    let example = root().join("examples/accounts-to-crm").display().to_string();
    let arguments = ["dev", &example, "--sink", "--listen", "127.0.0.1:0", "--data", &data];
    let tools = programs::find("nats-server").expect("nats-server is there");
    let path = format!("{}:{}", tools.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let launch = Launch::at(program("ropeway-under-test").expect("built")).arguments(arguments).variable("PATH", path);
    let mut dev = Process::start("ropeway dev", launch, &log).expect("it starts");
    let status = || -> Value {
        let shown = ropeway(&["status", "--dev", &data, "--output", "json"]);
        let statuses: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        statuses["accounts-to-crm"].clone()
    };
    let settled = eventually("all rows delivered", || {
        let status = status();
        let done = status["source"]["lastRun"]["outcome"] == "Complete" && status["delivery"]["pending"] == 0;
        (done && status["delivery"]["delivered"] == 117).then_some(status)
    });
    let run = &settled["source"]["lastRun"];
    assert_eq!((&run["rows"], &run["refused"], &run["stored"]), (&120.into(), &2.into(), &118.into()), "{run}");
    // One row before them takes two lines.
    assert_eq!(run["refusedLines"], serde_json::json!([66, 93]), "{run}");
    assert_eq!(settled["delivery"]["filtered"], 1);
    let letters = text(&ropeway(&["dlq", "ls", "accounts-to-crm", "--data", &data]));
    assert!(letters.contains("_source") && letters.contains("line 66"), "{letters}");
    // Told to stop, it takes its nats-server with it.
    dev.signal(Signal::TERM);
    eventually("the end of the local run", || dev.check().is_err().then_some(()));
}
