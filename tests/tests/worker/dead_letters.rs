//! `ropeway dlq` on real streams: paging, showing, sending again to the one destination that failed, removing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, jetstream};
use futures::{StreamExt, stream::FuturesUnordered};
use ropeway_crds::{counters::Counts, headers as h, names::LaneId};
use ropeway_operator::offline::Observations;
use ropeway_tests::{
    scene::{PATIENCE, Scene, Worker, http_client, post, program, webhook_to},
    scratch::Scratch,
    wait::until,
};
use serde_json::{Value, json};

/// How many entries are on their way to the stream at once.
const AT_ONCE: usize = 1_000;

/// `ropeway dlq` on a scene's streams.
struct Dlq {
    data: PathBuf,
}

impl Dlq {
    fn of(scene: &Scene) -> Self {
        Self { data: scene.local().expect("the scene can be found") }
    }

    async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = tokio::process::Command::new(program("ropeway-under-test").expect("the command is built"));
        let [verb, rest @ ..] = arguments else { panic!("no verb") };
        command.args(["dlq", verb, "scene"]).args(rest).arg("--data").arg(&self.data).env_remove("ROPEWAY_NATS_URL");
        command.envs(variables.iter().copied()).kill_on_drop(true);
        command.output().await.expect("the command runs")
    }

    /// What it prints when it ends well.
    async fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--output", "json"]].concat()).await;
        serde_json::from_str(&text).expect("one JSON document")
    }

    /// What it says when it refuses.
    async fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]).await;
        assert!(!output.status.success(), "{arguments:?} ended well");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Writes dead letters as a worker does, with the ids `<prefix>-0`, `<prefix>-1`, …
async fn place(scene: &Scene, destination: &str, prefix: &str, count: usize) {
    place_large(scene, destination, prefix, count, 0).await;
}

/// The same with events that have so many bytes more.
async fn place_large(scene: &Scene, destination: &str, prefix: &str, count: usize, more: usize) {
    let plan = &scene.plan.jetstream;
    let lane = LaneId::new(&plan.integration, destination);
    let context = jetstream::new(scene.nats.connect().await.expect("a client"));
    let mut stored = FuturesUnordered::new();
    for number in 0..count {
        let id = format!("{prefix}-{number}");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (h::DELIVERY, id.as_str()),
            (h::RESEND, "0"),
            (h::ATTEMPT, "1"),
            (h::REASON, "Rejected"),
            (h::CODE, "422"),
            (h::ERROR, "the%20destination%20answered%20422"),
            (h::FIRST_FAILURE, "2026-01-02T03:04:05Z"),
            (h::LAST_FAILURE, "2026-01-02T03:04:05Z"),
            (h::INTEGRATION, "scene"),
            (h::DESTINATION, destination),
            (h::TTL, "3600s"),
            ("ce-id", id.as_str()),
            ("ce-source", "/tests"),
            ("ce-type", "test"),
        ] {
            headers.insert(name, value);
        }
        let subject = plan.names.dead_letter(&plan.integration, &lane, "Rejected", &id, 0);
        let body = json!({ "id": id, "more": "x".repeat(more) }).to_string();
        let publish = context.publish_with_headers(subject, headers, body.into()).await.expect("published");
        stored.push(publish.into_future());
        if stored.len() >= AT_ONCE {
            stored.next().await.expect("one is on its way").expect("stored");
        }
    }
    while let Some(stored) = stored.next().await {
        stored.expect("stored");
    }
}

fn ids(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// Waits until a lane has counted what it was sent again, and gives all counters.
async fn counted(scene: &Scene, destination: &str, is_there: impl Fn(&Counts) -> bool) -> Observations {
    until("the counters are flushed", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let counts = observations.figures.counts.get(destination).copied().unwrap_or_default();
        if is_there(&counts) { Ok(observations) } else { Err(format!("{counts:?}")) }
    })
    .await
    .expect("the counters come")
}

/// `received + resent − deduplicated = delivered + filtered + rejected + failed + discarded + pending`.
fn assert_balanced(observations: &Observations, destination: &str) {
    let figures = &observations.figures;
    let counts = figures.counts.get(destination).copied().unwrap_or_default();
    let Counts { resent, deduplicated, delivered, filtered, rejected, failed, discarded, .. } = counts;
    let came = figures.last_sequence + resent - deduplicated;
    let went = delivered + filtered + rejected + failed + discarded + figures.pending[destination];
    assert_eq!(came, went, "{destination}: {figures:?}");
}

async fn send(worker: &Worker, ids: &BTreeSet<String>) {
    let client = http_client();
    for id in ids {
        assert_eq!(post(&client, &worker.url, id).await, Some(200), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dead_letters_of_one_destination_go_there_again_and_nowhere_else() {
    let scene = Scene::new(webhook_to(&["a", "b", "c"])).await.expect("a scene");
    place(&scene, "b", "e", 10_000).await;
    let dlq = Dlq::of(&scene);
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let began = Instant::now();
    let result = dlq.json(&["resend", "--destination", "b", "--rate", "100000", "--yes"]).await;
    println!("10000 dead letters were sent again in {:?}", began.elapsed());
    assert_eq!(
        (&result["done"], &result["complete"], &result["messages"]),
        (&json!(10_000), &json!(true), &json!(10_000))
    );
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("b"), ids("e", 10_000));
    assert_eq!((scene.receiver.ids("a").len(), scene.receiver.ids("c").len()), (0, 0));
    let observations = counted(&scene, "b", |counts| counts.delivered == 10_000).await;
    assert_eq!(observations.figures.counts["b"].resent, 10_000);
    ["a", "b", "c"].iter().for_each(|destination| assert_balanced(&observations, destination));
    assert_eq!(dlq.json(&["stats"]).await["messages"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_dead_letters_are_listed_refused_again_and_at_last_delivered() {
    let scene = Scene::new(webhook_to(&["a", "b", "c"])).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.receiver.answer(|destination, _, times| if destination == "b" && times <= 2 { 422 } else { 200 });
    let sent = ids("e", 30);
    send(&worker, &sent).await;
    scene.drained().await.expect("everything is settled");
    let dlq = Dlq::of(&scene);
    let page = dlq.json(&["ls"]).await;
    let entries = page["entries"].as_array().expect("entries");
    let listed: BTreeSet<String> =
        entries.iter().map(|entry| entry["eventId"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(listed, sent);
    for entry in entries {
        assert_eq!(
            (&entry["destination"], &entry["reason"], &entry["code"]),
            (&json!("b"), &json!("Rejected"), &json!(422))
        );
        assert_eq!((&entry["attempts"], &entry["resends"]), (&json!(1), &json!(0)));
    }
    for (times, expected) in [
        (&["--since", "1h"][..], 30),
        (&["--until", "1h"], 0),
        (&["--since", "2999-01-01T00:00:00Z"], 0),
        (&["--since", "1h", "--until", "2999-01-01T00:00:00Z", "--code", "422,500"], 30),
    ] {
        let page = dlq.json(&[&["ls"], times].concat()).await;
        assert_eq!(page["entries"].as_array().map(Vec::len), Some(expected), "{times:?}");
    }
    // Refused again, each comes back as another dead letter of the second sending.
    let by_filter = ["resend", "--reason", "Rejected", "--code", "422", "--since", "1h", "--rate", "1000", "--yes"];
    assert_eq!(dlq.json(&by_filter).await["done"], 30);
    scene.drained().await.expect("everything is settled");
    let again = dlq.json(&["ls"]).await;
    assert!(again["entries"].as_array().expect("entries").iter().all(|entry| entry["resends"] == 1), "{again}");
    assert_eq!(scene.dead_letters("b").await.expect("dead letters"), sent);
    // One by its event id, without a question, then the rest.
    assert_eq!(dlq.json(&["resend", "--id", "e-7"]).await["done"], 1);
    let rest = dlq.text(&["resend", "--all", "--rate", "1000", "--yes"]).await;
    assert_eq!(rest, "29 dead letters sent again\n");
    scene.drained().await.expect("everything is settled");
    for destination in ["a", "b", "c"] {
        assert_eq!(
            scene.receiver.accepted(destination),
            sent.iter().map(|id| (id.clone(), 1)).collect::<BTreeMap<_, _>>()
        );
    }
    let observations = counted(&scene, "b", |counts| counts.delivered == 30).await;
    let Counts { resent, rejected, dead_lettered, .. } = observations.figures.counts["b"];
    assert_eq!((resent, rejected, dead_lettered), (60, 60, 60));
    ["a", "b", "c"].iter().for_each(|destination| assert_balanced(&observations, destination));
    assert_eq!(observations.figures.dead_letters.values().sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_sent_again_within_its_de_duplication_window_really_goes_out() {
    let mut spec = webhook_to(&["a"]);
    spec["dedup"] = json!({ "key": "string!(.id)", "window": "1h" });
    let scene = Scene::new(spec).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.receiver.answer(|_, _, times| if times == 1 { 422 } else { 200 });
    send(&worker, &ids("e", 1)).await;
    scene.drained().await.expect("it is settled");
    assert_eq!(scene.dead_letters("a").await.expect("dead letters"), ids("e", 1));
    assert_eq!(Dlq::of(&scene).json(&["resend", "--all"]).await["done"], 1);
    scene.drained().await.expect("it is settled");
    assert_eq!(scene.receiver.accepted("a"), BTreeMap::from([("e-0".to_owned(), 1)]));
    // The sender's own repeat is still one.
    send(&worker, &ids("e", 1)).await;
    scene.drained().await.expect("it is settled");
    assert_eq!(scene.receiver.accepted("a"), BTreeMap::from([("e-0".to_owned(), 1)]));
    let observations = counted(&scene, "a", |counts| counts.delivered == 1).await;
    assert_balanced(&observations, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_steps_loses_nothing_and_a_repeat_is_harmless() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let dlq = Dlq::of(&scene);
    let (mut expected, mut crashes) = (BTreeSet::new(), 0);
    // Two entries with three writes each.
    for write in 1..=6 {
        for moment in ["before", "after"] {
            let prefix = format!("e-{write}-{moment}");
            place(&scene, "a", &prefix, 2).await;
            expected.extend(ids(&prefix, 2));
            let plan = format!("{write}:{moment}");
            let resend = ["resend", "--all", "--yes"];
            let crashed = dlq.run(&resend, &[("ROPEWAY_CRASH_AT_WRITE", &plan)]).await;
            assert!(!crashed.status.success(), "{plan} did not crash");
            crashes += 1;
            dlq.text(&resend).await;
            assert_eq!(dlq.json(&["stats"]).await["messages"], 0, "{plan}");
        }
    }
    scene.drained().await.expect("everything is settled");
    let count = u64::try_from(expected.len()).expect("few");
    let observations = counted(&scene, "a", |counts| counts.delivered >= count).await;
    assert_eq!((crashes, observations.figures.counts["a"].resent), (12, count));
    assert_balanced(&observations, "a");
    assert_eq!(scene.receiver.accepted("a"), expected.into_iter().map(|id| (id, 1)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_over_a_hundred_thousand_cover_each_once_and_the_first_costs_few_requests() {
    const COUNT: usize = 100_000;
    let scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    place(&scene, "a", "e", COUNT - 10).await;
    place(&scene, "b", "f", 10).await;
    let dlq = Dlq::of(&scene);
    let watcher = scene.nats.connect().await.expect("a client");
    let mut requests = watcher.subscribe("$JS.API.>").await.expect("a subscription");
    watcher.flush().await.expect("it is in effect");
    let mut asked = async || {
        let mut asked = Vec::new();
        while let Ok(Some(request)) = tokio::time::timeout(Duration::from_millis(300), requests.next()).await {
            asked.push(request.subject.to_string());
        }
        asked
    };
    let began = Instant::now();
    let first = dlq.text(&["ls"]).await;
    println!("the first page of {COUNT} took {:?}, the start of the program included", began.elapsed());
    let (names, stream) = (&scene.plan.jetstream.names, scene.plan.jetstream.names.dead_letters_stream());
    assert_eq!(asked().await, [format!("$JS.API.DIRECT.GET.{stream}")]);
    assert_eq!(first.lines().filter(|line| line.contains("Rejected")).count(), 50);
    assert!(first.contains("99950 more: ropeway dlq ls scene") && first.contains("--limit 50 --after 50"), "{first}");
    // The last of all is one page of its destination, however many stand before it.
    let last = dlq.json(&["ls", "--destination", "b"]).await;
    assert_eq!((last["entries"].as_array().map(Vec::len), &last["next"]), (Some(10), &Value::Null));
    assert_eq!(asked().await.len(), 1);
    let began = Instant::now();
    let found = dlq.json(&["ls", "--id", "f-9"]).await;
    println!("one id among {COUNT} took {:?}", began.elapsed());
    assert_eq!(found["entries"][0]["sequence"], COUNT);

    let (mut seen, mut after) = (BTreeSet::new(), 0);
    loop {
        let page = dlq.json(&["ls", "--limit", "10000", "--after", &after.to_string()]).await;
        for entry in page["entries"].as_array().expect("entries") {
            assert!(seen.insert(entry["sequence"].as_u64().expect("a sequence")), "{entry} came twice");
        }
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), COUNT);
    drop(asked().await);
    let began = Instant::now();
    let stats = dlq.json(&["stats"]).await;
    println!("the stats of {COUNT} took {:?} and {} requests", began.elapsed(), asked().await.len());
    assert_eq!((&stats["messages"], &stats["destinations"][1]["messages"]), (&json!(COUNT), &json!(10)));
    let began = Instant::now();
    let observations = scene.observe().await.expect("observations");
    println!("one look at the figures took {:?} and {} requests", began.elapsed(), asked().await.len());
    let figures = observations.figures;
    assert_eq!((figures.dead_letters["b"], figures.reasons["Rejected"]), (10, 100_000));
    assert!(figures.oldest_dead_letter < figures.newest_dead_letter);
    assert!(figures.oldest_by_destination["a"] < figures.oldest_by_destination["b"]);
    let began = Instant::now();
    assert_eq!(dlq.json(&["purge", "--all", "--yes"]).await["done"], COUNT);
    println!("removing {COUNT} took {:?}", began.elapsed());
    let left = scene.jetstream.count(&stream, &names.dead_letters_subjects()).await.expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_too_large_for_one_answer_are_listed_and_sent_again_all_the_same() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    place_large(&scene, "a", "e", 100, 200_000).await;
    let dlq = Dlq::of(&scene);
    let page = dlq.json(&["ls", "--limit", "90"]).await;
    let sequences: Vec<u64> =
        page["entries"].as_array().expect("entries").iter().filter_map(|entry| entry["sequence"].as_u64()).collect();
    assert_eq!(sequences, (1..=90).collect::<Vec<_>>());
    assert_eq!((&page["next"], &page["remaining"]), (&json!(90), &json!(10)));
    assert_eq!(dlq.json(&["resend", "--code", "422", "--rate", "1000", "--yes"]).await["done"], 100);
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a"), ids("e", 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_shown_redacted_unless_it_is_to_be_revealed() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.receiver.answer(|_, _, _| 422);
    let client = http_client();
    let body = json!({ "id": "e-1", "email": "ann@example.com", "age": 41 }).to_string();
    let request = client.post(&worker.url).bearer_auth(ropeway_tests::scene::TOKEN).body(body);
    let answer = request.header("content-type", "application/json").send().await.expect("an answer");
    assert!(answer.status().is_success());
    scene.drained().await.expect("it is settled");
    let dlq = Dlq::of(&scene);
    let sequence = dlq.json(&["ls"]).await["entries"][0]["sequence"].to_string();
    let hidden = dlq.json(&["show", &sequence]).await;
    assert_eq!(hidden["body"], json!({ "id": "<string of 3>", "email": "<string of 15>", "age": "<number>" }));
    assert_eq!((&hidden["eventId"], &hidden["redacted"]), (&json!("e-1"), &json!(true)));
    assert_eq!(hidden["headers"]["Ropeway-Reason"], json!(["Rejected"]));
    let (plain, revealed) = (dlq.text(&["show", &sequence]).await, dlq.text(&["show", &sequence, "--reveal"]).await);
    for secret in ["ann@example.com", "41"] {
        assert!(
            !plain.lines().skip_while(|line| !line.starts_with("body")).any(|line| line.contains(secret)),
            "{plain}"
        );
        assert!(revealed.contains(secret), "{revealed}");
    }
    assert!(!hidden.to_string().contains("ann@example.com"));
    let revealed = dlq.json(&["show", &sequence, "--reveal"]).await;
    assert_eq!((&revealed["body"]["email"], &revealed["redacted"]), (&json!("ann@example.com"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_says_why_and_what_to_do_and_changes_nothing() {
    let mut scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    place(&scene, "a", "e", 3).await;
    let dlq = Dlq::of(&scene);
    let data = dlq.data.display().to_string();
    let cases: [(&[&str], &str); 7] = [
        (&["ls", "--destination", "crm"], "has no destination \"crm\" and no dead letters of one; it has a, b"),
        (&["purge"], "say which dead letters: give --destination, --reason"),
        (&["resend"], "or --all for every one"),
        (&["purge", "--all"], "3 dead letters are meant; add --yes to remove them for good, or --dry-run"),
        (&["resend", "--all"], "3 dead letters are meant; add --yes to send them again, or --dry-run"),
        (&["show", "99"], "has no dead letter 99; `ropeway dlq ls scene` lists them"),
        (&["ls", "--since", "yesterday"], "write a time such as 2026-01-31T12:00:00Z, or a duration such as 30m"),
    ];
    for (arguments, expected) in cases {
        let refusal = dlq.refusal(arguments).await;
        assert!(refusal.contains(expected), "{arguments:?}: {refusal}");
    }
    let command = program("ropeway-under-test").expect("the command is built");
    let elsewhere = Scratch::new("elsewhere").expect("a folder");
    let refuse = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(&command);
        command.args(["dlq", "ls"]).args(arguments).current_dir(elsewhere.path()).env("KUBECONFIG", "/nowhere");
        let output = command.env_remove("ROPEWAY_NATS_URL").output().await.expect("the command runs");
        assert!(!output.status.success(), "{arguments:?} ended well");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let cases: [(&[&str], &str); 6] = [
        (&["orders", "--data", &data], "has no Integration \"orders\"; it has scene"),
        (&["scene"], "there is no local run in .ropeway, and nothing says where NATS is: give --nats-url"),
        (&["scene", "--data", "."], "is `ropeway dev --data .` running?"),
        (&["scene", "--nats-url", "nats://127.0.0.1:9"], "failed to find a cluster; set KUBECONFIG"),
        (&["scene", "--nats-url", "nats://me:secret@127.0.0.1:9"], "give --nats-credentials"),
        (&["scene", "--nats-credentials", "/nowhere"], "there is no folder /nowhere"),
    ];
    for (arguments, expected) in cases {
        let refusal = refuse(arguments).await;
        assert!(refusal.contains(expected) && !refusal.contains("secret"), "{arguments:?}: {refusal}");
    }
    // A dry run counts and changes nothing; a removed destination takes nothing more, and its dead letters can go.
    let dry = dlq.json(&["purge", "--reason", "Rejected", "--dry-run"]).await;
    assert_eq!((&dry["messages"], &dry["done"], &dry["dryRun"]), (&json!(3), &json!(0), &json!(true)));
    scene.spec = webhook_to(&["b"]);
    scene.apply().await.expect("applied");
    scene.retire_removed_lanes().await.expect("the lane goes");
    scene.local().expect("written again");
    let refusal = dlq.refusal(&["resend", "--destination", "a", "--yes"]).await;
    assert!(refusal.contains("has no lane to \"a\" any more") && refusal.contains("ropeway dlq purge"), "{refusal}");
    assert_eq!(dlq.json(&["stats"]).await["messages"], 3);
    assert_eq!(dlq.text(&["purge", "--destination", "a", "--id", "e-1", "--yes"]).await, "1 dead letters removed\n");
    assert_eq!(scene.dead_letters("a").await.expect("dead letters"), ["e-0", "e-2"].map(str::to_owned).into());
    scene.nats.kill();
    let refusal = dlq.refusal(&["ls"]).await;
    assert!(refusal.contains("is `ropeway dev` still running?") && refusal.contains("failed to connect"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_finishes_what_it_has_in_hand_and_says_where_it_is() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    place(&scene, "a", "e", 1_000).await;
    let dlq = Dlq::of(&scene);
    let mut command = tokio::process::Command::new(program("ropeway-under-test").expect("the command is built"));
    command
        .args(["dlq", "resend", "scene", "--all", "--yes", "--rate", "50", "--output", "json", "--data"])
        .arg(&dlq.data);
    command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let running = command.spawn().expect("the command runs");
    let stream = scene.plan.jetstream.names.dead_letters_stream();
    let all = scene.plan.jetstream.names.dead_letters_subjects();
    until("some were sent again", PATIENCE, async || {
        let left = scene.jetstream.count(&stream, &all).await.map_err(|error| error.to_string())?;
        if left < 990 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await
    .expect("it works");
    let pid = running.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::INT).expect("a signal");
    let output = running.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let left = scene.jetstream.count(&stream, &all).await.expect("a count");
    assert_eq!((&result["complete"], &result["done"]), (&json!(false), &json!(1_000 - left)));
    let observations = scene.observe().await.expect("figures");
    assert_eq!(observations.figures.counts["a"].resent, 1_000 - left);
    assert_eq!(observations.figures.pending["a"], 1_000 - left);
}
