//! Polling an API that fails, refuses, or answers nonsense: what passes is waited for, and what does not is said.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ropeway_tests::{
    paged::{Answer, Paged, row},
    scene::{PATIENCE, Scene},
    wait::until,
};
use serde_json::{Value, json};

use super::poll::{arrived, pages, polling, record_is};

fn rows(count: u32) -> Vec<Value> {
    (0..count).map(|number| row(&format!("r-{number}"), number)).collect()
}

async fn source_ready(scene: &Scene, status: &str) -> (String, String) {
    until(&format!("SourceReady is {status}"), PATIENCE, async || {
        let found = scene.status().await.map_err(|error| error.to_string())?.conditions;
        let found = found.into_iter().find(|condition| condition.type_ == "SourceReady").ok_or("no condition")?;
        if found.status == status { Ok((found.reason, found.message)) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("the condition changes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_run_is_said_with_its_remedy_and_recovers_by_itself() {
    let api = Paged::start(rows(5), 0).await.expect("an API");
    let scene = Scene::new(polling(&api, "/all", json!({ "maxPageBytes": "4Ki" }))).await.expect("a scene");
    let elsewhere = "https://elsewhere.example.com/v2?secret=s3cret";
    let cases: [(&str, &str, Answer); 9] = [
        ("PollRefused", "401", Answer::status(401)),
        ("PollRefused", "lack a right", Answer::status(403)),
        ("PollRefused", "404", Answer::status(404)),
        (
            "PollRefused",
            "redirect to https://elsewhere.example.com, which",
            Answer::status(302).header("location", elsewhere),
        ),
        ("PollUnreadable", "not JSON", Answer::status(200).body("<html>")),
        ("PollUnreadable", "nothing at \"/data\"", Answer::status(200).body("{\"items\":[]}")),
        ("PollUnreadable", "no array", Answer::status(200).body("{\"data\":{}}")),
        (
            "PollUnreadable",
            "larger than 4096 bytes",
            Answer::status(200).body(format!("{{\"data\":[]}}{}", " ".repeat(4096))),
        ),
        ("PollUnreadable", "cursor.field", Answer::status(200).body("{\"data\":[{\"id\":\"x\"}]}")),
    ];
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    arrived(&scene, 5).await;
    for (reason, words, answer) in cases {
        api.instead(move |_| Some(answer.clone()));
        let (found, message) = source_ready(&scene, "False").await;
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(words) && !message.contains("s3cret"), "{message}");
        api.recover();
        source_ready(&scene, "True").await;
    }
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(observations.figures.last_sequence, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_pass_are_waited_for_and_the_run_goes_on_at_its_page() {
    let api = Paged::start(rows(30), 10).await.expect("an API");
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    api.instead(move |asked| {
        let second = asked.query.get("at").is_some_and(|at| at == "10");
        (second && counted.fetch_add(1, Ordering::SeqCst) < 4).then(|| Answer::status(503))
    });
    let scene = Scene::new(polling(&api, "/token", json!({ "pagination": pages("/token"), "interval": "1h" })))
        .await
        .expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let (reason, _) = source_ready(&scene, "False").await;
    assert_eq!(reason, "PollFailing");
    arrived(&scene, 30).await;
    source_ready(&scene, "True").await;
    let places: Vec<Option<String>> = api.asked().iter().map(|asked| asked.query.get("at").cloned()).collect();
    let ten = Some("10".to_owned());
    assert_eq!(places, [None, ten.clone(), ten.clone(), ten.clone(), ten.clone(), ten, Some("20".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_asked_while_the_api_wants_to_be_left_alone() {
    let api = Paged::start(rows(20), 10).await.expect("an API");
    let closed: Arc<Mutex<Option<Instant>>> = Arc::default();
    let seen = Arc::clone(&closed);
    api.instead(move |asked| {
        let mut closed = seen.lock().expect("no panic");
        let second = asked.query.contains_key("at") && closed.is_none();
        second.then(|| {
            *closed = Some(Instant::now());
            Answer::status(429).header("retry-after", "6")
        })
    });
    let scene = Scene::new(polling(&api, "/token", json!({ "pagination": pages("/token"), "interval": "1h" })))
        .await
        .expect("a scene");
    // Two of them: the wish is kept by whoever would ask next.
    let _one = scene.start_worker("one", None).await.expect("a worker starts");
    let _two = scene.start_worker("two", None).await.expect("a worker starts");
    arrived(&scene, 20).await;
    let closed = closed.lock().expect("no panic").expect("it was refused");
    let within: Vec<Duration> = api
        .asked()
        .iter()
        .filter(|asked| asked.time > closed)
        .map(|asked| asked.time - closed)
        .filter(|after| *after < Duration::from_millis(5_900))
        .collect();
    assert!(within.is_empty(), "asked within the closed window: {within:?}");
    assert_eq!(api.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_lead_elsewhere_or_in_a_circle_or_never_end_are_not_followed() {
    let next =
        |url: &str| Answer::status(200).body(json!({ "data": [row("a", 1)], "paging": { "next": url } }).to_string());
    let trap = Paged::start(rows(1), 0).await.expect("an API");
    let foreign = trap.url("/next");
    let cases: [(&str, Value, Answer, usize); 3] = [
        ("where our credentials don't go", json!({}), next(&foreign), 1),
        ("circle", json!({}), next("/next?at=1"), 2),
        ("more than 3 pages", json!({ "maxPages": 3 }), Answer::default(), 3),
    ];
    for (words, mut more, answer, requests) in cases {
        let api = Paged::start(rows(50), 1).await.expect("an API");
        more["pagination"] = pages("/next");
        more["interval"] = json!("1h");
        if answer.status != 0 {
            api.instead(move |_| Some(answer.clone()));
        }
        let scene = Scene::new(polling(&api, "/next", more)).await.expect("a scene");
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        let record = record_is(&scene, "the run ends early", |record| record.problem.is_some()).await;
        let problem = record.problem.expect("a problem");
        assert_eq!(problem.reason, "PollPagination");
        assert!(problem.message.contains(words), "{}", problem.message);
        assert_eq!(record.cursor, None, "what was not read whole commits nothing");
        assert_eq!(record.last_run.expect("a run").pages, requests as u64 - u64::from(words.starts_with("where")));
    }
    assert!(trap.asked().is_empty(), "credentials went elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_refused_makes_the_run_begin_again_once() {
    let api = Paged::start(rows(30), 10).await.expect("an API");
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    api.instead(move |asked| {
        let third = asked.query.get("at").is_some_and(|at| at == "20");
        (third && counted.fetch_add(1, Ordering::SeqCst) < 1).then(|| Answer::status(410))
    });
    let scene = Scene::new(polling(&api, "/token", json!({ "pagination": pages("/token"), "interval": "1h" })))
        .await
        .expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let record = record_is(&scene, "the run ends", |record| record.last_run.is_some()).await;
    let run = record.last_run.expect("a run");
    assert_eq!((run.outcome.as_str(), run.items, run.stored, run.repeated), ("Complete", 30, 10, 20));
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.accepted("a").values().sum::<usize>(), 30);
}
