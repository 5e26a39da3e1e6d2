//! Addresses inside are closed to whatever a worker asks, be it a token endpoint, an issuer, a vault, a probe, a polled API, a
//! file or a storage, and not only to deliveries (`limits`).

use axum::{Router, response::Redirect, routing::any};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ropeway_crds::{names::proof_key, proof::ProofRecord};
use ropeway_tests::{
    azure::{APP_SECRET, Azure},
    port::serve,
    receiver::{Receiver, Reply},
    scene::{PATIENCE, Scene, http_client, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

use crate::batch::{batch_from, last_run};

/// 127.0.0.0/8 is allowed in scenes; this is not.
const INSIDE: &str = "169.254.169.254";

const REFUSED: &str = "169.254.169.254 is at the link-local or metadata address";

fn secret(key: &str) -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "app", "key": key } } })
}

fn identity() -> Value {
    Azure::identity("app-secret", json!({ "clientSecret": secret("secret") }))
}

/// A scene with an event in hand and this account, which can't be used.
async fn stuck(account: Value, change: impl FnOnce(&mut Scene)) -> Scene {
    let secrets = [("app", "secret", APP_SECRET)];
    let mut scene = Scene::with(webhook_to(&["crm"]), &[], &secrets).await.expect("a scene");
    for (field, value) in account.as_object().expect("an object") {
        scene.account[field] = value.clone();
    }
    change(&mut scene);
    scene.apply().await.expect("the account is described");
    scene.store(["e".to_owned()]).await.expect("an event is stored");
    scene
}

/// Nothing was sent, and nothing is lost.
async fn waits(scene: &Scene) {
    assert!(scene.receiver.arrivals().is_empty(), "something was sent");
    let figures = scene.observe().await.expect("figures").figures;
    assert_eq!(figures.pending["crm"], 1, "the event is gone");
    assert!(figures.dead_letters.is_empty(), "the event was given up");
}

fn oauth2(server: Value) -> Value {
    let mut oauth2 =
        json!({ "grant": "ClientCredentials", "clientId": { "value": "c" }, "clientSecret": secret("secret") });
    oauth2.as_object_mut().expect("an object").extend(server.as_object().expect("an object").clone());
    json!({ "auth": { "oauth2": oauth2 } })
}

/// Waits until a condition of the source has this reason; its message.
async fn source(scene: &Scene, reason: &str) -> String {
    until(&format!("SourceReady is false by {reason}"), PATIENCE, async || {
        let found = scene.status().await.map_err(|error| error.to_string())?.conditions;
        let found = found.into_iter().find(|condition| condition.type_ == "SourceReady").ok_or("no condition")?;
        let is_it = found.status == "False" && found.reason == reason;
        if is_it { Ok(found.message) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("it is told")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_asked_for_inside_whatever_leads_there() {
    let issuer = Receiver::start().await.expect("the receiver starts");
    let url = issuer.url("issuer");
    let leads = json!({ "issuer": url, "token_endpoint": format!("http://{INSIDE}/token") }).to_string();
    issuer.reply(move |asked| match asked.destination {
        "issuer" => Reply { status: 200, body: leads.clone(), ..Reply::default() },
        _ => Reply { status: 307, headers: vec![("location", format!("http://{INSIDE}/token"))], ..Reply::default() },
    });
    let mut entra = identity();
    entra["scope"] = json!("https://crm.example/.default");
    let cases = [
        (oauth2(json!({ "tokenUrl": format!("http://{INSIDE}/token") })), "Address", REFUSED),
        (oauth2(json!({ "issuer": format!("http://{INSIDE}") })), "Token", REFUSED),
        (oauth2(json!({ "issuer": url })), "Address", REFUSED),
        (oauth2(json!({ "tokenUrl": issuer.url("token") })), "Credentials", "it redirects; give the final address"),
        (json!({ "auth": { "azure": entra } }), "Address", REFUSED),
    ];
    for (account, cause, words) in cases {
        let scene = stuck(account, |scene| scene.azure().authority_host = Some(format!("https://{INSIDE}"))).await;
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        scene.held(cause, words).await;
        waits(&scene).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_vault_is_asked_inside_and_no_token_for_one() {
    let azure = Azure::start(600).await.expect("the double starts");
    azure.order("put", &json!({ "name": "token", "value": "good" })).await;
    let token = |vault: &str| {
        let secret = json!({ "valueFrom": { "azureKeyVault": format!("{vault}/secrets/token") } });
        json!({ "auth": { "bearer": { "token": secret } }, "keyVaultIdentity": identity() })
    };
    // A vault inside, although the administrator takes the host for one; and one outside whose tokens are to be had inside.
    for (vault, authority) in
        [(format!("https://{INSIDE}"), azure.url.clone()), (azure.url.clone(), format!("https://{INSIDE}"))]
    {
        let scene = stuck(token(&vault), |scene| {
            scene.azure().authority_host = Some(authority);
            scene.azure().vault_hosts = vec![INSIDE.to_owned(), "127.0.0.1".to_owned()];
        })
        .await;
        let trusted = azure.authority();
        let _worker = scene.start_worker_with("worker", &[("SSL_CERT_FILE", &trusted)]).await.expect("a worker starts");
        scene.held("Address", REFUSED).await;
        waits(&scene).await;
        assert!(azure.seen().await.tokens.is_empty(), "a token was given");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_probe_goes_inside() {
    let probe = json!({ "url": format!("http://{INSIDE}/latest/meta-data"), "interval": "10s" });
    let token = json!({ "bearer": { "token": secret("secret") } });
    let scene = stuck(json!({ "auth": token, "probe": probe }), |_| {}).await;
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let account = &scene.plan.config.integrations[0].lanes[0].account;
    let bucket = scene.plan.jetstream.names.state_bucket();
    let shown = until("the probe is told", PATIENCE, async || {
        let entry = scene.jetstream.entry(&bucket, &proof_key(account)).await.map_err(|error| error.to_string())?;
        let record: ProofRecord =
            serde_json::from_slice(&entry.ok_or("no record")?.value).map_err(|error| error.to_string())?;
        record.shown.ok_or_else(|| "nothing is shown yet".to_owned())
    })
    .await
    .expect("it is");
    // It says nothing about the credentials, so deliveries go on.
    assert_eq!(format!("{:?}", shown.verdict), "Unclear");
    assert!(shown.message.contains(REFUSED), "{}", shown.message);
    scene.drained().await.expect("the event is delivered");
    assert_eq!(scene.receiver.ids("crm").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_api_is_polled_inside() {
    let mut spec = webhook_to(&["crm"]);
    spec["source"] = json!({ "poll": { "interval": "1s", "request": { "url": format!("http://{INSIDE}/rows") } } });
    let scene = Scene::new(spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let told = source(&scene, "AddressRefused").await;
    assert!(told.contains(&format!("spec.source.poll.request.url: {REFUSED}")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_and_no_storage_is_read_inside() {
    let format = json!({ "ndjson": {} });
    let mut stored = batch_from("http://127.0.0.1:9/", &format);
    stored["source"]["batch"]["from"] = json!({ "objectStore": {
        "url": "s3://exports/accounts.ndjson", "endpoint": format!("http://{INSIDE}"), "allowHttp": true,
    } });
    for spec in [batch_from(&format!("http://{INSIDE}/accounts.ndjson"), &format), stored] {
        let scene = Scene::new(spec).await.expect("a scene");
        let mut job = scene.start_batch("job", None).expect("a job starts");
        // Trying again would end the same way.
        assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), Some(4));
        let run = last_run(&scene).await;
        assert!(run.message.as_deref().unwrap_or_default().contains(REFUSED), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keys_of_senders_are_fetched_inside_or_by_a_redirect_to_it() {
    let router = Router::new().route("/keys", any(|| async { Redirect::temporary("http://169.254.169.254/keys") }));
    let redirecting = format!("http://{}/keys", serve(router).await);
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let token =
        format!("{}.{}.{}", part(json!({ "alg": "RS256", "kid": "one" })), part(json!({ "sub": "s" })), "c2lnbmVk");
    let cases = [
        (json!({ "issuer": format!("http://{INSIDE}"), "audiences": ["hooks"] }), REFUSED),
        (
            json!({ "issuer": "http://127.0.0.1:9", "jwksUrl": format!("http://{INSIDE}/keys"), "audiences": ["hooks"] }),
            REFUSED,
        ),
        (
            json!({ "issuer": "http://127.0.0.1:9", "jwksUrl": redirecting, "audiences": ["hooks"] }),
            "the answer is 307",
        ),
    ];
    for (jwt, words) in cases {
        let mut spec = webhook_to(&["crm"]);
        spec["source"]["webhook"]["verification"] = json!({ "jwt": jwt });
        let scene = Scene::new(spec).await.expect("a scene");
        let worker = scene.start_worker("worker", None).await.expect("a worker starts");
        until("the sender is put off", PATIENCE, async || {
            let sent = http_client().post(&worker.url).bearer_auth(&token).body("{}").send().await;
            // Before the wish was heard there is a 503 as well, so the condition is what counts.
            match sent.map(|answer| answer.status().as_u16()) {
                Ok(503) => {}
                other => return Err(format!("{other:?}")),
            }
            let told = scene.status().await.map_err(|error| error.to_string())?.conditions;
            let told = told.into_iter().find(|it| it.reason == "IssuerUnavailable").ok_or("not told")?;
            // A second look within moments says only that the first one failed.
            let log = std::fs::read_to_string(worker.process.log()).map_err(|error| error.to_string())?;
            if log.contains(words) { Ok(()) } else { Err(format!("{}: {log}", told.message)) }
        })
        .await
        .expect("it is");
    }
}
