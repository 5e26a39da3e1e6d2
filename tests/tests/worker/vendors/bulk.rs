//! Salesforce's jobs: each record of thousands gets the outcome that Salesforce gives it, whatever becomes of the job.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use ropeway_cli::sink::{Script, Sink};
use ropeway_crds::integration::State;
use ropeway_tests::{
    oidc::{BASIC_CLIENT, CLIENT_SECRET, OidcProvider},
    port::serve,
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

/// What an org says instead of what the sink would, by the request and how often there was such a one before.
type Says = dyn Fn(&str, usize) -> Option<(u16, &'static str)> + Send + Sync;

/// An org, and what it was asked.
struct Org {
    sink: Sink,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Org {
    /// An org whose jobs end like this, which refuses records whose id ends with `7`.
    async fn start(
        jobs: Value,
        says: impl Fn(&str, usize) -> Option<(u16, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        let behaviour = json!({
            "vendor": "Salesforce", "id": "/Ext__c", "refuse": { "pointer": "/Ext__c", "endsWith": "7" }, "jobs": jobs,
        });
        let script: Script = serde_json::from_value(json!({ "destinations": { "org": behaviour } })).expect("a script");
        let sink = Sink::new(script, 0, false);
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, says): (_, Arc<Says>) = (Arc::clone(&asked), Arc::new(says));
        let router = sink
            .router()
            .layer(from_fn(move |request, next| listen(Arc::clone(&known), Arc::clone(&says), request, next)));
        let address = serve(router).await;
        Self { sink, address, asked }
    }

    /// An org that says nothing else.
    async fn plain(jobs: Value) -> Self {
        Self::start(jobs, |_, _| None).await
    }

    fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    /// How often each kind of request came.
    fn counted(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        self.asked().into_iter().for_each(|asked| *counted.entry(asked).or_default() += 1);
        counted
    }

    async fn heard(&self, request: &str) {
        until(&format!("the org hears {request}"), PATIENCE, async || {
            let asked = self.asked();
            if asked.iter().any(|asked| asked == request) { Ok(()) } else { Err(format!("{asked:?}")) }
        })
        .await
        .expect("it does");
    }

    /// Checks that each of so many events arrived once, but for those that it refuses.
    async fn judge(&self, scene: &Scene, events: usize) {
        let refused: BTreeSet<String> = ids(events).into_iter().filter(|id| id.ends_with('7')).collect();
        assert_eq!(scene.dead_letters("crm").await.expect("dead letters"), refused);
        let memory = self.sink.memory("org");
        let once = memory.accepted.values().all(|times| *times == 1);
        assert_eq!((memory.accepted.len(), once), (events - refused.len(), true), "{:?}", self.counted());
    }

    /// A scene that sends to this org, in a job from `threshold` records on.
    async fn scene(&self, threshold: usize, auth: Option<Value>, secrets: &[(&str, &str, &str)]) -> Scene {
        let mut scene = Scene::with(webhook_to(&["crm"]), &[], secrets).await.expect("a scene");
        let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
        scene.account["provider"] = json!({ "salesforce": {
            "instanceUrl": format!("http://{}/org", self.address), "object": "Lead", "externalIdField": "Ext__c",
            "bulk": { "threshold": threshold, "timeout": "1h" },
        } });
        scene.account["auth"] = auth.unwrap_or_else(|| json!({ "bearer": { "token": token } }));
        // All events are there when the worker starts: it gathers them in less.
        scene.account["batching"] = json!({ "maxWait": "4s" });
        let transform = r#"{ "Ext__c": .id, "LastName": "Love, \"lace\"" }"#;
        scene.spec["destinations"][0]["transform"] = json!({ "expression": transform });
        scene.apply().await.expect("the account is described");
        scene
    }
}

fn lock(asked: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what is asked, in a word or two, and lets the org say something else.
async fn listen(known: Arc<Mutex<Vec<String>>>, says: Arc<Says>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let path = parts.uri.path().trim_start_matches("/org/services/data/v62.0");
    let state = serde_json::from_slice::<Value>(&bytes).ok().and_then(|body| body["state"].as_str().map(str::to_owned));
    let asked = match (path.split('/').skip(1).collect::<Vec<_>>().as_slice(), state) {
        (["jobs", "ingest"], _) => "open".to_owned(),
        (["jobs", "ingest", _], Some(state)) => state,
        (["jobs", "ingest", _], None) if parts.method == Method::GET => "look".to_owned(),
        (["jobs", "ingest", _, list], _) => (*list).to_owned(),
        (["composite", ..], _) => "collection".to_owned(),
        _ => path.to_owned(),
    };
    let before = {
        let mut known = lock(&known);
        let before = known.iter().filter(|known| **known == asked).count();
        known.push(asked.clone());
        before
    };
    if let Some((status, code)) = says(&asked, before) {
        let status = StatusCode::from_u16(status).expect("a status");
        return (status, axum::Json(json!([{ "errorCode": code, "message": "no" }]))).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("e-{number}")).collect()
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(asked, times)| ((*asked).to_owned(), *times)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_records_go_in_one_job_and_each_has_its_own_outcome() {
    let org = Org::plain(json!({ "looks": 2 })).await;
    let scene = org.scene(1_000, None, &[]).await;
    scene.store(ids(5_000)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    org.judge(&scene, 5_000).await;
    let once = ["open", "batches", "UploadComplete", "successfulResults", "failedResults"].map(|asked| (asked, 1));
    assert_eq!(org.counted(), counts(&[&once[..], &[("look", 2)]].concat()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_records_go_in_collections() {
    let org = Org::plain(json!({})).await;
    let scene = org.scene(1_000, None, &[]).await;
    scene.store(ids(450)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    org.judge(&scene, 450).await;
    assert_eq!(org.counted(), counts(&[("collection", 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_that_fails_leaves_open_collections_tell() {
    let org = Org::plain(json!({ "fail": true })).await;
    let scene = org.scene(500, None, &[]).await;
    scene.store(ids(900)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    org.judge(&scene, 900).await;
    let expected = [("open", 1), ("batches", 1), ("UploadComplete", 1), ("look", 1), ("collection", 5)];
    assert_eq!(org.counted(), counts(&expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_while_a_job_is_worked_on_is_replaced() {
    let server = OidcProvider::start(600, "RS256").await.expect("an authorization server");
    // The second look comes with a token that is old enough to be given up.
    let ended = |asked: &str, before| (asked == "look" && before == 1).then_some((401, "INVALID_SESSION_ID"));
    let org = Org::start(json!({ "looks": 2 }), ended).await;
    let key = |name: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "idp", "key": name } } });
    let auth = json!({ "oauth2": {
        "grant": "ClientCredentials", "tokenUrl": format!("{}/token", server.url), "clientId": key("id"),
        "clientSecret": key("secret"), "tls": { "caRef": { "name": "idp", "key": "ca.crt" } },
    } });
    let authority = server.authority.clone();
    let secrets =
        [("idp", "id", BASIC_CLIENT), ("idp", "secret", CLIENT_SECRET), ("idp", "ca.crt", authority.as_str())];
    let scene = org.scene(500, Some(auth), &secrets).await;
    scene.store(ids(600)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    org.judge(&scene, 600).await;
    assert_eq!(server.seen().await.tokens.len(), 2);
    assert_eq!((org.counted()["look"], org.counted()["open"]), (3, 1));
}

/// An org makes so many jobs.
fn closed(asked: &str, before: usize, jobs: usize) -> Option<(u16, &'static str)> {
    (asked == "open" && before >= jobs).then_some((400, "FEATURENOTENABLED"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_too_long_is_aborted_and_its_records_come_again() {
    // Once a job was aborted the org makes no more.
    let org = Org::start(json!({ "looks": 0 }), |asked, before| closed(asked, before, 1)).await;
    let mut scene = org.scene(500, None, &[]).await;
    scene.account["provider"]["salesforce"]["bulk"]["timeout"] = json!("10s");
    scene.apply().await.expect("the account is described");
    scene.store(ids(600)).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    org.heard("Aborted").await;
    let observations = scene.drained().await.expect("everything is settled");
    org.judge(&scene, 600).await;
    let counted = org.counted();
    assert_eq!((counted["batches"], counted["Aborted"]), (1, 1), "{counted:?}");
    assert_eq!(observations.figures.counts["crm"].retried, 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_a_worker_or_pauses_does_not_wait_for_its_job() {
    let org = Org::start(json!({ "looks": 0 }), |asked, before| closed(asked, before, 2)).await;
    let mut scene = org.scene(500, None, &[]).await;
    scene.store(ids(600)).await.expect("events are stored");
    let mut worker = scene.start_worker("one", None).await.expect("a worker starts");
    org.heard("look").await;
    let begun = Instant::now();
    worker.process.stop(Duration::from_secs(20)).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the job");
    assert_eq!(org.counted()["Aborted"], 1);
    let _next = scene.start_worker("two", None).await.expect("a worker starts");
    until("the next one begins a job as well", PATIENCE, async || {
        let counted = org.counted();
        if counted["UploadComplete"] == 2 { Ok(()) } else { Err(format!("{counted:?}")) }
    })
    .await
    .expect("it does");
    scene.wish(State::Paused).await.expect("the wish is written");
    until("the job is aborted", Duration::from_secs(20), async || {
        let counted = org.counted();
        if counted["Aborted"] == 2 { Ok(()) } else { Err(format!("{counted:?}")) }
    })
    .await
    .expect("it is");
    scene.wish(State::Running).await.expect("the wish is written");
    let observations = scene.drained().await.expect("everything is settled");
    org.judge(&scene, 600).await;
    assert_eq!(observations.figures.counts["crm"].retried, 0, "nothing was spent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_its_job_runs_loses_nothing() {
    let org = Org::plain(json!({ "looks": 2 })).await;
    let scene = org.scene(500, None, &[]).await;
    scene.store(ids(600)).await.expect("events are stored");
    let mut worker = scene.start_worker("one", None).await.expect("a worker starts");
    org.heard("look").await;
    worker.process.kill();
    let _next = scene.start_worker("two", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    // Nobody looks at the first job any more, so the sink never works on it.
    org.judge(&scene, 600).await;
    assert_eq!(org.counted()["open"], 2);
}
