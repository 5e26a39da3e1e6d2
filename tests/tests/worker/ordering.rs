//! Order by key: whatever dies, stops or is scaled, the events of one key arrive one after the other as they were stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ropeway_crds::integration::State;
use ropeway_tests::{
    receiver::{Receiver, Reply},
    scene::{PATIENCE, Scene, Worker, http_client, post, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

/// How long a worker gets that is asked to stop.
const GRACE: Duration = Duration::from_secs(20);

/// Where workers receive at the moment.
type Urls = Arc<Mutex<Vec<String>>>;

/// A webhook with these destinations, ordered by what stands before the dash in an id.
fn ordered(destinations: &[&str]) -> Value {
    let mut spec = webhook_to(destinations);
    spec["ordering"] = json!({ "key": "replace(string!(.id), r'-.*', \"\")" });
    spec
}

/// Sends `k<key>-0`, `k<key>-1`, … for each key: each after the one before it was accepted, all keys at once.
async fn send_keys(urls: Urls, keys: usize, each: usize, pause: Duration) -> BTreeSet<String> {
    let turns = Arc::new(AtomicUsize::new(0));
    let sending = (0..keys).map(|key| {
        let (urls, turns) = (Arc::clone(&urls), Arc::clone(&turns));
        tokio::spawn(async move {
            let client = http_client();
            for number in 0..each {
                let id = format!("k{key}-{number}");
                loop {
                    let to = {
                        let urls = urls.lock().expect("nobody panics with it");
                        let turn = turns.fetch_add(1, Ordering::Relaxed);
                        urls.get(turn % urls.len().max(1)).cloned()
                    };
                    if let Some(to) = to
                        && matches!(post(&client, &to, &id).await, Some(200..=299))
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                tokio::time::sleep(pause).await;
            }
        })
    });
    for sender in sending.collect::<Vec<_>>() {
        sender.await.expect("a sender ends");
    }
    (0..keys).flat_map(|key| (0..each).map(move |number| format!("k{key}-{number}"))).collect()
}

fn split(id: &str) -> (&str, usize) {
    let (key, number) = id.split_once('-').expect("an id has a key and a number");
    (key, number.parse().expect("a number"))
}

/// Nothing was asked of a destination before everything earlier of its key had been accepted there or given up, and
/// nothing came again but the last of its key. Answers how often something was accepted again.
fn judge_order(receiver: &Receiver, destination: &str, given_up: &BTreeSet<String>) -> usize {
    let mut accepted: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let (mut wrong, mut repeats) = (Vec::new(), 0);
    for arrival in receiver.arrivals().iter().filter(|arrival| arrival.destination == destination) {
        for id in &arrival.ids {
            let (key, number) = split(id);
            let before = accepted.entry(key.to_owned()).or_default();
            let missing = (0..number).find(|at| !before.contains(at) && !given_up.contains(&format!("{key}-{at}")));
            if let Some(missing) = missing {
                wrong.push(format!("{id} was sent while {key}-{missing} was not there"));
            }
            if let Some(later) = before.last().filter(|last| **last > number) {
                wrong.push(format!("{id} came after {key}-{later}"));
            }
            if (200..300).contains(&arrival.status) && !before.insert(number) {
                repeats += 1;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "out of order at {destination}");
    repeats
}

/// Everything is settled; what was sent is where it belongs; and in order. Answers the repeats.
async fn judge(scene: &Scene, sent: &BTreeSet<String>, destination: &str) -> usize {
    scene.drained().await.expect("everything is settled");
    let dead = scene.dead_letters(destination).await.expect("the dead letters can be read");
    let arrived: BTreeSet<String> = scene.receiver.ids(destination).into_iter().chain(dead.clone()).collect();
    assert_eq!(&arrived, sent, "{destination} got something else than what was sent");
    judge_order(&scene.receiver, destination, &dead)
}

/// A few are refused for good, some fail once, some twice.
fn answers(id: &str, times: usize) -> u16 {
    let (key, number) = split(id);
    let seed = key.len() * 31 + key.bytes().map(usize::from).sum::<usize>() * 7 + number;
    match seed {
        seed if seed.is_multiple_of(23) => 422,
        seed if seed.is_multiple_of(9) && times <= 1 => 503,
        seed if seed.is_multiple_of(17) && times <= 2 => 503,
        _ => 200,
    }
}

fn answer_with(scene: &Scene, delay: Duration, answers: impl Fn(&str, usize) -> u16 + Send + Sync + 'static) {
    scene.receiver.reply(move |asked| {
        let status = answers(&asked.ids[0], asked.times);
        Reply { status, delay, ..Reply::default() }
    });
}

/// How long the receiver takes as a rule.
const SOON: Duration = Duration::from_millis(3);

async fn start(scene: &Scene, name: &str, crash: Option<&str>, urls: &Urls) -> Worker {
    let worker = scene.start_worker(name, crash).await.expect("a worker starts");
    urls.lock().expect("nobody panics with it").push(worker.url.clone());
    worker
}

async fn stop(worker: &mut Worker, urls: &Urls) {
    urls.lock().expect("nobody panics with it").retain(|url| *url != worker.url);
    worker.process.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_from_one_to_four_and_back_keeps_order_and_repeats_nothing() {
    let scene = Scene::new(ordered(&["a", "b"])).await.expect("a scene");
    answer_with(&scene, SOON, answers);
    let urls = Urls::default();
    let mut workers = vec![start(&scene, "w0", None, &urls).await];
    let sender = tokio::spawn(send_keys(Arc::clone(&urls), 20, 50, Duration::from_millis(250)));
    let arrived = async |wanted: usize| {
        until("events arrive", PATIENCE, async || {
            let arrived = scene.receiver.ids("a").len();
            if arrived >= wanted { Ok(()) } else { Err(format!("{arrived} of {wanted}")) }
        })
        .await
        .expect("the flow goes on");
    };
    arrived(100).await;
    for name in ["w1", "w2", "w3"] {
        workers.push(start(&scene, name, None, &urls).await);
    }
    // The one that works goes first each time.
    for wanted in [250, 400, 550] {
        arrived(wanted).await;
        stop(&mut workers.remove(0), &urls).await;
    }
    let sent = sender.await.expect("the sender ends");
    for destination in ["a", "b"] {
        assert_eq!(judge(&scene, &sent, destination).await, 0, "a repeat at {destination} although nothing was killed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_named_steps_keep_order_and_lose_nothing() {
    let scene = Scene::new(ordered(&["a"])).await.expect("a scene");
    answer_with(&scene, SOON, answers);
    let urls = Urls::default();
    let sender = tokio::spawn(send_keys(Arc::clone(&urls), 20, 50, Duration::from_millis(1_500)));
    let steps = [
        "Sending:9",
        "Answered:7",
        "Parked:2",
        "Held:3",
        "Fetched:3",
        "Acknowledging:11",
        "DeadLettered:1",
        "Pulled:30",
    ];
    for (kill, crash) in steps.iter().enumerate() {
        let mut worker = start(&scene, &format!("w{kill}"), Some(crash), &urls).await;
        let died = until("the worker dies at its step", PATIENCE, async || match worker.process.check() {
            Ok(()) => Err(format!("{crash} was not reached")),
            Err(ended) => Ok(ended.to_string()),
        });
        let ended = died.await.expect("every step is reached under load");
        assert!(ended.contains("signal 9"), "the worker did not die of the kill: {ended}");
        urls.lock().expect("nobody panics with it").clear();
    }
    let _worker = start(&scene, "last", None, &urls).await;
    let sent = sender.await.expect("the sender ends");
    let repeats = judge(&scene, &sent, "a").await;
    assert!(repeats <= steps.len() * 20, "{repeats} repeats: more than one of each key at each kill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_always_fails_holds_back_no_other_and_moves_on_when_its_budget_is_spent() {
    let scene = Scene::new(ordered(&["a"])).await.expect("a scene");
    answer_with(&scene, SOON, |id, _| if id == "k0-0" { 503 } else { 200 });
    let urls = Urls::default();
    let _worker = start(&scene, "w", None, &urls).await;
    let sent = send_keys(Arc::clone(&urls), 10, 60, Duration::ZERO).await;
    let others = || scene.receiver.ids("a").into_iter().filter(|id| split(id).0 != "k0").count();
    until("other keys flow", PATIENCE, async || if others() == 540 { Ok(()) } else { Err(format!("{}", others())) })
        .await
        .expect("other keys flow");
    let dead = judge_and_dead(&scene, &sent).await;
    assert_eq!(dead, BTreeSet::from(["k0-0".to_owned()]));
    let arrivals = scene.receiver.arrivals();
    let tries = arrivals.iter().filter(|arrival| arrival.id == "k0-0").count();
    assert_eq!(tries, 5, "attempts survive being parked");
    let of_key = |key: &str| arrivals.iter().filter(|arrival| split(&arrival.id).0 == key).map(|it| it.time).max();
    let last_other = (1..10).filter_map(|key| of_key(&format!("k{key}"))).max();
    assert!(last_other < of_key("k0"), "the others did not wait for the failing key");
}

async fn judge_and_dead(scene: &Scene, sent: &BTreeSet<String>) -> BTreeSet<String> {
    assert_eq!(judge(scene, sent, "a").await, 0);
    scene.dead_letters("a").await.expect("the dead letters can be read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_sleeps_through_the_end_of_its_turn_sends_nothing_out_of_order() {
    let scene = Scene::new(ordered(&["a"])).await.expect("a scene");
    // So slow that whoever falls asleep has requests under way and events of every key behind them.
    answer_with(&scene, Duration::from_millis(150), answers);
    let urls = Urls::default();
    let sleeper = start(&scene, "sleeper", None, &urls).await;
    let awake = start(&scene, "awake", None, &urls).await;
    urls.lock().expect("nobody panics with it").retain(|url| *url == awake.url);
    let sender = tokio::spawn(send_keys(Arc::clone(&urls), 20, 60, Duration::from_millis(100)));
    let arrived = || scene.receiver.ids("a").len();
    until("events flow", PATIENCE, async || if arrived() > 100 { Ok(()) } else { Err(String::new()) })
        .await
        .expect("a flow");
    sleeper.process.freeze().await;
    let before = arrived();
    until("the other goes on", PATIENCE, async || if arrived() > before + 100 { Ok(()) } else { Err(String::new()) })
        .await
        .expect("the other worker goes on");
    let pause = scene.receiver.arrivals().windows(2).map(|two| two[1].time - two[0].time).max().unwrap_or_default();
    println!("the other worker went on after {pause:?}");
    assert!(pause > Duration::from_secs(5), "it was not the working one that slept");
    sleeper.process.thaw();
    let sent = sender.await.expect("the sender ends");
    let repeats = judge(&scene, &sent, "a").await;
    assert!(repeats <= 20, "{repeats} repeats: more than one of each key");
}

/// A scene in which the first key fails and is held: fifty events of it and of another, at `a`.
async fn with_a_held_key(destinations: &[&str]) -> (Scene, BTreeSet<String>) {
    let mut scene = Scene::new(ordered(destinations)).await.expect("a scene");
    // It stays parked for as long as a test wants.
    scene.account["delivery"] = json!({ "retry": { "backoffDelay": "30s", "backoffMax": "30s", "jitterPercent": 0 } });
    scene.apply().await.expect("another backoff");
    answer_with(&scene, SOON, |id, times| if id == "k0-0" && times == 1 { 503 } else { 200 });
    let urls = Urls::default();
    let mut worker = start(&scene, "keeps-order", None, &urls).await;
    let sent = send_keys(Arc::clone(&urls), 2, 50, Duration::ZERO).await;
    until("the other key has arrived", PATIENCE, async || {
        let arrived = scene.receiver.ids("a").len();
        if arrived == 50 { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("the other key flows");
    stop(&mut worker, &urls).await;
    assert_eq!(scene.observe().await.expect("figures").figures.pending["a"], 50, "what is held is pending");
    (scene, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_goes_on_when_order_is_no_longer_asked_for() {
    let (mut scene, sent) = with_a_held_key(&["a"]).await;
    scene.spec.as_object_mut().expect("an object").remove("ordering");
    scene.apply().await.expect("a spec without order");
    let _worker = start(&scene, "keeps-none", None, &Urls::default()).await;
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.accepted("a"), sent.into_iter().map(|id| (id, 1)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_becomes_dead_letters_when_its_destination_is_removed() {
    let (mut scene, sent) = with_a_held_key(&["a", "b"]).await;
    scene.spec["destinations"].as_array_mut().expect("a list").remove(0);
    scene.apply().await.expect("a spec without the destination");
    scene.retire_removed_lanes().await.expect("the lane is empty and gone");
    let dead = scene.dead_letters("a").await.expect("the dead letters can be read");
    assert_eq!(dead, sent.into_iter().filter(|id| split(id).0 == "k0").collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_and_a_pause_keep_order_spend_nothing_and_repeat_nothing_with_batches_and_without() {
    for batches in [false, true] {
        let mut scene = Scene::new(ordered(&["a"])).await.expect("a scene");
        scene.account = json!({ "circuitBreaker": { "failureThreshold": 3, "openDuration": "500ms" } });
        if batches {
            scene.account["provider"] = json!({ "http": { "format": "JsonArray" } });
            scene.account["batching"] = json!({ "maxItems": 5, "maxWait": "50ms" });
        }
        scene.apply().await.expect("a circuit that opens");
        let down = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&down);
        answer_with(&scene, SOON, move |_, _| if is_down.load(Ordering::SeqCst) { 503 } else { 200 });
        let urls = Urls::default();
        let _workers = [start(&scene, "w0", None, &urls).await, start(&scene, "w1", None, &urls).await];
        let sender = tokio::spawn(send_keys(Arc::clone(&urls), 10, 40, Duration::from_millis(200)));
        let arrived = async |scene: &Scene, wanted: usize| {
            until("events arrive", PATIENCE, async || {
                let arrived = scene.receiver.ids("a").len();
                if arrived >= wanted { Ok(()) } else { Err(format!("{arrived} of {wanted}")) }
            })
            .await
            .expect("the flow goes on");
        };
        arrived(&scene, 60).await;
        down.store(true, Ordering::SeqCst);
        let before = scene.receiver.arrivals().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let asked = scene.receiver.arrivals().len() - before;
        assert!(asked < 40, "{asked} requests although the circuit is open");
        down.store(false, Ordering::SeqCst);
        arrived(&scene, 200).await;
        scene.wish(State::Paused).await.expect("a pause");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = scene.receiver.arrivals().len();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(scene.receiver.arrivals().len(), before, "something was sent during a pause");
        scene.wish(State::Running).await.expect("the end of the pause");
        let sent = sender.await.expect("the sender ends");
        assert_eq!(judge(&scene, &sent, "a").await, 0, "batches: {batches}");
        assert!(scene.dead_letters("a").await.expect("the dead letters can be read").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_held_keeps_its_order_until_it_goes_on() {
    let mut spec = ordered(&["a"]);
    spec["deadLetter"] = json!({ "hold": { "failurePercent": 50, "minimum": 10 } });
    let mut scene = Scene::new(spec).await.expect("a scene");
    answer_with(&scene, SOON, |_, _| 422);
    let urls = Urls::default();
    let mut worker = start(&scene, "refused", None, &urls).await;
    let sent = send_keys(Arc::clone(&urls), 5, 20, Duration::ZERO).await;
    let mut before = usize::MAX;
    until("the lane is held", PATIENCE, async || {
        let now = scene.receiver.arrivals().len();
        let still = now >= 10 && now == std::mem::replace(&mut before, now);
        tokio::time::sleep(Duration::from_millis(500)).await;
        if still { Ok(()) } else { Err(format!("{now} requests")) }
    })
    .await
    .expect("the lane is held");
    let dead = scene.dead_letters("a").await.expect("the dead letters can be read").len();
    assert!((5..60).contains(&dead), "{dead} dead letters");
    answer_with(&scene, SOON, |_, _| 200);
    stop(&mut worker, &urls).await;
    // Another configuration is tried at once.
    scene.spec["deadLetter"]["retention"] = json!("1h");
    scene.apply().await.expect("another configuration");
    let _worker = start(&scene, "accepted", None, &urls).await;
    assert_eq!(judge(&scene, &sent, "a").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_the_server_keep_order() {
    let mut scene = Scene::new(ordered(&["a"])).await.expect("a scene");
    answer_with(&scene, SOON, |id, times| if split(id).1 % 9 == 4 && times == 1 { 503 } else { 200 });
    let urls = Urls::default();
    let _workers = [start(&scene, "w0", None, &urls).await, start(&scene, "w1", None, &urls).await];
    let sender = tokio::spawn(send_keys(Arc::clone(&urls), 20, 40, Duration::from_millis(150)));
    for wanted in [150, 350, 550] {
        until("events arrive", PATIENCE, async || {
            let arrived = scene.receiver.ids("a").len();
            if arrived >= wanted { Ok(()) } else { Err(format!("{arrived} of {wanted}")) }
        })
        .await
        .expect("the flow goes on after a kill");
        scene.nats.kill();
        scene.nats.restart().await.expect("nats-server starts again");
    }
    let sent = sender.await.expect("the sender ends");
    judge(&scene, &sent, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_events_fill_the_hand_behind_a_slow_one_lets_others_by() {
    let mut spec = ordered(&["a"]);
    spec["state"] = json!("Paused");
    let mut scene = Scene::new(spec).await.expect("a scene");
    scene.receiver.reply(|asked| Reply {
        status: 200,
        delay: if asked.ids[0] == "k0-0" { Duration::from_millis(4_500) } else { SOON },
        ..Reply::default()
    });
    let urls = Urls::default();
    let mut worker = start(&scene, "w", None, &urls).await;
    // More of it than the hand takes, all before anything of another key.
    let mut sent = send_keys(Arc::clone(&urls), 1, 600, Duration::ZERO).await;
    let others: BTreeSet<String> =
        (1..6).flat_map(|key| (0..5).map(move |number| format!("k{key}-{number}"))).collect();
    let client = http_client();
    for id in &others {
        assert_eq!(post(&client, &worker.url, id).await, Some(200));
    }
    sent.extend(others.clone());
    scene.wish(State::Running).await.expect("running");
    until("others pass", PATIENCE, async || {
        let ids = scene.receiver.ids("a");
        if others.is_subset(&ids) { Ok(ids) } else { Err(format!("{} arrived", ids.len())) }
    })
    .await
    .map(|ids| assert!(!ids.contains("k0-1"), "the others waited for the slow one"))
    .expect("others pass");
    // The slow one is under way, in nobody's hand but this worker's, and what follows it is held already.
    worker.process.kill();
    let _worker = start(&scene, "next", None, &urls).await;
    // At the kill one event of each key may have been accepted and not be settled yet.
    assert!(judge(&scene, &sent, "a").await <= 6, "more than what was under way came again");
}
