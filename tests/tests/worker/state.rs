//! Paused, running again, created paused: the exact meaning of `state`.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ropeway_crds::integration::State;
use ropeway_tests::{
    scene::{PATIENCE, Scene, http_client, post, send_until_accepted, webhook_to},
    wait::until,
};
use serde_json::json;

/// Waits until every worker has confirmed a state.
async fn confirmed(scene: &Scene, workers: usize, state: State) {
    until("every worker confirms the state", PATIENCE, async || {
        let reports = scene.observe().await.map_err(|error| error.to_string())?.workers;
        let there = reports.iter().filter(|report| report.state == Some(state)).count();
        if there == workers { Ok(()) } else { Err(format!("{there} of {workers}")) }
    })
    .await
    .expect("the state takes effect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_takes_effect_on_every_worker_within_two_seconds_and_is_confirmed_only_then() {
    let mut scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let (one, _two) = (
        scene.start_worker("one", None).await.expect("a worker starts"),
        scene.start_worker("two", None).await.expect("a worker starts"),
    );
    confirmed(&scene, 2, State::Running).await;
    let ids = (0..400).map(|number| format!("e-{number}")).collect();
    let sender = tokio::spawn(send_until_accepted(Arc::new(Mutex::new(one.url.clone())), ids));
    until(
        "events flow",
        PATIENCE,
        async || {
            if scene.receiver.ids("a").len() > 50 { Ok(()) } else { Err(String::new()) }
        },
    )
    .await
    .expect("events flow");
    scene.wish(State::Paused).await.expect("the wish is written");
    let wished = Instant::now();
    confirmed(&scene, 2, State::Paused).await;
    let at_confirmation = Instant::now();
    let accepted = sender.await.expect("a paused Integration goes on receiving");
    assert_eq!(accepted.len(), 400);
    let late = |since: Instant| scene.receiver.arrivals().iter().filter(|arrival| arrival.time > since).count();
    assert_eq!(late(wished + Duration::from_secs(2)), 0, "something was sent later than two seconds after the wish");
    assert_eq!(late(at_confirmation), 0, "something was sent after the pause was confirmed");
    scene.wish(State::Running).await.expect("the wish is written");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a"), accepted);
}

#[tokio::test]
async fn an_integration_created_paused_never_sends_anything() {
    let mut spec = webhook_to(&["a"]);
    spec["state"] = json!("Paused");
    let mut scene = Scene::new(spec).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    confirmed(&scene, 1, State::Paused).await;
    let client = http_client();
    for number in 0..10 {
        assert_eq!(post(&client, &worker.url, &format!("e-{number}")).await, Some(200));
    }
    // Two more heartbeats: were it going to send, it would have had the time.
    let seen = Instant::now();
    until("heartbeats after the events", PATIENCE, async || {
        if seen.elapsed() > Duration::from_secs(4) { Ok(()) } else { Err(String::new()) }
    })
    .await
    .expect("time passes");
    confirmed(&scene, 1, State::Paused).await;
    assert_eq!(scene.receiver.arrivals(), []);
    assert_eq!(scene.observe().await.expect("figures").figures.pending["a"], 10);
    scene.wish(State::Running).await.expect("the wish is written");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a").len(), 10);
}

#[tokio::test]
async fn a_stopped_integration_refuses_events() {
    let mut spec = webhook_to(&["a"]);
    spec["state"] = json!("Stopped");
    let scene = Scene::new(spec).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    confirmed(&scene, 1, State::Stopped).await;
    assert_eq!(post(&http_client(), &worker.url, "e").await, Some(503));
}
