//! Readers that are killed at each of their steps, one after the other, and the reader that ends what they began: every row
//! arrives once, every broken one is one dead letter.

use std::time::Duration;

use ropeway_tests::{
    files::{FileServer, Served},
    scene::{PATIENCE, Scene},
};
use serde_json::json;

use crate::batch::{batch_from, last_run, lines, refused};

/// Each reader dies at another step of its second portion; the last one but one, when all is read.
const DEATHS: [&str; 6] =
    ["RowsRead:2", "RowsRefused:2", "RowsStored:2", "RowsRecorded:2", "RowsStored:1", "FileRead:1"];

const ROWS: usize = 5_000;

/// A file with a broken row among a hundred.
fn file() -> String {
    let line = |row: usize| if row % 100 == 7 { "nonsense\n".to_owned() } else { format!("{{\"id\":\"r{row}\"}}\n") };
    (0..ROWS).map(line).collect()
}

async fn die_at_each_step(served: Served) -> (Scene, FileServer) {
    let server = FileServer::start(served).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    for step in DEATHS {
        let mut job = scene.start_batch(step.split(':').next().expect("a name"), Some(step)).expect("a job starts");
        assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), None, "{step} was not reached");
    }
    let mut job = scene.start_batch("last", None).expect("a job starts");
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is delivered");
    let accepted = scene.receiver.accepted("crm");
    assert_eq!(accepted.len(), ROWS - ROWS / 100, "rows are missing");
    let arrivals = scene.receiver.arrivals().len();
    assert_eq!(arrivals, accepted.len(), "a row arrived twice");
    assert_eq!(refused(&scene).await.len(), ROWS / 100, "not every broken row is one dead letter");
    let last = last_run(&scene).await;
    assert_eq!((last.outcome.as_str(), last.rows.unwrap_or_default()), ("Complete", ROWS as i64), "{last:?}");
    assert!(last.repeated > 0, "no reader was killed between storing and recording: {last:?}");
    (scene, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_reader_is_followed_by_one_that_asks_for_the_rest() {
    let etag = Some("\"v1\"".to_owned());
    let served = Served { content: file().into(), etag, ranges: true, ..Served::default() };
    let (_scene, server) = die_at_each_step(served).await;
    let asked = server.asked();
    assert!(asked[0].range.is_none() && asked.iter().skip(2).any(|asked| asked.status == 206), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_knows_no_ranges_and_no_versions_what_is_known_is_passed_over() {
    let (_scene, server) = die_at_each_step(Served { content: file().into(), ..Served::default() }).await;
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.range.is_none() && asked.status == 200), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_while_nobody_read_is_read_from_its_beginning() {
    for etag in [Some("\"one\"".to_owned()), None] {
        let has_version = etag.is_some();
        let served = Served { content: lines(3_000).into(), etag, ranges: true, ..Served::default() };
        let server = FileServer::start(served).await.expect("a server");
        let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
        let mut job = scene.start_batch("dying", Some("RowsRecorded:3")).expect("a job starts");
        assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), None);
        let other: String = (0..2_000).map(|row| format!("{{\"id\":\"other{row}\"}}\n")).collect();
        server.serve(|served| {
            served.content = other.into();
            served.etag = has_version.then(|| "\"two\"".to_owned());
        });
        let mut job = scene.start_batch("next", None).expect("a job starts");
        assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        scene.drained().await.expect("everything is delivered");
        let accepted = scene.receiver.accepted("crm");
        let others = accepted.keys().filter(|id| id.starts_with("other")).count();
        assert_eq!((others, accepted.len() - others), (2_000, 1_500), "the new file, and what was read of the old one");
        assert_eq!(last_run(&scene).await.rows.unwrap_or_default(), 2_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_made_again_and_goes_on() {
    let etag = Some("\"v1\"".to_owned());
    let content: bytes::Bytes = lines(20_000).into();
    let breaks_after = Some(content.len() / 5);
    let served = Served { content, etag, ranges: true, breaks_after, pause: Duration::ZERO, ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    let mut job = scene.start_batch("job", None).expect("a job starts");
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
    assert_eq!(last_run(&scene).await.rows.unwrap_or_default(), 20_000);
    let asked = server.asked();
    assert!(asked.len() >= 5 && asked[1..].iter().all(|asked| asked.status == 206), "{asked:?}");
    assert_eq!(scene.observe().await.expect("an answer").figures.pending["crm"], 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_told_to_stop_leaves_nothing_to_be_read_twice() {
    let etag = Some("\"v1\"".to_owned());
    let pause = Duration::from_millis(300);
    let served = Served { content: lines(20_000).into(), etag, ranges: true, pause, ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let scene = Scene::new(batch_from(&server.url(), &json!({ "ndjson": {} }))).await.expect("a scene");
    let mut job = scene.start_batch("stopped", None).expect("a job starts");
    let begins = job.until("rows are stored", PATIENCE, async || {
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let stored = status.source.and_then(|source| source.last_run).map_or(0, |run| run.stored);
        if stored > 0 { Ok(()) } else { Err("none yet".to_owned()) }
    });
    begins.await.expect("it begins");
    job.signal(rustix::process::Signal::TERM);
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(1));
    let stopped = last_run(&scene).await;
    assert_eq!(stopped.outcome, "Interrupted");
    server.serve(|served| served.pause = Duration::ZERO);
    let mut job = scene.start_batch("next", None).expect("a job starts");
    assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(0));
    let last = last_run(&scene).await;
    assert_eq!((last.rows.unwrap_or_default(), last.stored, last.repeated), (20_000, 20_000, 0), "{last:?}");
}
