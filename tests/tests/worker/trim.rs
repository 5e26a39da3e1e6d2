//! Trimming on the real server: what a configured lane has not settled is never gone.

use ropeway_crds::integration::State;
use ropeway_tests::{
    scene::{PATIENCE, Scene, Worker, http_client, post, webhook_to},
    wait::until,
};
use serde_json::json;

async fn send(worker: &Worker, from: usize, to: usize) {
    let client = http_client();
    for number in from..to {
        until("an event is accepted", PATIENCE, async || {
            match post(&client, &worker.url, &format!("e-{number}")).await {
                Some(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .expect("the webhook is open");
    }
}

/// First and last sequence of the events stream, and how many events it holds.
async fn bounds(scene: &Scene) -> (u64, u64, u64) {
    let stream = scene
        .jetstream
        .stream(scene.plan.jetstream.source_stream())
        .await
        .expect("an answer")
        .expect("the stream is there");
    (stream.state.first_sequence, stream.state.last_sequence, stream.state.messages)
}

async fn trimmed_to(scene: &Scene, held: u64) {
    until("the stream is trimmed", PATIENCE, async || {
        let (_, _, messages) = bounds(scene).await;
        if messages == held { Ok(()) } else { Err(format!("{messages} events are held")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{held} events should be held: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stays_until_every_configured_lane_has_settled_it() {
    let mut scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    let worker = scene.start_worker("one", None).await.expect("a worker starts");
    send(&worker, 0, 20).await;
    scene.drained().await.expect("everything is settled");
    trimmed_to(&scene, 0).await;

    // A consumer that is deleted by hand stops the trimming until it is there again, from where it was.
    let stream = scene.plan.jetstream.source_stream().to_owned();
    let lane = scene.plan.jetstream.lanes[1].lane.clone();
    scene.jetstream.delete_consumer(&stream, lane.as_str()).await.expect("deleted by hand");
    send(&worker, 20, 40).await;
    until("the other lane goes on", PATIENCE, async || {
        let arrived = scene.receiver.ids("a").len();
        if arrived == 40 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("a missing consumer holds nobody else");
    let (_, _, held) = bounds(&scene).await;
    assert_eq!(held, 20, "events that b has not settled are gone");
    scene.apply().await.expect("the operator looks after its consumers");
    until("b gets what it missed", PATIENCE, async || {
        let arrived = scene.receiver.ids("b").len();
        if arrived == 40 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("the lane goes on where it was");
    trimmed_to(&scene, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_added_keeps_what_it_has_not_settled_although_older_workers_trim() {
    let mut scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let old = scene.start_worker("old", None).await.expect("a worker starts");
    send(&old, 0, 10).await;
    scene.drained().await.expect("everything is settled");
    trimmed_to(&scene, 0).await;
    // The lane is there before any worker knows of it; the old worker must not trim under it.
    scene.spec = webhook_to(&["a", "b"]);
    scene.apply().await.expect("the lane is added");
    send(&old, 10, 30).await;
    until("the old lane goes on", PATIENCE, async || {
        let arrived = scene.receiver.ids("a").len();
        if arrived == 30 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("the old lane goes on");
    assert_eq!(bounds(&scene).await.2, 20, "events that the new lane has not settled are gone");
    // A worker with the new lanes that dies between its record and its purge leaves it to the next one.
    let mut dying = scene.start_worker("dying", Some("TrimRecorded:1")).await.expect("a worker starts");
    until("the worker dies when it trims", PATIENCE, async || match dying.process.check() {
        Ok(()) => Err("alive".into()),
        Err(_) => Ok(()),
    })
    .await
    .expect("it trims");
    let _new = scene.start_worker("new", None).await.expect("a worker starts");
    until("the new lane gets its events", PATIENCE, async || {
        let arrived = scene.receiver.ids("b").len();
        if arrived == 20 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("the new lane gets every event from its start");
    scene.drained().await.expect("everything is settled");
    trimmed_to(&scene, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_events_are_retained_as_long_as_the_spec_says() {
    let mut spec = webhook_to(&["a"]);
    spec["storage"] = json!({ "retain": "5s" });
    let scene = Scene::new(spec).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    send(&worker, 0, 10).await;
    let stored = std::time::Instant::now();
    scene.drained().await.expect("everything is settled");
    assert_eq!(bounds(&scene).await.2, 10, "settled events went at once");
    trimmed_to(&scene, 0).await;
    assert!(stored.elapsed() >= std::time::Duration::from_secs(4), "they went after {:?}", stored.elapsed());
    assert_eq!(scene.plan.jetstream.wish.state, State::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_removed_lane_still_held_becomes_dead_letters_and_trimming_goes_on() {
    let mut scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    // b takes nothing, so its events are parked, and it dies with some of them in hand.
    scene.receiver.answer(|destination, _, _| if destination == "b" { 503 } else { 200 });
    scene.spec["destinations"][1]["delivery"] =
        json!({ "retry": { "maxAttempts": 100, "backoffDelay": "20s", "backoffMax": "20s" } });
    scene.apply().await.expect("b is patient");
    let mut worker = scene.start_worker("one", None).await.expect("a worker starts");
    send(&worker, 0, 30).await;
    until("b has tried all of them", PATIENCE, async || {
        let tried = scene.receiver.arrivals().iter().filter(|arrival| arrival.destination == "b").count();
        if tried >= 30 { Ok(()) } else { Err(format!("{tried}")) }
    })
    .await
    .expect("b tries every event");
    worker.process.kill();
    scene.spec = webhook_to(&["a"]);
    scene.apply().await.expect("b is removed");
    let worker = scene.start_worker("two", None).await.expect("a worker starts");
    scene.retire_removed_lanes().await.expect("b is emptied");
    send(&worker, 30, 40).await;
    assert_eq!(scene.dead_letters("b").await.expect("dead letters").len(), 30, "something that b owed is nowhere");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a").len(), 40);
    trimmed_to(&scene, 0).await;
}
