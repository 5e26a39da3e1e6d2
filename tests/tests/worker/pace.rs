//! How fast destinations are served: one limit over all workers, and what their answers ask for.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_tests::{
    receiver::Reply,
    scene::{PATIENCE, Scene, Worker, webhook_to},
    wait::until,
};
use serde_json::json;

fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("e-{number}"))
}

/// The most that lies in any window of one second; times in microseconds.
fn densest(times: &[i64]) -> usize {
    windows(times).max().unwrap_or(0)
}

/// How many lie in the second that ends with each of them.
fn windows(times: &[i64]) -> impl Iterator<Item = usize> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut first = 0;
    (0..times.len()).map(move |last| {
        while times[first] <= times[last] - 1_000_000 {
            first += 1;
        }
        last + 1 - first
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_that_come_and_go_keep_one_limit_together() {
    const LENGTH: Duration = Duration::from_secs(60);
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account = json!({ "rateLimit": { "requests": 50, "per": "1s", "burst": 1 } });
    scene.apply().await.expect("the account is described");
    scene.store(ids(0..5_000)).await.expect("events are stored");
    let state = format!("KV_{}", scene.plan.jetstream.names.state_bucket());
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("a path");
    let start =
        async |name: String| scene.start_worker_with(&name, &[("ROPEWAY_LOG_SENDS", path)]).await.expect("it starts");
    let begun = Instant::now();
    let mut workers: HashMap<usize, Worker> = HashMap::new();
    for number in 0..4 {
        workers.insert(number, start(format!("w{number}")).await);
    }
    let writes_before = scene.jetstream.stream(&state).await.expect("an answer").expect("a bucket").state.last_sequence;
    let mut turn = 4;
    while begun.elapsed() < LENGTH {
        tokio::time::sleep_until((begun + Duration::from_secs(8) * (turn - 3) as u32).min(begun + LENGTH).into()).await;
        // One is killed, another takes its place a little later.
        workers.remove(&(turn - 4));
        workers.insert(turn, start(format!("w{turn}")).await);
        turn += 1;
    }
    let writes = scene.jetstream.stream(&state).await.expect("an answer").expect("a bucket").state.last_sequence;
    let arrivals = scene.receiver.arrivals();
    let zero = arrivals[0].time;
    let arrived: Vec<i64> =
        arrivals.iter().map(|arrival| i64::try_from((arrival.time - zero).as_micros()).expect("it is small")).collect();
    let sent: Vec<i64> = std::fs::read_to_string(path)
        .expect("the log is there")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    let (sends, arrived_densest) = (densest(&sent), densest(&arrived));
    println!(
        "{} sent, at most {sends} sends and {arrived_densest} arrivals within a second; {:.1} writes a second to the bucket",
        sent.len(),
        (writes - writes_before) as f64 / begun.elapsed().as_secs_f64(),
    );
    assert!(sends <= 51, "{sends} sends within a second");
    // What was sent evenly arrives unevenly where the receiver itself was kept from its core for a moment.
    let crowded = windows(&arrived).filter(|arrivals| *arrivals > 52).count();
    assert!(crowded * 100 <= arrived.len(), "{crowded} windows of {} had more than 52 arrivals", arrived.len());
    assert!(arrived_densest <= 60, "{arrived_densest} arrivals within a second");
    // It may admit too little while workers come and go, but not much.
    assert!(sent.len() >= 2_400, "only {} of 3000 were sent", sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_requests_under_way_than_workers_leave_no_event_behind() {
    const DELAY: Duration = Duration::from_millis(30);
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["rateLimit"] = json!({ "maxConcurrency": 1 });
    scene.apply().await.expect("the account is described");
    scene.receiver.reply(|_| Reply { status: 200, delay: DELAY, ..Reply::default() });
    let mut workers = Vec::new();
    for number in 0..3 {
        workers.push(scene.start_worker(&format!("w{number}"), None).await.expect("a worker starts"));
    }
    scene.store(ids(0..300)).await.expect("events are stored");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("crm").len(), 300);
    let arrivals = scene.receiver.arrivals();
    let together = arrivals.windows(2).filter(|pair| pair[1].time - pair[0].time < DELAY * 9 / 10).count();
    println!("{} requests, {together} while another was under way", arrivals.len());
    // While workers find out about each other, and when one takes the place of another.
    assert!(together <= 30, "{together} requests while another was under way");
}

/// A way to say how long to be left alone: the headers of an answer.
type Headers = fn(Timestamp) -> Vec<(&'static str, String)>;
type Dialect = (&'static str, Headers);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_asks_to_be_left_alone_is_left_alone_in_every_dialect() {
    const CLOSED: i64 = 3;
    let dialects: [Dialect; 6] = [
        ("seconds", |_| vec![("retry-after", CLOSED.to_string())]),
        ("date", |now| {
            let until = (now + jiff::SignedDuration::from_secs(CLOSED + 1)).to_zoned(jiff::tz::TimeZone::UTC);
            vec![("retry-after", until.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())]
        }),
        ("epoch", |now| {
            vec![
                ("x-ratelimit-remaining", "0".into()),
                ("x-ratelimit-reset", (now.as_second() + CLOSED + 1).to_string()),
            ]
        }),
        ("fromnow", |_| vec![("x-ratelimit-remaining", "0".into()), ("x-ratelimit-reset", CLOSED.to_string())]),
        ("draft", |_| vec![("ratelimit", format!("\"default\";r=0;t={CLOSED}"))]),
        ("window", |_| {
            vec![
                ("x-hubspot-ratelimit-remaining", "0".into()),
                ("x-hubspot-ratelimit-interval-milliseconds", (CLOSED * 1_000).to_string()),
            ]
        }),
    ];
    let names: Vec<&str> = dialects.iter().map(|(name, _)| *name).collect();
    let mut scene = Scene::new(webhook_to(&names)).await.expect("a scene");
    // One request under way at a time, so that none is on its way when the window closes.
    scene.account["rateLimit"] = json!({ "maxConcurrency": 1 });
    scene.apply().await.expect("the account is described");
    let table: HashMap<String, Headers> =
        dialects.iter().map(|(name, headers)| ((*name).to_owned(), *headers)).collect();
    scene.receiver.reply(move |asked| {
        if asked.ids[0] == "e-3" && asked.times == 1 {
            return Reply { status: 429, headers: table[asked.destination](Timestamp::now()), ..Reply::default() };
        }
        200.into()
    });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..20)).await.expect("events are stored");
    let observations = scene.drained().await.expect("everything is settled");
    assert!(observations.figures.dead_letters.is_empty());
    let arrivals = scene.receiver.arrivals();
    for name in names {
        let here: Vec<_> = arrivals.iter().filter(|arrival| arrival.destination == name).collect();
        let refused = here.iter().position(|arrival| arrival.status == 429).expect("one was refused");
        let next = here.get(refused + 1).expect("it went on");
        let pause = next.time - here[refused].time;
        assert!(pause >= Duration::from_millis(2_900), "{name}: the next request came after {pause:?}");
        assert!(pause <= Duration::from_secs(8), "{name}: the next request came only after {pause:?}");
        assert_eq!(scene.receiver.ids(name).len(), 20, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absurd_wish_is_bounded_and_one_in_the_past_means_now() {
    let mut scene = Scene::new(webhook_to(&["absurd", "past"])).await.expect("a scene");
    scene.account["delivery"] = json!({ "retry": { "retryAfterMax": "2s", "maxAttempts": 5 } });
    scene.apply().await.expect("the account is described");
    scene.receiver.reply(|asked| match (asked.times, asked.destination) {
        (1, "absurd") => Reply { status: 429, headers: vec![("retry-after", "99999999".into())], ..Reply::default() },
        (1, _) => Reply {
            status: 503,
            headers: vec![("retry-after", "Tue, 24 Nov 2020 12:00:30 GMT".into())],
            ..Reply::default()
        },
        _ => 200.into(),
    });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..1)).await.expect("an event is stored");
    until("both go on", PATIENCE, async || {
        let arrived = (scene.receiver.ids("absurd").len(), scene.receiver.ids("past").len());
        if arrived == (1, 1) { Ok(()) } else { Err(format!("{arrived:?}")) }
    })
    .await
    .expect("both are tried again");
    let pause = |name: &str| {
        let times: Vec<Instant> = scene
            .receiver
            .arrivals()
            .iter()
            .filter(|arrival| arrival.destination == name)
            .map(|arrival| arrival.time)
            .collect();
        times[1] - times[0]
    };
    let (absurd, past) = (pause("absurd"), pause("past"));
    assert!(absurd >= Duration::from_millis(1_900) && absurd < Duration::from_secs(10), "{absurd:?}");
    assert!(past < Duration::from_secs(5), "{past:?}");
}
