//! Files that are read row by row: formats, changes, refused rows, full streams, two readers.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use ropeway_crds::{names::LaneId, status::RunStatus};
use ropeway_tests::{
    files::{FileServer, Served},
    process::tail,
    scene::{PATIENCE, Scene},
    wait::until,
};
use serde_json::{Value, json};

/// A spec that reads this address in this format.
pub fn batch_from(url: &str, format: &Value) -> Value {
    json!({
        "source": { "batch": { "schedule": "0 2 * * *", "from": { "http": { "url": url } }, "format": format } },
        "destinations": [{ "name": "crm", "ref": "crm" }],
    })
}

/// The rows `{"id": "r0"}` and so on, as lines.
pub fn lines(count: usize) -> String {
    (0..count).map(|row| format!("{{\"id\":\"r{row}\"}}\n")).collect()
}

/// The last run as the status tells it.
pub async fn last_run(scene: &Scene) -> RunStatus {
    let status = scene.status().await.expect("a status");
    status.source.and_then(|source| source.last_run).expect("a run was reported")
}

/// Where the refused rows stood, with the reason that their dead letters give.
pub async fn refused(scene: &Scene) -> BTreeMap<String, String> {
    let plan = &scene.plan.jetstream;
    let filter = plan
        .names
        .dead_letters_of_lane(&plan.integration, &LaneId::new(&plan.integration, ropeway_crds::names::SOURCE));
    let (mut found, mut from) = (BTreeMap::new(), 1);
    while let Some(letter) =
        scene.jetstream.next_message(&plan.names.dead_letters_stream(), &filter, from).await.expect("an answer")
    {
        let header = |name: &str| {
            let value = letter.headers.get(name).map(ToString::to_string).unwrap_or_default();
            value.replace("%20", " ")
        };
        found.insert(header(ropeway_crds::headers::PLACE), header(ropeway_crds::headers::ERROR));
        from = letter.sequence + 1;
    }
    found
}

async fn run(scene: &Scene, name: &str) -> Option<i32> {
    let mut job = scene.start_batch(name, None).expect("a job starts");
    let code = job.ends(PATIENCE).await.expect("the job ends");
    println!("{name}: {code:?}\n{}", tail(job.log()));
    code
}

fn gzip(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory can be written");
    encoder.finish().expect("memory can be written").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_comes_to_the_same_rows() {
    let ids = |from: usize| (from..from + 700).map(|row| format!("r{row}")).collect::<Vec<_>>();
    let ndjson = |from: usize| ids(from).iter().map(|id| format!("{{\"id\":\"{id}\"}}\r\n")).collect::<String>();
    let csv = |from: usize| ids(from).iter().fold("\u{feff}id;note\n".to_owned(), |text, id| text + id + ";'a\nb'\n");
    let array = |from: usize| format!("{{\"items\":[{}]}}", ndjson(from).trim_end().replace("\r\n", ",\n"));
    let server = FileServer::start(Served::default()).await.expect("a server");
    let marks = json!({ "csv": { "delimiter": ";", "quote": "'" } });
    let mut scene = Scene::new(batch_from(&server.url(), &marks)).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let cases = [
        (json!({ "ndjson": {} }), "None", ndjson(0).into()),
        (marks.clone(), "None", csv(1000).into()),
        (json!({ "jsonArray": { "pointer": "/items" } }), "None", array(2000).into()),
        (marks, "Gzip", gzip(&csv(3000))),
    ];
    let mut wanted = Vec::new();
    for (place, (format, compression, content)) in cases.into_iter().enumerate() {
        server.serve(|served| served.content = content);
        scene.spec["source"]["batch"]["format"] = format.clone();
        scene.spec["source"]["batch"]["compression"] = json!(compression);
        scene.apply().await.expect("the spec is right");
        assert_eq!(run(&scene, &format!("job-{place}")).await, Some(0), "{format}");
        let last = last_run(&scene).await;
        assert_eq!(
            (last.outcome.as_str(), last.rows.unwrap_or_default(), last.stored),
            ("Complete", 700, 700),
            "{last:?}"
        );
        assert!(!last.object.as_deref().unwrap_or_default().contains("s3cret"), "a query may hold a key: {last:?}");
        wanted.extend(ids(place * 1000));
    }
    scene.drained().await.expect("everything is delivered");
    let accepted = scene.receiver.accepted("crm");
    assert!(wanted.iter().all(|id| accepted.get(id) == Some(&1)), "not every row arrived once: {accepted:?}");
    assert_eq!(accepted.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_file_is_read_again_only_where_that_is_wished() {
    let served = Served { content: lines(5).into(), etag: Some("\"one\"".into()), ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let mut scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    for (on_unchanged, outcome, times, status) in [
        ("Skip", "Complete", 1, 200),
        ("Skip", "Unchanged", 1, 304),
        ("Read", "Complete", 2, 200),
        ("Skip", "Unchanged", 2, 304),
    ] {
        scene.spec["source"]["batch"]["onUnchanged"] = json!(on_unchanged);
        scene.apply().await.expect("the spec is right");
        assert_eq!(run(&scene, "job").await, Some(0));
        assert_eq!(last_run(&scene).await.outcome, outcome);
        assert_eq!(server.asked().last().map(|asked| asked.status), Some(status));
        scene.drained().await.expect("everything is delivered");
        let accepted = scene.receiver.accepted("crm");
        assert!(accepted.len() == 5 && accepted.values().all(|count| *count == times), "{accepted:?}");
    }
    server.serve(|served| (served.content, served.etag) = (lines(6).into(), Some("\"two\"".into())));
    assert_eq!(run(&scene, "job").await, Some(0));
    scene.drained().await.expect("everything is delivered");
    assert_eq!(scene.receiver.accepted("crm")["r5"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broken_row_is_a_dead_letter_with_its_line_and_nothing_else_is() {
    let bad = |row: usize| row % 100 == 57;
    let row = |row: usize| if bad(row) { format!("r{row},too,many\n") } else { format!("r{row},x\n") };
    let file: String = std::iter::once("id,name\n".to_owned()).chain((0..2_000).map(row)).collect();
    let server = FileServer::start(Served { content: file.into(), ..Served::default() }).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "csv": {} }))).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    // Without a version the file is read again; what was refused is there once all the same.
    for name in ["job-1", "job-2"] {
        assert_eq!(run(&scene, name).await, Some(0));
        let last = last_run(&scene).await;
        assert_eq!((last.rows.unwrap_or_default(), last.refused, last.stored), (2_000, 20, 1_980), "{last:?}");
        // The header is line 1 and the row 0 line 2.
        assert_eq!(last.refused_lines[..2], [59, 159]);
        let refused = refused(&scene).await;
        let told: Vec<usize> = refused
            .iter()
            .map(|(place, why)| {
                assert!(why.ends_with("it has 3 columns where the header has 2"), "{place}: {why}");
                let line = place.strip_prefix("line ").and_then(|rest| rest.split(',').next());
                line.and_then(|line| line.parse::<usize>().ok()).expect("a line")
            })
            .collect();
        let wanted: std::collections::BTreeSet<usize> = (0..2_000).filter(|row| bad(*row)).map(|row| row + 2).collect();
        assert_eq!(told.iter().copied().collect::<std::collections::BTreeSet<_>>(), wanted);
        assert_eq!(told.len(), 20);
    }
    scene.drained().await.expect("everything is delivered");
    assert!(scene.dead_letters("crm").await.expect("an answer").is_empty());
    assert_eq!(scene.receiver.accepted("crm").len(), 1_980);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_what_it_should_be_ends_the_run_and_shows_in_the_condition() {
    let page = "<html>\n<p>maintenance</p>\n".repeat(300);
    let served = Served { content: page.into(), etag: Some("\"page\"".into()), ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    assert_eq!(run(&scene, "job-1").await, Some(4));
    let last = last_run(&scene).await;
    assert_eq!(last.outcome, "Failed");
    assert!(
        last.message.as_deref().unwrap_or_default().contains("rows can be no event, more than maxRefusedPercent 50"),
        "{last:?}"
    );
    assert!(last.rows.unwrap_or_default() < 600 && last.stored == 0, "{last:?}");
    assert_eq!(scene.condition("SourceReady").await.expect("a condition"), ("False".into(), "BatchFailing".into()));
    // Twice the same file ends twice the same way, and the right one ends well.
    assert_eq!(run(&scene, "job-2").await, Some(4));
    server.serve(|served| (served.content, served.etag) = (lines(3).into(), Some("\"right\"".into())));
    assert_eq!(run(&scene, "job-3").await, Some(0));
    assert_eq!(scene.condition("SourceReady").await.expect("a condition").0, "True");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_is_waited_for_and_nothing_is_skipped() {
    let file: String =
        (0..4_000).map(|row| format!("{{\"id\":\"r{row}\",\"fill\":\"{}\"}}\n", "x".repeat(400))).collect();
    let server = FileServer::start(Served { content: file.into(), ..Served::default() }).await.expect("a server");
    let mut spec = batch_from(&server.url(), &json!({ "ndjson": {} }));
    spec["storage"] = json!({ "maxBytes": "1Mi" });
    let scene = Scene::new(spec).await.expect("a scene");
    let mut job = scene.start_batch("job", None).expect("a job starts");
    let waits = job.until("the run waits", PATIENCE, async || {
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let run = status.source.and_then(|source| source.last_run).unwrap_or_default();
        if run.outcome == "Waiting" && run.message.as_deref().unwrap_or_default().contains("storage.maxBytes") {
            Ok(run)
        } else {
            Err(format!("{run:?}"))
        }
    });
    let waiting = waits.await.expect("a full stream is told");
    assert!(waiting.stored > 0 && waiting.stored < 4_000, "{waiting:?}");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
    let last = last_run(&scene).await;
    assert_eq!((last.outcome.as_str(), last.stored + last.repeated), ("Complete", 4_000), "{last:?}");
    scene.drained().await.expect("everything is delivered");
    let arrivals: Vec<String> = scene.receiver.arrivals().into_iter().map(|arrival| arrival.id).collect();
    let accepted = scene.receiver.accepted("crm");
    assert_eq!((accepted.len(), arrivals.len()), (4_000, 4_000), "a row is missing or came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_events_that_dies_is_waited_for() {
    let served = Served { content: lines(30_000).into(), pause: Duration::from_millis(30), ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let mut scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    let mut job = scene.start_batch("job", None).expect("a job starts");
    let begins = job.until("rows are stored", PATIENCE, async || {
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let stored = status.source.and_then(|source| source.last_run).map_or(0, |run| run.stored);
        if stored > 0 { Ok(()) } else { Err("none yet".to_owned()) }
    });
    begins.await.expect("it begins");
    scene.nats.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.nats.restart().await.expect("nats-server starts again");
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
    let last = last_run(&scene).await;
    assert_eq!((last.outcome.as_str(), last.rows.unwrap_or_default()), ("Complete", 30_000), "{last:?}");
    assert_eq!(scene.observe().await.expect("an answer").figures.pending["crm"], 30_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_runs_at_once_one_works_and_the_other_says_why_it_does_not() {
    let served = Served { content: lines(20_000).into(), pause: Duration::from_millis(600), ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    let mut first = scene.start_batch("first", None).expect("a job starts");
    until("the first one holds the source", PATIENCE, async || match server.asked().len() {
        0 => Err("nothing was asked".to_owned()),
        _ => Ok(()),
    })
    .await
    .expect("it begins");
    let mut second = scene.start_batch("second", None).expect("a job starts");
    assert_eq!(second.ends(PATIENCE).await.expect("the job ends"), Some(3));
    let told = tail(second.log());
    assert!(told.contains("first reads this source already"), "{told}");
    assert_eq!(first.ends(PATIENCE).await.expect("the job ends"), Some(0));
    assert_eq!(server.asked().len(), 1, "the second one read as well");
    assert_eq!(last_run(&scene).await.stored, 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_on_a_claim_is_read_and_told_by_its_size_and_time() {
    let mut spec = batch_from("", &json!({ "ndjson": {} }));
    spec["source"]["batch"]["from"] = json!({ "file": { "claimName": "exports", "path": "exports/accounts.ndjson" } });
    let scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let path = scene.folder().join("exports/accounts.ndjson");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    for (rows, outcome) in [(3, "Complete"), (3, "Unchanged"), (4, "Complete")] {
        if outcome == "Complete" {
            std::fs::write(&path, lines(rows)).expect("a file can be written");
        }
        assert_eq!(run(&scene, "job").await, Some(0));
        assert_eq!(last_run(&scene).await.outcome, outcome);
    }
    scene.drained().await.expect("everything is delivered");
    assert_eq!(scene.receiver.accepted("crm").len(), 4);
}
