//! Values that stand in Azure Key Vault: read once, followed when they change, and told when they can't be read.

use std::time::Duration;

use ropeway_tests::{
    azure::{APP_SECRET, Azure},
    scene::{PATIENCE, Scene, TOKEN, Worker, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

fn identity(client: &str) -> Value {
    Azure::identity(
        client,
        json!({ "clientSecret": { "valueFrom": { "secretKeyRef": { "name": "app", "key": "secret" } } } }),
    )
}

/// A scene with a destination that takes this token, which it reads in the vault by this client.
async fn scene(azure: &Azure, client: &str, secret: &str) -> Scene {
    let url = format!("{}/static", azure.url);
    let secrets = [("app", "secret", APP_SECRET)];
    let mut scene = Scene::with(webhook_to(&["crm"]), &[("crm", url.as_str())], &secrets).await.expect("a scene");
    scene.azure().authority_host = Some(azure.url.clone());
    scene.azure().vault_hosts = vec!["127.0.0.1".to_owned()];
    scene.account["auth"] = json!({ "bearer": { "token": azure.secret(secret) } });
    scene.account["keyVaultIdentity"] = identity(client);
    scene.apply().await.expect("the account is described");
    scene
}

async fn worker(scene: &Scene, azure: &Azure) -> Worker {
    let authority = azure.authority();
    scene.start_worker_with("one", &[("SSL_CERT_FILE", &authority)]).await.expect("a worker starts")
}

async fn put(azure: &Azure, name: &str, value: &str) {
    azure.order("put", &json!({ "name": name, "value": value })).await;
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_once_and_one_that_was_rotated_is_used_without_an_attempt_spent() {
    for in_auth in [true, false] {
        rotated(in_auth).await;
    }
}

/// `in_auth` says whether it is our credentials, or a header beside them.
async fn rotated(in_auth: bool) {
    let azure = Azure::start(600).await.expect("the double starts");
    put(&azure, "token", "first").await;
    azure.order("expect", &json!({ "token": "first" })).await;
    let mut scene = scene(&azure, "app-secret", "token").await;
    if !in_auth {
        let mut header = azure.secret("token");
        header["name"] = "X-Key".into();
        scene.account["auth"] = Value::Null;
        scene.account["provider"]["http"]["headers"] = json!([header]);
        scene.apply().await.expect("the account is described");
    }
    scene.store(ids("a", 200)).await.expect("events are stored");
    let mut running = worker(&scene, &azure).await;
    assert_eq!(scene.counted(200).await, (0, 0, 0));
    let seen = azure.seen().await;
    let reads: Vec<u16> = seen.reads.iter().map(|read| read.status).collect();
    // The first is asked without a token, to be told of which directory one must be.
    assert_eq!((reads, seen.tokens.len()), (vec![401, 200], 1));
    let read = std::time::Instant::now();
    until("the value is old enough to be read again", PATIENCE, async || {
        if read.elapsed() > Duration::from_secs(6) { Ok(()) } else { Err("younger ones are not".to_owned()) }
    })
    .await
    .expect("time passes");
    put(&azure, "token", "second").await;
    azure.order("expect", &json!({ "token": "second" })).await;
    scene.store(ids("b", 50)).await.expect("events are stored");
    assert_eq!(scene.counted(250).await, (0, 0, 0), "an attempt was spent");
    let seen = azure.seen().await;
    assert_eq!((seen.reads.len(), seen.tokens.len()), (3, 1), "{:?}", seen.reads);
    running.process.check().expect("nothing may need a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_secret_from_being_read_is_told_and_ends_when_it_is_mended() {
    let azure = Azure::start(600).await.expect("the double starts");
    for name in ["off", "closed"] {
        put(&azure, name, "good").await;
    }
    azure.order("enable", &json!({ "name": "off", "enabled": false })).await;
    azure.order("expect", &json!({ "token": "good" })).await;
    let cases = [
        ("app-secret", "absent", "there is no secret absent in the vault 127.0.0.1; create or recover it"),
        ("app-secret", "off", "the secret off in the vault 127.0.0.1 is disabled; enable it"),
        (
            "app-stranger",
            "closed",
            "may not read the secret closed in the vault 127.0.0.1 (ForbiddenByRbac); give it the role",
        ),
    ];
    let mut scenes = Vec::new();
    for (client, secret, _) in cases {
        let scene = scene(&azure, client, secret).await;
        scene.store(ids("a", 20)).await.expect("events are stored");
        let running = worker(&scene, &azure).await;
        scenes.push((scene, running));
    }
    for ((scene, _), (_, secret, words)) in scenes.iter().zip(cases) {
        scene.held("Vault", words).await;
        let status = scene.condition("Healthy").await.expect("a status");
        assert_eq!(status, ("False".to_owned(), "KeyVaultRefused".to_owned()), "{secret}");
    }
    assert!(azure.seen().await.deliveries.is_empty(), "nothing may be sent without it");
    put(&azure, "absent", "good").await;
    azure.order("enable", &json!({ "name": "off", "enabled": true })).await;
    azure.order("allow", &Value::Null).await;
    for (scene, _) in &scenes {
        assert_eq!(scene.counted(20).await, (0, 0, 0));
    }
    // Each was asked a few times a minute, and not for each event.
    let seen = azure.seen().await;
    assert!(seen.reads.len() <= 24, "{} reads", seen.reads.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_busy_is_left_alone_as_long_as_it_says() {
    let azure = Azure::start(600).await.expect("the double starts");
    put(&azure, "token", "good").await;
    azure.order("expect", &json!({ "token": "good" })).await;
    azure.order("fail", &json!({ "status": 429, "retryAfter": 12 })).await;
    let scene = scene(&azure, "app-secret", "token").await;
    scene.store(ids("a", 20)).await.expect("events are stored");
    let _worker = worker(&scene, &azure).await;
    scene.held("VaultAway", "the vault 127.0.0.1 answered 429").await;
    azure.order("fail", &Value::Null).await;
    assert_eq!(scene.counted(20).await, (0, 0, 0));
    let reads: Vec<_> = azure.seen().await.reads.into_iter().filter(|read| read.status != 401).collect();
    assert!(reads.len() <= 3, "{reads:?}");
    for pair in reads.windows(2) {
        assert!(pair[1].at - pair[0].at >= 12_000, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_identity_itself_may_be_what_is_refused() {
    let azure = Azure::start(600).await.expect("the double starts");
    put(&azure, "token", "good").await;
    azure.order("expect", &json!({ "token": "good" })).await;
    let scene = scene(&azure, "app-secret", "token").await;
    scene.rotate("app", "secret", "wrong").expect("a file");
    scene.store(ids("a", 5)).await.expect("events are stored");
    let _worker = worker(&scene, &azure).await;
    scene.held("Vault", "keyVaultIdentity: the token endpoint 127.0.0.1 answered 401: invalid_client").await;
    scene.rotate("app", "secret", APP_SECRET).expect("a file");
    assert_eq!(scene.counted(5).await, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_are_verified_and_tokens_asked_for_by_what_stands_in_the_vault() {
    let azure = Azure::start(600).await.expect("the double starts");
    for (name, value) in [("hook", TOKEN), ("client", APP_SECRET)] {
        put(&azure, name, value).await;
    }
    let url = format!("{}/deliver", azure.url);
    let mut scene = Scene::with(webhook_to(&["crm"]), &[("crm", url.as_str())], &[("app", "secret", APP_SECRET)])
        .await
        .expect("a scene");
    scene.azure().authority_host = Some(azure.url.clone());
    scene.azure().vault_hosts = vec!["127.0.0.1".to_owned()];
    scene.spec["source"]["webhook"]["verification"] = json!({ "bearer": { "tokens": [azure.secret("hook")] } });
    scene.spec["keyVaultIdentity"] = identity("app-secret");
    scene.account["keyVaultIdentity"] = identity("app-secret");
    scene.account["auth"] = json!({ "oauth2": {
        "grant": "ClientCredentials", "clientId": { "value": "app-secret" }, "clientSecretIn": "Body",
        "tokenUrl": format!("{}/{}/oauth2/v2.0/token", azure.url, ropeway_tests::azure::TENANT),
        "clientSecret": azure.secret("client"), "scopes": ["https://crm.example/.default"],
    } });
    scene.apply().await.expect("the account is described");
    let running = worker(&scene, &azure).await;
    let client = ropeway_tests::scene::http_client();
    let post = async |token: &str| {
        let body = json!({ "id": token.len().to_string() }).to_string();
        let sent = client
            .post(&running.url)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        sent.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    };
    until("a request is let in", PATIENCE, async || {
        let status = post(TOKEN).await?;
        if (200..300).contains(&status) { Ok(()) } else { Err(status.to_string()) }
    })
    .await
    .expect("it is");
    assert_eq!(post("another").await, Ok(401));
    scene.drained().await.expect("it is delivered");
    assert!(azure.seen().await.deliveries.iter().any(|it| it.good));
}
