//! The commands `cursor` and `backfill` against a worker that polls, and the example under `ropeway dev`.

use std::{
    path::Path,
    process::{Command, Output},
};

use ropeway_tests::{
    paged::{Answer, Paged, at, row},
    process::{Launch, Process},
    programs,
    scene::{PATIENCE, Scene, program},
    scratch::Scratch,
    wait::until,
};
use serde_json::{Value, json};

use super::poll::{another_run, arrived, pages, polling, record_is};

fn ropeway(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("ropeway-under-test").expect("the command is built"));
    command.args(arguments).env_remove("ROPEWAY_NATS_URL").output().expect("the command runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn rows(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(|number| row(&format!("r-{number}"), number)).collect()
}

/// A backfill that the API refuses stands in the status, although polling goes on and all else is well.
async fn a_failed_backfill_is_told(scene: &Scene, api: &Paged, run: &impl Fn(&[&str]) -> (bool, String)) {
    api.instead(|asked| asked.query.contains_key("until").then(|| Answer::status(403)));
    let (done, told) = run(&["backfill", "scene", "--from", &at(50), "--to", &at(59)]);
    assert!(done, "{told}");
    until("the status tells of it", PATIENCE, async || {
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let backfill = status.source.and_then(|source| source.backfill).ok_or("no backfill")?;
        let run = backfill.run.ok_or("no run")?;
        let is_it = backfill.from == at(50) && run.outcome == "PollRefused" && run.completion_time.is_some();
        let is_told = run.message.as_ref().is_some_and(|message| message.contains("403"));
        if is_it && is_told { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await
    .expect("it tells");
    let (status, reason) = scene.condition("SourceReady").await.expect("a condition");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "StreamReady"), "the live runs are well");
    api.recover();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_shown_set_and_cleared_and_a_backfill_leaves_it_alone() {
    let api = Paged::start(rows(0..100), 10).await.expect("an API");
    let cursor = json!({ "field": "/updated", "param": "since", "lookback": "5s", "untilParam": "until" });
    let spec = polling(&api, "/token", json!({ "pagination": pages("/token"), "cursor": cursor }));
    let scene = Scene::new(spec).await.expect("a scene");
    let data = scene.local().expect("a local run").display().to_string();
    let run = |arguments: &[&str]| {
        let output = ropeway(&[arguments, &["--data", &data]].concat());
        (output.status.success(), text(&output))
    };
    let (done, told) = run(&["cursor", "show", "scene"]);
    assert!(!done && told.contains("was never polled"), "{told}");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    arrived(&scene, 100).await;
    another_run(&scene).await;
    let (done, told) = run(&["cursor", "show", "scene"]);
    assert!(done && told.contains(&format!("cursor    {}", at(99))) && told.contains("Complete"), "{told}");
    for (arguments, words) in [
        (&["cursor", "set", "scene", "yesterday"][..], "is not a time such as"),
        (&["backfill", "scene", "--from", &at(9), "--to", &at(5)], "comes before --from"),
        (&["cursor", "show", "nobody"], "has no Integration \"nobody\""),
    ] {
        let (done, told) = run(arguments);
        assert!(!done && told.contains(words), "{told}");
    }

    // A range: its rows are events again, and the live cursor goes on from where it is.
    let (done, told) = run(&["backfill", "scene", "--from", &at(10), "--to", &at(39)]);
    assert!(done && told.contains("waits for the poller"), "{told}");
    let record =
        record_is(&scene, "the backfill ends", |record| record.backfill.as_ref().is_some_and(|it| it.result.is_some()))
            .await;
    let result = record.backfill.and_then(|backfill| backfill.result).expect("a result");
    assert_eq!((result.pages, result.items, result.stored, result.outcome.as_str()), (3, 30, 30, "Complete"));
    assert_eq!(record.cursor, Some(at(99)));
    let (_, told) = run(&["cursor", "show", "scene"]);
    assert!(told.contains(&format!("backfill  from {} to {}: Complete", at(10), at(39))), "{told}");
    let status = scene.status().await.expect("a status").source.expect("a source").backfill.expect("a backfill");
    assert_eq!(status.run.expect("a run").stored, 30);
    scene.drained().await.expect("everything is settled");
    let accepted = scene.receiver.accepted("a");
    assert!((0..100).all(|number| accepted[&format!("r-{number}")] == 1 + usize::from((10..40).contains(&number))));
    assert!(api.asked().iter().any(|asked| asked.query.get("until") == Some(&at(39))));

    a_failed_backfill_is_told(&scene, &api, &run).await;

    // Set back: what follows is read again, and nothing before it.
    let (done, told) = run(&["cursor", "set", "scene", &at(90)]);
    assert!(done && told.contains(&at(90)), "{told}");
    until("the rows arrive again", PATIENCE, async || {
        let again = (90..100).filter(|number| scene.receiver.accepted("a")[&format!("r-{number}")] == 2).count();
        if again == 10 { Ok(()) } else { Err(format!("{again} of 10")) }
    })
    .await
    .expect("the rows arrive again");
    another_run(&scene).await;
    another_run(&scene).await;
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.accepted("a").values().sum::<usize>(), 100 + 30 + 10);
    let (done, told) = run(&["cursor", "clear", "scene", "--output", "json"]);
    let shown: Value = serde_json::from_str(&told).expect("JSON");
    assert!(done && shown["cursor"].is_null(), "{told}");
    until("everything arrives again", PATIENCE, async || {
        let sum = scene.receiver.accepted("a").values().sum::<usize>();
        if sum >= 240 { Ok(()) } else { Err(sum.to_string()) }
    })
    .await
    .expect("everything arrives again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipments_of_the_example_reach_the_shop_under_a_local_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there");
    let scratch = Scratch::new("shipments").expect("a folder");
    let (data, log) = (scratch.path().join(".ropeway").display().to_string(), scratch.path().join("dev.log"));
    let example = root.join("examples/shipments-to-shop");
    let tools = programs::find("nats-server").expect("nats-server is there");
    let path = format!("{}:{}", tools.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let launch = Launch::at(program("ropeway-under-test").expect("built"))
        .argument("dev")
        .argument(&example)
        .argument("--sink")
        .argument("--sink-script")
        .argument(example.join("demo/sink.yaml"))
        .arguments(["--listen", "127.0.0.1:0", "--data", &data])
        .variable("PATH", path);
    let mut dev = Process::start("ropeway dev", launch, &log).expect("it starts");
    let seen = until("every shipment with a parcel is delivered", PATIENCE, async || {
        let shown = ropeway(&["status", "--dev", &data, "--output", "json"]);
        let status: Value = serde_json::from_slice(&shown.stdout).map_err(|_| text(&shown))?;
        let status = status["shipments-to-shop"].clone();
        let done = status["delivery"]["delivered"] == json!(144) && status["delivery"]["filtered"] == json!(36);
        if done { Ok(status) } else { Err(status.to_string()) }
    })
    .await
    .expect("the example runs");
    assert_eq!(seen["pattern"], "Poll");
    assert_eq!(seen["source"]["cursor"], "2026-11-19T17:53:00Z");
    assert_eq!(seen["source"]["lastRun"]["pages"], 4);
    let ready = seen["conditions"].as_array().expect("conditions").iter().find(|it| it["type"] == "Ready");
    assert_eq!(ready.expect("a condition")["status"], "True");
    let output = ropeway(&["cursor", "show", "shipments-to-shop", "--data", &data]);
    assert!(text(&output).contains("180 stored"), "{}", text(&output));
    let mut told = std::fs::read_to_string(&log).expect("a log");
    told.truncate(20_000);
    assert!(told.contains("shipments-to-shop: polls http://127.0.0.1:"), "{told}");
    // Told to stop, it takes its nats-server with it.
    dev.stop(PATIENCE).await;
}
