//! Kills: whatever dies and when, nothing is lost by an independent count of ids, and duplicates stay within what was in
//! hand.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use ropeway_tests::{
    scene::{PATIENCE, Scene, send_until_accepted, webhook_to},
    wait::until,
};

/// As many messages as one lane may have in hand.
const IN_HAND: usize = ropeway_worker::account::CONCURRENCY * 2;

/// Some ids are refused for good at `b`; every seventh has to be tried twice at `a`.
fn answers(destination: &str, id: &str, times: usize) -> u16 {
    let number: usize = id.trim_start_matches("e-").parse().unwrap_or(0);
    match destination {
        "b" if number.is_multiple_of(11) => 422,
        "a" if number.is_multiple_of(7) && times == 1 => 503,
        _ => 200,
    }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("e-{number}")).collect()
}

fn refused(id: &str) -> bool {
    answers("b", id, 1) == 422
}

/// Every accepted id is where it belongs, and there are no more repeats than was in hand at the kills.
async fn judge(scene: &Scene, accepted: &BTreeSet<String>, kills: usize) {
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(&scene.receiver.ids("a"), accepted, "a got something else than what was accepted");
    let dead = scene.dead_letters("b").await.expect("the dead letters can be read");
    let expected: BTreeSet<String> = accepted.iter().filter(|id| refused(id.as_str())).cloned().collect();
    assert_eq!(dead, expected, "the dead letters are others than those that were refused");
    let arrived: BTreeSet<String> = scene.receiver.ids("b").into_iter().chain(dead).collect();
    assert_eq!(&arrived, accepted, "b got something else than what was accepted");
    assert!(scene.dead_letters("a").await.expect("the dead letters can be read").is_empty());
    assert_eq!(
        observations.figures.dead_letters.get("b").copied().unwrap_or(0),
        expected.len() as u64,
        "a dead letter twice"
    );
    for destination in ["a", "b"] {
        let repeats: usize = scene.receiver.accepted(destination).values().map(|times| times - 1).sum();
        assert!(repeats <= kills * IN_HAND, "{repeats} repeats at {destination} after {kills} kills");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_of_the_worker_at_named_steps_lose_nothing() {
    let scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    scene.receiver.answer(answers);
    let steps = ["Pulled", "Mapped", "Sending", "Answered", "Parked", "DeadLettered", "Acknowledging"];
    let url = Arc::new(Mutex::new("http://127.0.0.1:1/hook".to_owned()));
    let sender = tokio::spawn(send_until_accepted(Arc::clone(&url), ids(1_500)));
    for kill in 0..20 {
        let step = steps[kill % steps.len()];
        let crash = format!("{step}:{}", 1 + kill % 4);
        let mut worker = scene.start_worker(&format!("worker-{kill}"), Some(&crash)).await.expect("a worker starts");
        url.lock().unwrap().clone_from(&worker.url);
        let died = until("the worker dies at its step", PATIENCE, async || match worker.process.check() {
            Ok(()) => Err(format!("{step} was not reached")),
            Err(ended) => Ok(ended.to_string()),
        });
        let ended = died.await.expect("every step is reached under load");
        assert!(ended.contains("signal 9"), "the worker did not die of the kill: {ended}");
        // What it had in hand is owed an acknowledgement still.
        let mut in_hand = 0;
        for lane in &scene.plan.jetstream.lanes {
            for stream in [scene.plan.jetstream.source_stream(), &scene.plan.jetstream.names.retries_stream()] {
                let info =
                    scene.jetstream.consumer(stream, lane.lane.as_str()).await.unwrap().expect("the consumer is there");
                in_hand += info.num_ack_pending;
            }
        }
        assert!(in_hand > 0, "nothing was in hand when the worker died at {crash}");
    }
    let worker = scene.start_worker("worker-last", None).await.expect("a worker starts");
    url.lock().unwrap().clone_from(&worker.url);
    let accepted = sender.await.expect("the sender ends");
    assert_eq!(accepted.len(), 1_500);
    judge(&scene, &accepted, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_kills_of_the_server_lose_nothing() {
    let mut scene = Scene::new(webhook_to(&["a", "b"])).await.expect("a scene");
    scene.receiver.answer(answers);
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let url = Arc::new(Mutex::new(worker.url.clone()));
    let sender = tokio::spawn(send_until_accepted(url, ids(1_000)));
    for kill in 1..=5 {
        // Something has to be under way at each kill.
        let wanted = kill * 120;
        until("events arrive", PATIENCE, async || {
            let arrived = scene.receiver.ids("a").len();
            if arrived >= wanted { Ok(()) } else { Err(format!("{arrived} of {wanted}")) }
        })
        .await
        .expect("the flow goes on after a kill");
        scene.nats.kill();
        scene.nats.restart().await.expect("nats-server starts again");
    }
    let accepted = sender.await.expect("the sender ends");
    assert_eq!(accepted.len(), 1_000);
    judge(&scene, &accepted, 5).await;
}
