//! How much memory a large file takes, and how fast it is read. `ROPEWAY_BATCH_MIB=2048` makes it as large as that; a figure
//! is worth something in the profile `measured` only:
//!
//! ```text
//! ROPEWAY_BATCH_MIB=2048 cargo test --profile measured --package ropeway-tests --test worker -- batch_memory --nocapture
//! ```

use std::time::{Duration, Instant};

use ropeway_tests::{
    files::{FileServer, Served},
    scene::Scene,
    wait::until,
};
use serde_json::json;

use crate::batch::{batch_from, last_run};

/// A reader needs no more than this, however large the file is.
const MOST_MIB: u64 = 96;

/// The most memory that a process had, in MiB; none where it has ended.
fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().split(' ').next()?.parse::<u64>().ok()? / 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_memory_stays_flat() {
    let mebibytes: usize = std::env::var("ROPEWAY_BATCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    // Rows of a kibibyte, some hundred of them, over and over.
    let row = |row: usize| format!("{{\"id\":\"r{row:04}\",\"fill\":\"{}\"}}\n", "x".repeat(998));
    let content: String = (0..512).map(row).collect();
    let repeats = (mebibytes << 20) / content.len();
    let rows = 512 * repeats;
    let served = Served { content: content.into(), repeats, ..Served::default() };
    let server = FileServer::start(served).await.expect("a server");
    let mut spec = batch_from(&server.url(), &json!({ "ndjson": {} }));
    spec["storage"] = json!({ "maxBytes": format!("{}Mi", mebibytes * 2) });
    let scene = Scene::new(spec).await.expect("a scene");
    let begun = Instant::now();
    let mut job = scene.start_batch("job", None).expect("a job starts");
    let (id, mut most) = (job.id(), 0);
    let patience = Duration::from_secs(120 + mebibytes as u64);
    until("the process ends", patience, async || {
        if let Some(now) = peak(id) {
            most = most.max(now);
        }
        job.ends(Duration::from_millis(1)).await.map_err(|_| "still running".to_owned())
    })
    .await
    .expect("in time");
    let seconds = begun.elapsed().as_secs_f64();
    let last = last_run(&scene).await;
    println!("{mebibytes} MiB, {rows} rows: peak {most} MiB, {:.1} s, {:.0} rows/s", seconds, rows as f64 / seconds);
    assert_eq!((last.outcome.as_str(), last.stored), ("Complete", i64::try_from(rows).expect("a count")), "{last:?}");
    assert!(most > 0 && most < MOST_MIB, "the reader took {most} MiB");
}
