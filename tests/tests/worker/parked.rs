//! Retries that wait in the broker while everything dies.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ropeway_tests::{
    scene::{Scene, webhook_to},
    wait::until,
};
use serde_json::json;

const EVENTS: usize = 50_000;
const DELAY: Duration = Duration::from_secs(60);

/// How long 50 000 events may take through a worker without optimisation.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_parked_retries_survive_the_death_of_everything_and_none_comes_early() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["delivery"] = json!({ "retry": { "backoffDelay": "60s", "backoffMax": "60s", "jitterPercent": 0 } });
    scene.apply().await.expect("the account is described");
    // A refusal that says nothing about the destination as a whole, so that it goes on being asked.
    scene.receiver.answer(|_, _, times| if times == 1 { 429 } else { 200 });
    scene.store((0..EVENTS).map(|number| format!("e-{number}"))).await.expect("events are stored");
    let mut worker = scene.start_worker("one", None).await.expect("a worker starts");
    let begun = Instant::now();
    until("all are parked or due", PATIENCE, async || {
        let seen = scene.receiver.ids_seen("crm");
        let info = scene
            .jetstream
            .consumer(scene.plan.jetstream.source_stream(), scene.plan.jetstream.lanes[0].lane.as_str())
            .await
            .map_err(|error| error.to_string())?
            .ok_or("no consumer")?;
        let left = info.num_pending + info.num_ack_pending as u64;
        if seen == EVENTS && left == 0 { Ok(()) } else { Err(format!("{seen} tried, {left} not parked yet")) }
    })
    .await
    .expect("all are tried once");
    let parked = begun.elapsed();
    worker.process.kill();
    scene.nats.kill();
    scene.nats.restart().await.expect("nats-server starts again");
    let _next = scene.start_worker("two", None).await.expect("a worker starts");
    until("all have arrived", PATIENCE, async || {
        let arrived = scene.receiver.ids("crm").len();
        if arrived == EVENTS { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("what was parked arrives");
    // What a killed broker brought back may have arrived long before its parked retry, which is due all the same.
    scene.drained().await.expect("no retry is left");
    let mut times: HashMap<String, Vec<Instant>> = HashMap::new();
    for arrival in scene.receiver.arrivals() {
        times.entry(arrival.id).or_default().push(arrival.time);
    }
    // A broker that is killed forgets the acknowledgements of its last moments: those originals come again beside their
    // parked retries, and are sent once more. That is a repeat and no early retry.
    let (once, repeated): (Vec<_>, Vec<_>) = times.values().partition(|times| times.len() == 2);
    let early = once.iter().map(|times| DELAY.saturating_sub(times[1] - times[0])).max().unwrap_or(Duration::ZERO);
    println!(
        "parked {EVENTS} in {parked:?}; after the kill the earliest came {early:?} early; {} events came once more",
        repeated.len()
    );
    assert!(early <= Duration::from_secs(1), "one came {early:?} early");
    assert!(repeated.iter().all(|times| times.len() == 3), "an event was lost or came more than once again");
    assert!(repeated.len() <= EVENTS / 20, "{} events came once more", repeated.len());
}
