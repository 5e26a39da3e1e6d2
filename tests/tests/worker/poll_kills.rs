//! Polling while workers die, sleep and wake up: nothing is skipped, and never two ask at a time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ropeway_crds::names::events_stream;
use ropeway_tests::{
    paged::{Paged, row},
    scene::{PATIENCE, Scene},
    wait::until,
};
use serde_json::{Value, json};

use super::poll::{pages, polling, record, record_is};

/// Rows of a run: 50 pages, each of two portions.
const ROWS: u32 = 6_000;
const PAGE: usize = 120;

fn rows() -> Vec<Value> {
    (0..ROWS).map(|number| row(&format!("r-{number}"), number)).collect()
}

/// How often each id stands in the events stream of an Integration that is paused.
async fn stored(scene: &Scene) -> BTreeMap<String, usize> {
    let stream = events_stream(&scene.plan.jetstream.integration);
    let subject = ropeway_crds::names::events_subject(&scene.plan.jetstream.integration);
    let (mut found, mut from) = (BTreeMap::new(), 1);
    loop {
        let start = ropeway_operator::io::jetstream::Start::Sequence(from);
        let batch = scene.jetstream.batch(&stream, &subject, start, 500).await.expect("the stream can be read");
        let Some(last) = batch.messages.last() else { return found };
        from = last.sequence + 1;
        for message in &batch.messages {
            let body: Value = serde_json::from_slice(&message.body).expect("an event is JSON");
            *found.entry(body["id"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_killed_at_any_step_of_a_run_skips_nothing_and_repeats_nothing() {
    for crash in [
        "PollFetched:20",
        "PollStoring:41",
        "PollStored:20",
        "PollRemembered:20",
        "PollAdvanced:20",
        "PollCommitting:1",
    ] {
        let api = Paged::start(rows(), PAGE).await.expect("an API");
        let more = json!({ "pagination": pages("/token"), "interval": "1h" });
        let mut spec = polling(&api, "/token", more);
        spec["state"] = json!("Paused");
        let scene = Scene::new(spec).await.expect("a scene");
        let mut first = scene.start_worker("first", Some(crash)).await.expect("a worker starts");
        until("the worker dies", PATIENCE, async || match first.process.check() {
            Err(_) => Ok(()),
            Ok(()) => Err("it lives".to_owned()),
        })
        .await
        .expect("the worker kills itself");
        let asked = api.asked().len();
        let _second = scene.start_worker("second", None).await.expect("a worker starts");
        let record = record_is(&scene, "the run ends", |record| record.last_run.is_some()).await;
        let run = record.last_run.expect("a run");
        assert_eq!((run.pages, run.outcome.as_str()), (50, "Complete"), "{crash}");
        let stored = stored(&scene).await;
        assert_eq!(stored.len(), ROWS as usize, "{crash}: rows were skipped");
        assert!(stored.values().all(|times| *times == 1), "{crash}: rows are there twice");
        // One page at most was asked for again.
        let total = api.asked().len();
        assert!(total <= 51, "{crash}: {total} requests for 50 pages");
        println!("{crash}: died after {asked} requests, {total} in all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_one_asks_and_the_other_takes_over_when_it_is_killed() {
    let api = Paged::start(rows(), PAGE).await.expect("an API");
    api.delay(Duration::from_millis(60));
    let mut spec = polling(&api, "/token", json!({ "pagination": pages("/token") }));
    spec["state"] = json!("Paused");
    let scene = Scene::new(spec).await.expect("a scene");
    let mut workers = Vec::new();
    for name in ["one", "two"] {
        workers.push((name, scene.start_worker(name, None).await.expect("a worker starts")));
    }
    let half =
        record_is(&scene, "half of the run is done", |record| record.run.as_ref().is_some_and(|run| run.pages >= 20))
            .await;
    let holder = half.holder.expect("somebody asks");
    let (_, dying) = workers.iter_mut().find(|(name, _)| holder.starts_with(name)).expect("one of the two");
    dying.process.kill();
    let killed = Instant::now();
    let record = record_is(&scene, "the run ends", |record| record.last_run.is_some()).await;
    println!("taken over and done {:?} after the kill", killed.elapsed());
    assert_eq!(record.last_run.expect("a run").pages, 50);
    assert_eq!(api.most_under_way(), 1, "two asked at a time");
    let stored = stored(&scene).await;
    assert_eq!(stored.len(), ROWS as usize);
    assert!(stored.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_slept_through_a_take_over_changes_nothing() {
    let api = Paged::start(rows(), PAGE).await.expect("an API");
    api.delay(Duration::from_millis(60));
    let mut spec = polling(&api, "/token", json!({ "pagination": pages("/token"), "interval": "1h" }));
    spec["state"] = json!("Paused");
    let scene = Scene::new(spec).await.expect("a scene");
    let sleeper = scene.start_worker("sleeper", None).await.expect("a worker starts");
    record_is(&scene, "a part is done", |record| record.run.as_ref().is_some_and(|run| run.pages >= 10)).await;
    sleeper.process.freeze().await;
    let frozen = record(&scene).await;
    let _other = scene.start_worker("other", None).await.expect("a worker starts");
    record_is(&scene, "it is taken over", |record| {
        record.epoch > frozen.epoch && record.run.as_ref().is_some_and(|run| run.pages > 15)
    })
    .await;
    sleeper.process.thaw();
    let record = record_is(&scene, "the run ends", |record| record.last_run.is_some()).await;
    assert_eq!(record.epoch, frozen.epoch + 1, "the sleeper took part");
    assert_eq!(record.last_run.expect("a run").pages, 50);
    assert!(api.most_under_way() <= 1, "two asked at a time");
    // What was under way when it fell asleep may be asked for again, and no more.
    assert!(api.asked().len() <= 52, "{} requests", api.asked().len());
    let stored = stored(&scene).await;
    assert_eq!(stored.len(), ROWS as usize);
    assert!(stored.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_makes_a_page_wait_and_skips_nothing() {
    let padding = "x".repeat(20_000);
    let listing: Vec<Value> = (0..200)
        .map(|number| {
            let mut row = row(&format!("r-{number}"), number);
            row["padding"] = json!(padding);
            row
        })
        .collect();
    let api = Paged::start(listing, 20).await.expect("an API");
    let mut spec = polling(&api, "/token", json!({ "pagination": pages("/token"), "interval": "1h" }));
    // Room for about fifty of them, and nobody takes any away.
    spec["storage"] = json!({ "maxBytes": "1Mi" });
    spec["state"] = json!("Paused");
    let mut scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    until("the condition says so", PATIENCE, async || {
        let found = scene.condition("SourceReady").await.map_err(|error| error.to_string())?;
        if found.0 == "False" { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("a full stream is seen");
    assert!(record(&scene).await.last_run.is_none());
    let asked = api.asked().len();
    scene.wish(ropeway_crds::integration::State::Running).await.expect("the wish is written");
    record_is(&scene, "the run ends", |record| record.last_run.as_ref().is_some_and(|run| run.items == 200)).await;
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a").len(), 200);
    assert_eq!(asked, 3, "the page was asked for again while it waited");
    until("the condition is well again", PATIENCE, async || {
        let found = scene.condition("SourceReady").await.map_err(|error| error.to_string())?;
        if found.0 == "True" { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("it recovers");
}
