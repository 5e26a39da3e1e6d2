//! Destinations and lanes that are held: nothing is spent, nothing is given up, neighbours keep going.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ropeway_crds::{account::CircuitRecord, names};
use ropeway_tests::{
    scene::{PATIENCE, Scene, http_client, post, webhook_to},
    wait::until,
};
use serde_json::json;

fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("e-{number}"))
}

async fn healthy(scene: &Scene, reason: &str) {
    until(&format!("Healthy says {reason}"), PATIENCE, async || {
        let found = scene.condition("Healthy").await.map_err(|error| error.to_string())?;
        if found.1 == reason { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("the condition says so");
}

async fn arrived(scene: &Scene, destination: &str, count: usize) {
    until(&format!("{count} at {destination}"), PATIENCE, async || {
        let arrived = scene.receiver.ids(destination).len();
        if arrived == count { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("they arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_hold_the_destination_until_they_are_accepted() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["delivery"] = json!({ "retry": { "maxAttempts": 1 } });
    scene.apply().await.expect("the account is described");
    let right = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&right);
    scene.receiver.answer(move |_, _, _| if answer.load(Ordering::SeqCst) { 200 } else { 401 });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..300)).await.expect("events are stored");
    healthy(&scene, "CredentialsRefused").await;
    let asked = scene.receiver.arrivals().len();
    assert!(asked <= 130, "{asked} requests with credentials that are refused");
    right.store(true, Ordering::SeqCst);
    let observations = scene.drained().await.expect("it goes on by itself");
    assert_eq!(scene.receiver.ids("crm").len(), 300);
    assert!(observations.figures.dead_letters.is_empty());
    healthy(&scene, "Delivering").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_records_that_are_forbidden_in_a_row_hold_the_destination_and_a_single_one_does_not() {
    let mut scene = Scene::new(webhook_to(&["all", "one"])).await.expect("a scene");
    scene.account["rateLimit"] = json!({ "maxConcurrency": 1 });
    scene.account["circuitBreaker"]["openDuration"] = json!("1s");
    scene.apply().await.expect("the account is described");
    let allowed = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&allowed);
    scene.receiver.answer(move |destination, id, _| match destination {
        "all" if !answer.load(Ordering::SeqCst) => 403,
        "one" if id == "e-7" => 403,
        _ => 200,
    });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..50)).await.expect("events are stored");
    healthy(&scene, "DestinationGone").await;
    arrived(&scene, "one", 49).await;
    allowed.store(true, Ordering::SeqCst);
    scene.drained().await.expect("it goes on by itself");
    assert_eq!(scene.dead_letters("one").await.expect("dead letters").len(), 1);
    // Those that came before it was clear.
    let given_up = scene.dead_letters("all").await.expect("dead letters").len();
    assert!(given_up <= 4, "{given_up} were given up");
    assert_eq!(scene.receiver.ids("all").len(), 50 - given_up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_events_would_all_become_dead_letters_is_held_and_goes_on_when_they_are_accepted() {
    let mut spec = webhook_to(&["crm"]);
    spec["deadLetter"] = json!({ "hold": { "failurePercent": 50, "minimum": 20, "window": "5m" } });
    let mut scene = Scene::new(spec).await.expect("a scene");
    let wrong = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&wrong);
    scene.receiver.answer(move |_, _, _| if answer.load(Ordering::SeqCst) { 422 } else { 200 });
    let mut worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..200)).await.expect("events are stored");
    healthy(&scene, "DeliveryHeld").await;
    assert_eq!(scene.condition("DeliveryHeld").await.expect("a condition").0, "True");
    let given_up = scene.dead_letters("crm").await.expect("dead letters").len();
    assert!(given_up < 150, "{given_up} were given up before it was held");
    // Another configuration is tried at once.
    wrong.store(false, Ordering::SeqCst);
    scene.spec["event"]["type"] = json!("another");
    scene.apply().await.expect("another configuration");
    worker.process.kill();
    let _worker = scene.start_worker("again", None).await.expect("a worker starts");
    let observations = scene.drained().await.expect("it goes on");
    assert_eq!(scene.receiver.ids("crm").len() + given_up, 200);
    assert_eq!(observations.figures.dead_letters.get("crm").copied().unwrap_or(0), given_up as u64);
    assert!(scene.condition("DeliveryHeld").await.is_err(), "it is still said to be held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_lane_sets_its_events_aside_so_that_its_neighbour_keeps_going() {
    let mut spec = webhook_to(&["held", "free"]);
    spec["storage"] = json!({ "maxBytes": "1Mi" });
    spec["destinations"][0]["delivery"] = json!({ "retry": { "maxAttempts": 1 } });
    let mut scene = Scene::new(spec).await.expect("a scene");
    scene.account["circuitBreaker"]["openDuration"] = json!("2s");
    scene.apply().await.expect("the account is described");
    let closed = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&closed);
    scene.receiver.answer(
        move |destination, _, _| {
            if destination == "held" && answer.load(Ordering::SeqCst) { 401 } else { 200 }
        },
    );
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    let padding = "x".repeat(1_000);
    // Twice what the stream has room for.
    for number in 0..2_000 {
        let body = json!({ "id": format!("e-{number}"), "padding": padding }).to_string();
        until("there is room", PATIENCE, async || {
            let sending = client.post(&worker.url).bearer_auth(ropeway_tests::scene::TOKEN).body(body.clone());
            match sending.header("content-type", "application/json").send().await.map(|answer| answer.status().as_u16())
            {
                Ok(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .expect("the neighbour keeps the stream going");
    }
    arrived(&scene, "free", 2_000).await;
    assert_eq!(scene.receiver.ids("held").len(), 0);
    closed.store(false, Ordering::SeqCst);
    let observations = scene.drained().await.expect("the held lane catches up");
    assert_eq!(scene.receiver.ids("held").len(), 2_000);
    assert!(observations.figures.dead_letters.is_empty(), "attempts were spent");
    assert_eq!(post(&client, &worker.url, "last").await, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_that_a_person_holds_open_stays_so_and_one_that_is_resumed_is_tried_at_once() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["circuitBreaker"] = json!({ "failureThreshold": 2, "openDuration": "1h" });
    scene.apply().await.expect("the account is described");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let names = &scene.plan.jetstream.names;
    let account = scene.plan.jetstream.lanes[0].account.clone().expect("a lane has an account");
    let (bucket, key) = (names.state_bucket(), names::circuit_key(&account));
    let policy = ropeway_crds::limits::BreakerPolicy::resolve(None);
    let wish = async |event: &ropeway_crds::circuit::Event| {
        let entry = scene.jetstream.entry(&bucket, &key).await.expect("an answer");
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let now = jiff::Timestamp::now();
        let known = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
        let record = known.unwrap_or_else(|| CircuitRecord::closed(now));
        let next = ropeway_crds::circuit::next(&record, event, &policy, now).expect("a transition");
        scene.jetstream.put_entry(&bucket, &key, &next, Some(revision)).await.expect("an answer");
    };
    wish(&ropeway_crds::circuit::Event::OpenManually).await;
    healthy(&scene, "HeldByHand").await;
    // One that starts now must know before it sends anything.
    let _another = scene.start_worker("another", None).await.expect("a worker starts");
    scene.store(ids(0..10)).await.expect("events are stored");
    let quiet = tokio::time::timeout(Duration::from_secs(3), arrived(&scene, "crm", 1)).await;
    assert!(quiet.is_err(), "something was sent although a person holds the circuit open");
    wish(&ropeway_crds::circuit::Event::CloseManually).await;
    arrived(&scene, "crm", 10).await;
    // An hour would be a long wait.
    scene.receiver.answer(|_, _, _| 503);
    scene.store(ids(10..20)).await.expect("events are stored");
    healthy(&scene, "CircuitOpen").await;
    scene.receiver.answer(|_, _, _| 200);
    wish(&ropeway_crds::circuit::Event::Resume).await;
    arrived(&scene, "crm", 20).await;
}
