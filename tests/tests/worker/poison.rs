//! Events that kill what works on them, and dead letters that can't be written.

use std::collections::BTreeSet;

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("e-{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_the_process_ends_as_poison_and_its_neighbours_are_delivered() {
    let mut spec = webhook_to(&["crm"]);
    // Acknowledgements fall due after twice the time-out and ten seconds, at least thirty; three deaths take that long.
    spec["destinations"][0]["delivery"] = json!({ "timeout": "1s" });
    let scene = Scene::new(spec).await.expect("a scene");
    scene.store(ids(0..20)).await.expect("events are stored");
    let mut deaths = 0;
    let mut worker = scene.start_worker_with("w0", &[("ROPEWAY_POISON", "e-7")]).await.expect("a worker starts");
    until("the event is poison", PATIENCE * 3, async || {
        if worker.process.check().is_err() {
            deaths += 1;
            let name = format!("w{deaths}");
            worker = scene
                .start_worker_with(&name, &[("ROPEWAY_POISON", "e-7")])
                .await
                .map_err(|error| error.to_string())?;
        }
        let dead = scene.dead_letters("crm").await.map_err(|error| error.to_string())?;
        if dead.is_empty() { Err(format!("{deaths} deaths")) } else { Ok(()) }
    })
    .await
    .expect("it ends");
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(scene.dead_letters("crm").await.expect("dead letters"), BTreeSet::from(["e-7".to_owned()]));
    assert_eq!(observations.figures.reasons.get("Poison"), Some(&1));
    assert_eq!(scene.receiver.ids("crm").len(), 19);
    assert!(deaths <= 3, "the worker died {deaths} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_refused_leaves_the_original_and_it_goes_on_when_there_is_room() {
    let mut spec = webhook_to(&["crm"]);
    spec["deadLetter"] = json!({ "hold": { "failurePercent": 100, "minimum": 1_000_000 } });
    let scene = Scene::new(spec).await.expect("a scene");
    scene.receiver.answer(|_, _, _| 422);
    let stream = scene.plan.jetstream.names.dead_letters_stream();
    let room = async |bytes: i64| {
        let info = scene.jetstream.stream(&stream).await.expect("an answer").expect("the stream is there");
        let config = async_nats::jetstream::stream::Config { max_bytes: bytes, ..info.config };
        scene.jetstream.update_stream(&config).await.expect("the stream is changed");
    };
    room(1).await;
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..10)).await.expect("events are stored");
    until("the status says so", PATIENCE, async || {
        let found = scene.condition("Healthy").await.map_err(|error| error.to_string())?;
        if found.1 == "DeadLettersRefused" { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("the status says so");
    let observations = scene.observe().await.expect("figures");
    assert_eq!((observations.figures.pending["crm"], observations.figures.dead_letters.get("crm")), (10, None));
    room(-1).await;
    let observations = scene.drained().await.expect("it goes on by itself");
    assert_eq!(observations.figures.dead_letters["crm"], 10);
    until("all are counted", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let rejected = observations.figures.counts.get("crm").map_or(0, |counts| counts.rejected);
        if rejected == 10 { Ok(()) } else { Err(format!("{rejected}")) }
    })
    .await
    .expect("each is counted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_event_can_become_a_dead_letter() {
    let scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.receiver.answer(|_, _, _| 422);
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let frame = json!({ "id": "large", "padding": "" }).to_string().len();
    let body = json!({ "id": "large", "padding": "x".repeat((256 << 10) - frame) }).to_string();
    assert_eq!(body.len(), 256 << 10);
    let client = ropeway_tests::scene::http_client();
    until("it is accepted", PATIENCE, async || {
        let mut request = client.post(&worker.url).bearer_auth(ropeway_tests::scene::TOKEN).body(body.clone());
        // Whatever else goes along: headers fit beside it.
        for number in 0..16 {
            request = request.header(format!("ce-extension{number}"), "y".repeat(900));
        }
        match request.header("content-type", "application/json").send().await.map(|answer| answer.status().as_u16()) {
            Ok(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("it is accepted");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.dead_letters("crm").await.expect("dead letters"), BTreeSet::from(["large".to_owned()]));
}
