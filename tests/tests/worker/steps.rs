//! A worker that dies at one step of its loop: exactly the repeats that the step foretells, and nothing else.

use std::time::Duration;

use futures::future::join_all;
use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

/// A step, what the destination answers at first, and how often the event then arrives, is accepted and becomes a dead letter.
type Case = (&'static str, u16, usize, usize, usize);

const CASES: [Case; 7] = [
    // Nothing was sent yet: no repeat.
    ("Pulled", 200, 1, 1, 0),
    ("Mapped", 200, 1, 1, 0),
    ("Sending", 200, 1, 1, 0),
    // The destination has it, and nobody knows: one repeat.
    ("Answered", 200, 2, 2, 0),
    ("Acknowledging", 200, 2, 2, 0),
    // The parked retry stands; what comes again of the original is known to be done.
    ("Parked", 503, 2, 1, 0),
    // It is tried again and refused again, but it is one dead letter.
    ("DeadLettered", 422, 2, 0, 1),
];

async fn run((step, answer, arrivals, accepted, dead): Case) {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["delivery"] = json!({ "timeout": "1s" });
    scene.apply().await.expect("the account is described");
    scene.receiver.answer(move |_, _, times| if answer == 422 || times == 1 { answer } else { 200 });
    scene.store(["e".to_owned()]).await.expect("an event is stored");
    let mut dying = scene.start_worker("dying", Some(&format!("{step}:1"))).await.expect("a worker starts");
    until("the worker dies at its step", PATIENCE, async || match dying.process.check() {
        Ok(()) => Err(format!("{step} was not reached")),
        Err(_) => Ok(()),
    })
    .await
    .expect("the step is reached");
    let _next = scene.start_worker("next", None).await.expect("a worker starts");
    // What was in hand comes again after 30 seconds.
    let observations = scene.drained().await.expect("everything is settled");
    let all = scene.receiver.arrivals();
    let seen = (all.len(), scene.receiver.accepted("crm").values().sum::<usize>());
    let letters = observations.figures.dead_letters.get("crm").copied().unwrap_or(0);
    assert_eq!((seen.0, seen.1, letters), (arrivals, accepted, dead as u64), "{step}: {all:?}");
    // A destination that honours the key sees no repeat at all.
    let key = |index: usize| all[index].headers.get("idempotency-key").cloned().expect("there is a key");
    assert!((1..all.len()).all(|index| key(index) == key(0)), "{step}: the key changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_costs_the_repeats_that_it_must_and_no_other() {
    let all = join_all(CASES.map(run));
    tokio::time::timeout(Duration::from_secs(180), all).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_one_even_if_its_worker_was_dead_for_longer_than_repeats_are_known() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["delivery"] = json!({ "timeout": "1s" });
    scene.apply().await.expect("the account is described");
    // A park is known by its message id for two minutes; here, for a moment.
    for stream in [scene.plan.jetstream.names.retries_stream(), scene.plan.jetstream.names.dead_letters_stream()] {
        let info = scene.jetstream.stream(&stream).await.expect("an answer").expect("the stream is there");
        let duplicate_window = Duration::from_millis(100);
        let config = async_nats::jetstream::stream::Config { duplicate_window, ..info.config };
        scene.jetstream.update_stream(&config).await.expect("the stream is changed");
    }
    scene.receiver.answer(|_, _, times| if times == 1 { 503 } else { 422 });
    scene.store(["e".to_owned()]).await.expect("an event is stored");
    let mut dying = scene.start_worker("dying", Some("Parked:1")).await.expect("a worker starts");
    until("the worker dies after the park", PATIENCE, async || match dying.process.check() {
        Ok(()) => Err("alive".to_owned()),
        Err(_) => Ok(()),
    })
    .await
    .expect("the step is reached");
    // Both the parked retry and the original come to it, and both end in the dead letters.
    let _next = scene.start_worker("next", None).await.expect("a worker starts");
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.arrivals().len(), 3, "the original did not come again");
    assert_eq!(observations.figures.dead_letters.get("crm"), Some(&1), "a dead letter was written twice");
}
