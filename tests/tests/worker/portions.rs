//! Several records in one request: limits, culprits, requests that are too large.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ropeway_tests::{
    receiver::Arrival,
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("e-{number}"))
}

async fn scene(format: &str, batching: serde_json::Value) -> Scene {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["provider"] = json!({ "http": { "format": format } });
    scene.account["batching"] = batching;
    scene.apply().await.expect("the account is described");
    scene
}

fn requests(scene: &Scene) -> Vec<Arrival> {
    scene.receiver.arrivals()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_out_in_full_portions_and_the_last_one_when_it_has_waited() {
    for format in ["JsonArray", "Ndjson"] {
        let scene = scene(format, json!({ "maxItems": 40, "maxWait": "1s" })).await;
        scene.store(ids(0..100)).await.expect("events are stored");
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        scene.drained().await.expect("everything is settled");
        let sizes: Vec<usize> = requests(&scene).iter().map(|request| request.ids.len()).collect();
        assert_eq!(sizes, [40, 40, 20], "{format}");
        assert_eq!(scene.receiver.ids("crm").len(), 100);
        let kind = requests(&scene)[0].headers["content-type"].to_str().expect("text").to_owned();
        assert_eq!(kind, if format == "Ndjson" { "application/x-ndjson" } else { "application/json" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_is_larger_than_the_limit() {
    let scene = scene("JsonArray", json!({ "maxBytes": "200", "maxWait": "300ms" })).await;
    scene.store(ids(0..100)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    let sizes: Vec<usize> = requests(&scene).iter().map(|request| request.record.to_string().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 200), "{sizes:?}");
    assert!(sizes.iter().filter(|size| **size >= 150).count() >= sizes.len() - 2, "portions are not full: {sizes:?}");
    assert_eq!(scene.receiver.ids("crm").len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_culprit_in_a_hundred_is_found_with_at_most_eight_more_requests() {
    let scene = scene("JsonArray", json!({ "maxItems": 100, "maxWait": "5s" })).await;
    scene.receiver.reply(|asked| if asked.ids.iter().any(|id| id == "e-67") { 422.into() } else { 200.into() });
    scene.store(ids(0..100)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    let dead = scene.dead_letters("crm").await.expect("dead letters");
    assert_eq!(dead, BTreeSet::from(["e-67".to_owned()]));
    let accepted = scene.receiver.accepted("crm");
    assert_eq!((accepted.len(), accepted.values().all(|times| *times == 1)), (99, true));
    assert!(requests(&scene).len() <= 9, "{} requests", requests(&scene).len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_is_halved_and_the_bound_is_remembered() {
    let scene = scene("JsonArray", json!({ "maxItems": 64, "maxWait": "500ms" })).await;
    scene.receiver.reply(|asked| if asked.ids.len() > 20 { 413.into() } else { 200.into() });
    scene.store(ids(0..64)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    let before = requests(&scene).len();
    scene.store(ids(64..128)).await.expect("events are stored");
    until("the rest arrives", PATIENCE, async || {
        let arrived = scene.receiver.ids("crm").len();
        if arrived == 128 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("the rest arrives");
    scene.drained().await.expect("everything is settled");
    let refused = requests(&scene)[before..].iter().filter(|request| request.status == 413).count();
    assert_eq!(refused, 0, "the bound was forgotten");
    assert!(scene.dead_letters("crm").await.expect("dead letters").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portion_that_can_not_be_taken_now_is_tried_again_whole() {
    let scene = scene("JsonArray", json!({ "maxItems": 10, "maxWait": "500ms" })).await;
    let asked_before = AtomicBool::new(false);
    scene.receiver.reply(move |_| if asked_before.swap(true, Ordering::SeqCst) { 200.into() } else { 503.into() });
    scene.store(ids(0..10)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    tokio::time::timeout(Duration::from_secs(60), scene.drained()).await.expect("in time").expect("settled");
    assert_eq!(scene.receiver.ids("crm").len(), 10);
    assert!(scene.dead_letters("crm").await.expect("dead letters").is_empty());
}
