//! Which events are the same event: equal ids, equal keys, and what of it outlasts a retry.

use std::time::Duration;

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

async fn accepted(scene: &Scene, id: &str, times: usize) {
    until(&format!("{id} arrives {times} times"), PATIENCE, async || {
        let arrived = scene.receiver.accepted("crm").get(id).copied().unwrap_or(0);
        if arrived == times { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("it arrives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_events_with_one_id_are_two_events_and_their_retries_do_not_replace_each_other() {
    let scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.receiver.answer(|_, _, times| if times <= 2 { 503 } else { 200 });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(["same".to_owned(), "same".to_owned()]).await.expect("events are stored");
    accepted(&scene, "same", 2).await;
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.arrivals().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_within_the_window_is_dropped_and_one_after_it_is_another_event() {
    let mut spec = webhook_to(&["crm"]);
    spec["dedup"] = json!({ "key": "string!(.id)", "window": "2s" });
    let scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(["x".to_owned(), "x".to_owned(), "y".to_owned()]).await.expect("events are stored");
    accepted(&scene, "x", 1).await;
    accepted(&scene, "y", 1).await;
    until("the repeat is counted", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let dropped = observations.figures.counts.get("crm").map_or(0, |counts| counts.deduplicated);
        if dropped == 1 { Ok(()) } else { Err(format!("{dropped}")) }
    })
    .await
    .expect("the repeat is dropped");
    let seen = scene.plan.jetstream.names.seen_stream();
    until("the window is over", Duration::from_secs(20), async || {
        let info = scene.jetstream.stream(&seen).await.map_err(|error| error.to_string())?.ok_or("no stream")?;
        if info.state.messages == 0 { Ok(()) } else { Err(format!("{} keys", info.state.messages)) }
    })
    .await
    .expect("keys are forgotten");
    scene.store(["x".to_owned()]).await.expect("an event is stored");
    accepted(&scene, "x", 2).await;
}
