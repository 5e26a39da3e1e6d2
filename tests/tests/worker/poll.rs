//! Polling: every way of paging, cursors with lookback, repeats, schedules, commands.

use std::{collections::BTreeSet, time::Duration};

use ropeway_crds::{names::poll_key, poll::PollRecord};
use ropeway_tests::{
    paged::{Paged, at, row},
    scene::{PATIENCE, Scene},
    wait::until,
};
use serde_json::{Value, json};

/// A spec that polls, with these members over the plain ones.
pub fn polling(api: &Paged, path: &str, more: Value) -> Value {
    let mut poll = json!({
        "interval": "1s", "timeout": "5s", "items": "/data",
        "request": { "url": api.url(path) },
        "cursor": { "field": "/updated", "param": "since" },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        poll[name] = value.clone();
    }
    if path == "/link" {
        poll["items"] = json!("");
    }
    json!({
        "source": { "poll": poll },
        "event": { "id": "string!(.id)" },
        "destinations": [{ "name": "a", "ref": "a" }],
    })
}

/// The pagination that fits a path.
pub fn pages(path: &str) -> Value {
    match path {
        "/link" => json!({ "link": {} }),
        "/next" => json!({ "nextUrl": { "pointer": "/paging/next" } }),
        "/token" => json!({ "cursor": { "pointer": "/next_token", "param": "at" } }),
        "/page" => json!({ "page": { "param": "page" } }),
        "/last" => json!({ "lastItem": { "field": "/id", "param": "starting_after", "more": "/has_more" } }),
        _ => json!({ "offset": { "param": "offset", "limitParam": "limit", "limit": 100 } }),
    }
}

pub async fn record(scene: &Scene) -> PollRecord {
    let plan = &scene.plan.jetstream;
    let entry = scene.jetstream.entry(&plan.names.state_bucket(), &poll_key(&plan.integration)).await;
    let entry = entry.expect("the bucket can be read");
    entry.map(|entry| serde_json::from_slice(&entry.value).expect("a record")).unwrap_or_default()
}

/// Waits until the record is as it should be.
pub async fn record_is(scene: &Scene, what: &str, check: impl Fn(&PollRecord) -> bool) -> PollRecord {
    until(what, PATIENCE, async || {
        let record = record(scene).await;
        if check(&record) { Ok(record) } else { Err(format!("{record:?}")) }
    })
    .await
    .expect("the record becomes so")
}

pub async fn arrived(scene: &Scene, count: usize) -> BTreeSet<String> {
    until("the events arrive", PATIENCE, async || {
        let ids = scene.receiver.ids("a");
        if ids.len() >= count { Ok(ids) } else { Err(format!("{} of {count}", ids.len())) }
    })
    .await
    .expect("the events arrive")
}

fn rows(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(|number| row(&format!("r-{number}"), number)).collect()
}

/// Waits until a run has begun after now and ended.
pub async fn another_run(scene: &Scene) -> PollRecord {
    let now = jiff::Timestamp::now();
    record_is(scene, "another run ends", |record| record.last_run.as_ref().is_some_and(|run| run.started > now)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_paging_brings_every_row_once_and_commits_the_highest() {
    for path in ["/link", "/next", "/token", "/page", "/offset", "/last"] {
        // The highest value stands on the first page.
        let mut listing = rows(0..47);
        listing.swap(0, 46);
        let api = Paged::start(listing, 10).await.expect("an API");
        let scene = Scene::new(polling(&api, path, json!({ "pagination": pages(path) }))).await.expect("a scene");
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        arrived(&scene, 47).await;
        let first = record_is(&scene, "the first run ends", |record| record.last_run.is_some()).await;
        assert_eq!(first.cursor, Some(at(46)), "{path}");
        let run = another_run(&scene).await.last_run.expect("a run");
        assert_eq!((run.stored, run.outcome.as_str()), (0, "Complete"), "{path}");
        // The row at the cursor comes with every run, and is no event again.
        assert_eq!((run.items, run.repeated), (1, 1), "{path}");
        let asked = api.asked();
        assert!(!asked[0].query.contains_key("since"));
        assert_eq!(asked.last().expect("requests").query["since"], at(46), "{path}");
        scene.drained().await.expect("everything is settled");
        assert!(scene.receiver.accepted("a").values().all(|times| *times == 1), "{path}");
        assert_eq!(scene.condition("SourceReady").await.expect("a condition").0, "True");
        let status = scene.status().await.expect("a status").source.expect("a source");
        assert_eq!(status.cursor, Some(at(46)));
        assert!(status.last_poll_time.is_some() && status.next_poll_time.is_some() && status.last_run.is_some());
        println!("{path}: {} requests", asked.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_within_the_lookback_arrive_once_and_a_changed_row_arrives_again() {
    let api = Paged::start(rows(100..120), 0).await.expect("an API");
    let cursor = json!({ "field": "/updated", "param": "since", "lookback": "60s", "initial": at(50) });
    let scene = Scene::new(polling(&api, "/all", json!({ "cursor": cursor }))).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    arrived(&scene, 20).await;
    assert_eq!(api.asked()[0].query["since"], at(50));
    another_run(&scene).await;
    assert_eq!(api.asked().last().expect("requests").query["since"], at(119 - 60));
    // One appears late, one changes, one is older than anything asked for.
    api.add([row("late", 70), row("r-105", 119), row("too-late", 10)]);
    arrived(&scene, 21).await;
    another_run(&scene).await;
    another_run(&scene).await;
    scene.drained().await.expect("everything is settled");
    let accepted = scene.receiver.accepted("a");
    assert_eq!((accepted.get("late"), accepted.get("r-105"), accepted.get("too-late")), (Some(&1), Some(&2), None));
    assert_eq!(accepted.values().sum::<usize>(), 22);
    let keys: BTreeSet<String> = scene
        .receiver
        .arrivals()
        .iter()
        .filter_map(|it| Some(it.headers.get("idempotency-key")?.to_str().ok()?.to_owned()))
        .collect();
    assert_eq!(keys.len(), 22, "a changed row is another event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cursor_and_without_ids_what_was_there_before_is_no_event_again() {
    let listing = vec![
        json!({ "id": "x", "n": 12345678901234567890123_f64 }),
        json!({ "id": "y" }),
        json!([1]),
        json!({ "id": "x", "n": 2 }),
    ];
    let api = Paged::start(listing, 0).await.expect("an API");
    let mut spec = polling(&api, "/all", json!({}));
    spec["source"]["poll"].as_object_mut().expect("an object").remove("cursor");
    spec.as_object_mut().expect("an object").remove("event");
    let scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let first = record_is(&scene, "the first run ends", |record| record.last_run.is_some()).await;
    let run = first.last_run.expect("a run");
    assert_eq!((run.items, run.stored, run.refused), (4, 3, 1));
    for _ in 0..2 {
        let run = another_run(&scene).await.last_run.expect("a run");
        assert_eq!((run.items, run.stored, run.repeated, run.refused), (4, 0, 4, 0));
    }
    let figures = scene.drained().await.expect("everything is settled").figures;
    assert_eq!((figures.last_sequence, figures.reasons.get("Refused")), (3, Some(&1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_carries_cursor_and_page_in_its_body_and_credentials_and_headers_go_along() {
    let api = Paged::start(rows(0..3), 0).await.expect("an API");
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    let more = json!({
        "request": {
            "url": api.url("/all?fixed=1"), "method": "Post", "body": "{\"limit\": 5}",
            "query": [{ "name": "expand", "value": "a b" }], "headers": [{ "name": "X-Api-Version", "value": "3" }],
        },
        "auth": { "bearer": { "token": token } },
        "pagination": { "page": { "param": "/paging/page", "sizeParam": "/paging/size", "size": 7 } },
        "cursor": { "field": "/updated", "param": "/filter/since", "initial": at(1) },
    });
    // What is in the body is not looked at: the second page is the same as the first.
    api.instead(|asked| {
        (asked.body["paging"]["page"] == json!(2))
            .then(|| ropeway_tests::paged::Answer::status(200).body("{\"data\":[]}"))
    });
    let scene = Scene::new(polling(&api, "/all", more)).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    arrived(&scene, 3).await;
    let first = &api.asked()[0];
    assert_eq!(first.body, json!({ "limit": 5, "filter": { "since": at(1) }, "paging": { "page": 1, "size": 7 } }));
    assert_eq!((first.query["fixed"].as_str(), first.query["expand"].as_str()), ("1", "a b"));
    assert_eq!(first.headers["x-api-version"], "3");
    assert_eq!(first.headers["authorization"], format!("Bearer {}", ropeway_tests::scene::TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_answer_is_not_sent_again_and_only_where_it_was_the_whole() {
    let api = Paged::start(rows(0..3), 0).await.expect("an API");
    let etag = |api: &Paged, size: usize| {
        let all = json!({ "data": rows(0..3) }).to_string();
        api.instead(move |asked| match asked.headers.get("if-none-match").map(|value| value == "\"v1\"") {
            Some(true) => Some(ropeway_tests::paged::Answer::status(304)),
            _ if size == 0 => {
                Some(ropeway_tests::paged::Answer::status(200).header("etag", "\"v1\"").body(all.clone()))
            }
            _ => None,
        });
    };
    etag(&api, 0);
    let mut spec = polling(&api, "/all", json!({}));
    spec["source"]["poll"].as_object_mut().expect("an object").remove("cursor");
    let scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    arrived(&scene, 3).await;
    let modified = |record: &PollRecord| record.last_run.as_ref().is_some_and(|run| run.outcome == "NotModified");
    record_is(&scene, "a run without items", modified).await;
    assert_eq!(scene.condition("SourceReady").await.expect("a condition").0, "True");
    // An answer without the mark is read, and from then on nothing is asked for by it.
    etag(&api, 1);
    api.recover();
    api.add(rows(3..4));
    arrived(&scene, 4).await;
    another_run(&scene).await;
    assert!(api.asked().last().expect("requests").headers.get("if-none-match").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_integration_goes_on_polling_and_a_stopped_one_asks_nothing() {
    let api = Paged::start(rows(0..3), 0).await.expect("an API");
    let mut spec = polling(&api, "/all", json!({}));
    spec["state"] = json!("Stopped");
    let mut scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let state = async |scene: &Scene, wished: ropeway_crds::integration::State| {
        until("the state is confirmed", PATIENCE, async || {
            let reports = scene.observe().await.map_err(|error| error.to_string())?.workers;
            let there = reports.iter().any(|report| report.state == Some(wished));
            if there { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await
        .expect("the state takes effect");
    };
    state(&scene, ropeway_crds::integration::State::Stopped).await;
    assert!(api.asked().is_empty());
    scene.wish(ropeway_crds::integration::State::Paused).await.expect("the wish is written");
    record_is(&scene, "a run ends", |record| record.last_run.is_some()).await;
    assert!(scene.receiver.arrivals().is_empty());
    assert_eq!(scene.observe().await.expect("figures").figures.pending["a"], 3);
    scene.wish(ropeway_crds::integration::State::Stopped).await.expect("the wish is written");
    state(&scene, ropeway_crds::integration::State::Stopped).await;
    let asked = api.asked().len();
    let since = std::time::Instant::now();
    until("two more intervals", PATIENCE, async || {
        if since.elapsed() > Duration::from_millis(2500) { Ok(()) } else { Err(String::new()) }
    })
    .await
    .expect("time passes");
    assert_eq!(api.asked().len(), asked);
}
