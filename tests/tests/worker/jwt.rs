//! Senders with a token of an issuer: its keys are found, kept, and looked at again, by a real worker against a real
//! issuer on loopback. Keys and tokens are made by `jose`, which `scripts/tools.sh signers` installs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use ropeway_tests::{
    scene::{PATIENCE, Scene, Worker, http_client, webhook_to},
    wait::until,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::signers::script;

const AUDIENCE: &str = "hooks";

#[derive(Deserialize)]
struct Made {
    keys: BTreeMap<String, Value>,
    accepted: BTreeMap<String, String>,
    refused: BTreeMap<String, String>,
    later: BTreeMap<String, String>,
}

/// An issuer with its discovery document and its keys.
#[derive(Clone, Default)]
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    down: Arc<AtomicBool>,
    discovered: Arc<AtomicUsize>,
    fetched: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let issuer = Self { url, ..Self::default() };
        let discovery = async |State(issuer): State<Self>| {
            issuer.discovered.fetch_add(1, Ordering::SeqCst);
            issuer.unless_down(json!({ "issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url) }))
        };
        let keys = async |State(issuer): State<Self>| {
            issuer.fetched.fetch_add(1, Ordering::SeqCst);
            let keys = issuer.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
            issuer.unless_down(json!({ "keys": keys }))
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn unless_down(&self, answer: Value) -> Result<Json<Value>, StatusCode> {
        if self.down.load(Ordering::SeqCst) { Err(StatusCode::BAD_GATEWAY) } else { Ok(Json(answer)) }
    }

    fn publish(&self, keys: Vec<Value>) {
        // A key of a kind that nobody here knows must not spoil the others.
        let strange = json!({ "kty": "XYZ", "kid": "strange" });
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = [vec![strange], keys].concat();
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

async fn send(worker: &Worker, token: &str) -> reqwest::Response {
    http_client().post(&worker.url).bearer_auth(token).body("{}").send().await.expect("an answer")
}

async fn status(worker: &Worker, token: &str) -> u16 {
    send(worker, token).await.status().as_u16()
}

async fn many(worker: &Worker, token: &str, count: usize) -> Vec<u16> {
    futures::future::join_all((0..count).map(|_| status(worker, token))).await
}

/// A scene whose webhook takes this issuer's tokens.
async fn scene(issuer: &Issuer) -> (Scene, Made) {
    let made: Made = serde_json::from_str(&script(&["tokens.mjs", &issuer.url, AUDIENCE], "")).expect("keys");
    issuer.publish(vec![made.keys["rsa"].clone(), made.keys["ec"].clone()]);
    let mut spec = webhook_to(&["a"]);
    spec["event"] = json!({});
    spec["source"]["webhook"]["verification"] =
        json!({ "jwt": { "issuer": issuer.url, "audiences": [AUDIENCE], "subjects": ["sender"] } });
    (Scene::new(spec).await.expect("a scene"), made)
}

/// Waits until the wish was heard: a request without a token is then refused rather than put off.
async fn open(scene: &Scene, name: &str) -> Worker {
    let worker = scene.start_worker(name, None).await.expect("a worker starts");
    until("the webhook is open", PATIENCE, async || {
        match http_client().post(&worker.url).body("{}").send().await.map(|answer| answer.status().as_u16()) {
            Ok(401) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the webhook opens");
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_judged_by_the_issuers_keys_which_are_fetched_once_and_again_when_they_change() {
    let issuer = Issuer::start().await;
    let (scene, made) = scene(&issuer).await;
    let worker = open(&scene, "worker").await;
    assert_eq!(issuer.fetched(), 0, "a request without a token made us ask for keys");
    assert_eq!(many(&worker, &made.accepted["rsa"], 20).await, [200; 20]);
    assert_eq!((issuer.discovered.load(Ordering::SeqCst), issuer.fetched()), (1, 1), "twenty at once fetch once");
    for (name, token) in &made.accepted {
        assert_eq!(status(&worker, token).await, 200, "{name}");
    }
    for (name, token) in &made.refused {
        assert_eq!(status(&worker, token).await, 401, "{name}");
    }
    let twice = http_client().post(&worker.url).bearer_auth(&made.accepted["ec"]).bearer_auth(&made.accepted["ec"]);
    assert_eq!(twice.body("{}").send().await.expect("an answer").status().as_u16(), 401, "two tokens");
    assert_eq!(issuer.fetched(), 1, "known keys are not fetched again");

    // A key that nobody knows makes us look again, and not once for each request.
    let unknown = &made.later["unknown"];
    until("an unknown key is looked for", PATIENCE, async || {
        // As long as the issuer may not be asked again, nobody knows whether it has made the key since.
        match (status(&worker, unknown).await, issuer.fetched()) {
            (401, 2) => Ok(()),
            (503, 1) => Err("not yet".to_owned()),
            other => panic!("{other:?}"),
        }
    })
    .await
    .expect("it is looked for");
    assert_eq!(many(&worker, unknown, 50).await, [503; 50]);
    assert_eq!(issuer.fetched(), 2, "fifty with an unknown key fetched more than once");
    let told = scene.condition("SourceReady").await.expect("a condition");
    assert_eq!(told.0, "True", "whoever makes keys up changes the status: {told:?}");

    // Rotation: the new key is found without a restart, the one that is gone is no longer accepted.
    issuer.publish(vec![made.keys["rsa"].clone(), made.keys["next"].clone()]);
    until("the new key is accepted", PATIENCE, async || match status(&worker, &made.later["next"]).await {
        200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await
    .expect("the new key is found");
    assert_eq!(status(&worker, &made.accepted["rsa"]).await, 200);
    until("a key that the issuer took back is refused", PATIENCE, async || {
        match status(&worker, &made.accepted["ec"]).await {
            401 => Ok(()),
            503 => Err("the issuer may not be asked again yet".to_owned()),
            other => panic!("{other}"),
        }
    })
    .await
    .expect("it is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_issuer_is_down_known_keys_go_on_and_without_any_senders_are_put_off() {
    let issuer = Issuer::start().await;
    let (scene, made) = scene(&issuer).await;
    let known = open(&scene, "known").await;
    assert_eq!(status(&known, &made.accepted["ec"]).await, 200);
    issuer.down.store(true, Ordering::SeqCst);
    assert_eq!(many(&known, &made.accepted["rsa"], 10).await, [200; 10], "known keys go on");
    drop(known);

    let worker = open(&scene, "without").await;
    let before = issuer.discovered.load(Ordering::SeqCst);
    let answers = futures::future::join_all((0..20).map(|_| send(&worker, &made.accepted["rsa"]))).await;
    for answer in answers {
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    }
    assert_eq!(issuer.discovered.load(Ordering::SeqCst), before + 1, "twenty senders made more than one attempt");
    let becomes = async |wanted: &str| {
        until("the condition says so", PATIENCE, async || {
            let (status, reason) = scene.condition("SourceReady").await.map_err(|error| error.to_string())?;
            let said = if status == "True" { status } else { format!("{status} {reason}") };
            if said == wanted { Ok(()) } else { Err(said) }
        })
        .await
        .expect("the condition");
    };
    becomes("False IssuerUnavailable").await;

    issuer.down.store(false, Ordering::SeqCst);
    until("the issuer is asked again", PATIENCE, async || match status(&worker, &made.accepted["rsa"]).await {
        200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await
    .expect("it recovers");
    becomes("True").await;
}
