//! A destination that fails for a while: nothing is lost, nothing is given up, and it is left alone until it answers again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ropeway_tests::{
    receiver::Arrival,
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

/// How long the destination is away. The circuit's times are scaled to it: ten minutes and a minute become 12 s and 1.2 s.
const AWAY: Duration = Duration::from_secs(12);
const OPEN: Duration = Duration::from_millis(1_200);

fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("e-{number}"))
}

async fn reaches(scene: &Scene, kind: &str, status: &str) -> String {
    until(&format!("{kind} is {status}"), PATIENCE, async || {
        let found = scene.condition(kind).await.map_err(|error| error.to_string())?;
        if found.0 == status { Ok(found.1) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("the condition changes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_event_and_no_attempt_and_the_backlog_drains_within_the_limit() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account = json!({
        "circuitBreaker": { "failureThreshold": 5, "openDuration": "1200ms" },
        "rateLimit": { "requests": 200, "per": "1s" },
        // Three attempts would be spent at once by the outage, if probes and waiting spent any.
        "delivery": { "retry": { "maxAttempts": 3, "maxElapsed": "8s", "backoffDelay": "300ms", "backoffMax": "1s" } },
    });
    scene.apply().await.expect("the account is described");
    let away = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&away);
    scene.receiver.answer(move |_, _, _| if answer.load(Ordering::SeqCst) { 503 } else { 200 });
    let _one = scene.start_worker("one", None).await.expect("a worker starts");
    let _two = scene.start_worker("two", None).await.expect("a worker starts");
    scene.store(ids(0..200)).await.expect("events are stored");
    scene.drained().await.expect("all is well at first");
    away.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    // A steady flow all the while.
    for portion in 0..12 {
        scene.store(ids(200 + portion * 100..300 + portion * 100)).await.expect("events are stored");
        tokio::time::sleep_until((begun + AWAY / 12 * (portion as u32 + 1)).into()).await;
        if portion == 5 {
            assert_eq!(reaches(&scene, "Healthy", "False").await, "CircuitOpen");
            assert_ne!(
                scene.condition("Ready").await.expect("a condition").0,
                "False",
                "an outage is no fault of ours"
            );
        }
    }
    away.store(false, Ordering::SeqCst);
    let back = Instant::now();
    let observations = scene.drained().await.expect("the backlog drains");
    assert!(
        observations.figures.dead_letters.is_empty(),
        "events were given up: {:?}",
        observations.figures.dead_letters
    );
    assert_eq!(scene.receiver.ids("crm").len(), 1_400);
    reaches(&scene, "Healthy", "True").await;
    let during: Vec<Arrival> = scene.receiver.arrivals().into_iter().filter(|arrival| arrival.status == 503).collect();
    let opened = during.iter().map(|arrival| arrival.time).find(|time| *time > begun + Duration::from_millis(900));
    let probes: Vec<Instant> = during.iter().map(|arrival| arrival.time).filter(|time| Some(*time) >= opened).collect();
    assert!(probes.len() >= 4, "it was probed {} times", probes.len());
    for pair in probes.windows(2) {
        assert!(pair[1] - pair[0] >= OPEN * 8 / 10, "two probes within {:?}", pair[1] - pair[0]);
    }
    let drained: Vec<Instant> =
        scene.receiver.arrivals().iter().filter(|arrival| arrival.time > back).map(|arrival| arrival.time).collect();
    let densest = densest(&drained);
    println!(
        "{} requests failed, {} of them probes; {densest} in the densest second of the drain",
        during.len(),
        probes.len()
    );
    assert!(densest <= 204, "{densest} in one second");
}

fn densest(times: &[Instant]) -> usize {
    let second = Duration::from_secs(1);
    let within = |from: Instant| times.iter().filter(|time| **time >= from && **time < from + second).count();
    times.iter().map(|from| within(*from)).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_destination_that_hangs_does_not_slow_its_neighbours() {
    let names = ["hangs", "a", "b", "c"];
    let mut spec = webhook_to(&names);
    spec["destinations"][0]["delivery"] = json!({ "timeout": "60s" });
    let scene = Scene::new(spec).await.expect("a scene");
    scene.receiver.reply(|asked| ropeway_tests::receiver::Reply {
        status: 200,
        delay: if asked.destination == "hangs" { Duration::from_secs(50) } else { Duration::ZERO },
        ..Default::default()
    });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(ids(0..500)).await.expect("events are stored");
    until("the neighbours have everything", Duration::from_secs(30), async || {
        let arrived: Vec<usize> = names[1..].iter().map(|name| scene.receiver.ids(name).len()).collect();
        if arrived == [500, 500, 500] { Ok(()) } else { Err(format!("{arrived:?}")) }
    })
    .await
    .expect("nobody waits for a neighbour");
}
