//! Access tokens of a strict authorization server that is not ours, and a vendor that takes nothing else.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ropeway_tests::{
    oidc::{BASIC_CLIENT, CLIENT_SECRET, OidcProvider},
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

fn key(name: &str) -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "idp", "key": name } } })
}

/// What proves the client to the server: the ways that it knows.
fn way(name: &str, algorithm: &str) -> Value {
    let certificates = json!({ "caRef": { "name": "idp", "key": "ca.crt" } });
    let ours = json!({ "caRef": { "name": "idp", "key": "ca.crt" }, "clientCertificateRef": { "name": "client" } });
    match name {
        "basic" => json!({ "clientId": key("id"), "clientSecret": key("secret"), "tls": certificates }),
        "post" => json!({
            "clientId": { "value": "post" }, "clientSecret": key("secret"), "clientSecretIn": "Body", "tls": certificates,
        }),
        "signed" => {
            let assertion = json!({ "key": key("assertion"), "algorithm": algorithm, "keyId": "one" });
            json!({ "clientId": { "value": "signed" }, "clientAssertion": assertion, "tls": certificates })
        }
        "mutual" => json!({ "clientId": { "value": "mutual" }, "tls": ours }),
        "bearer" => json!({
            "grant": "JwtBearer", "clientId": { "value": "bearer" }, "tls": certificates,
            "assertion": { "key": key("assertion"), "algorithm": algorithm, "subject": { "value": "user@example.com" } },
        }),
        other => panic!("{other} is no way"),
    }
}

/// A scene whose destinations take tokens of this server, which it gets like this.
async fn scene(server: &OidcProvider, destinations: &[&str], way: &Value) -> Scene {
    let deliver = format!("{}/deliver", server.url);
    let urls: Vec<(&str, &str)> = destinations.iter().map(|name| (*name, deliver.as_str())).collect();
    let secrets = [
        ("idp", "id", BASIC_CLIENT),
        ("idp", "secret", CLIENT_SECRET),
        ("idp", "assertion", server.assertion_key.as_str()),
        ("idp", "ca.crt", server.authority.as_str()),
        ("client", "tls.crt", server.client.0.as_str()),
        ("client", "tls.key", server.client.1.as_str()),
    ];
    let mut scene = Scene::with(webhook_to(destinations), &urls, &secrets).await.expect("a scene");
    let mut oauth2 = json!({ "grant": "ClientCredentials" });
    for (name, value) in way.as_object().expect("an object") {
        oauth2[name] = value.clone();
    }
    if oauth2.get("issuer").is_none() {
        oauth2["tokenUrl"] = json!(format!("{}/token", server.url));
    }
    scene.account["tls"] = oauth2["tls"].clone();
    scene.account["auth"] = json!({ "oauth2": oauth2 });
    scene.account["delivery"] = json!({ "timeout": "15s" });
    scene.apply().await.expect("the account is described");
    scene
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("e-{number}")).collect()
}

/// Waits until the vendor has taken so many different events.
async fn taken(server: &OidcProvider, count: usize) {
    until("the vendor has taken all", PATIENCE, async || {
        let seen = server.seen().await;
        let good: BTreeSet<String> = seen.deliveries.into_iter().filter(|it| it.good).map(|it| it.id).collect();
        if good.len() == count { Ok(()) } else { Err(format!("{} of {count}; {:?}", good.len(), seen.tokens)) }
    })
    .await
    .expect("all arrive");
}

async fn settled(server: &OidcProvider, scene: &Scene, about: &str) {
    if let Err(error) = scene.drained().await {
        let circuits = scene.observe().await.map(|observed| observed.shared.circuits);
        panic!("{about}: {error}; {:?}; {circuits:?}", server.seen().await.tokens);
    }
}

/// Gets a token in a way, delivers with it, and gets a second one.
async fn works(server: &OidcProvider, way: &Value, about: &str) {
    let before = server.seen().await;
    let scene = scene(server, &["crm"], way).await;
    scene.store(ids(5)).await.expect("events are stored");
    let mut worker = scene.start_worker("one", None).await.expect("a worker starts");
    settled(server, &scene, about).await;
    // A statement that was seen before is refused, so the second request must make another one.
    worker.process.kill();
    scene.store(["again".to_owned()]).await.expect("an event is stored");
    let _next = scene.start_worker("two", None).await.expect("a worker starts");
    settled(server, &scene, about).await;
    let seen = server.seen().await;
    let asked = &seen.tokens[before.tokens.len()..];
    assert!(asked.len() == 2 && asked.iter().all(|it| it.status == 200), "{about}: {asked:?}");
    let delivered = &seen.deliveries[before.deliveries.len()..];
    assert!(delivered.iter().all(|it| it.good), "{about}: {delivered:?}");
    assert_eq!(delivered.len(), 6, "{about}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_proving_the_client_is_taken_by_a_strict_server() {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let server = OidcProvider::start(600, algorithm).await.expect("an authorization server");
        works(&server, &way("signed", algorithm), algorithm).await;
        works(&server, &way("bearer", algorithm), algorithm).await;
        if algorithm == "RS256" {
            for name in ["basic", "post", "mutual"] {
                works(&server, &way(name, algorithm), name).await;
            }
            let mut found = way("basic", algorithm);
            found["issuer"] = json!(server.url);
            works(&server, &found, "an issuer that tells its endpoint").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_taken_only_under_that_name() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    for (name, good) in [("vendor.example", true), ("other.example", false)] {
        let mut scene = scene(&server, &["crm"], &way("post", "ES256")).await;
        scene.account["tls"]["serverName"] = json!(name);
        scene.apply().await.expect("the account is described");
        scene.store([name.to_owned()]).await.expect("an event is stored");
        let _worker = scene.start_worker("one", None).await.expect("a worker starts");
        let outcome = until("it is tried", PATIENCE, async || {
            let observed = scene.observe().await.map_err(|error| error.to_string())?;
            let told =
                observed.workers.iter().flat_map(|report| &report.lanes).find_map(|lane| lane.last_error.clone());
            let arrived = server.seen().await.deliveries.iter().any(|it| it.id == name);
            match (arrived, told) {
                (true, _) => Ok(None),
                (false, Some(error)) => Ok(Some(error.message)),
                (false, None) => Err("not yet".to_owned()),
            }
        });
        let told = outcome.await.expect("it is tried");
        assert_eq!(told.is_none(), good, "{name}: {told:?}");
        assert!(told.is_none_or(|told| told.contains("certificate")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_five_seconds_under_load_are_renewed_in_time_and_asked_for_once() {
    let server = OidcProvider::start(5, "ES256").await.expect("an authorization server");
    let mut scene = scene(&server, &["a", "b"], &way("post", "ES256")).await;
    scene.account["rateLimit"] = json!({ "requests": 100, "per": "1s", "maxConcurrency": 20 });
    scene.apply().await.expect("the account is described");
    scene.store(ids(2_000)).await.expect("events are stored");
    let _worker = scene.start_worker("one", None).await.expect("a worker starts");
    scene.drained().await.expect("all is settled");
    let seen = server.seen().await;
    let (good, refused): (Vec<_>, Vec<_>) = seen.deliveries.iter().partition(|it| it.good);
    // A machine that stands still for a second sends a token too late; it is replaced then, and nothing is lost.
    assert!(refused.len() <= 40, "{} tokens were sent that had ended", refused.len());
    assert_eq!(good.len(), 4_000);
    let begin = seen.deliveries.iter().map(|it| it.at).min().expect("some");
    let lasted = seen.deliveries.iter().map(|it| it.at).max().expect("some") - begin;
    // Both lanes have the same credentials and share a token, which is renewed after 4.5 s of its 5.
    let most = usize::try_from(lasted / 4_000).expect("not negative") + 2 + refused.len();
    println!(
        "{} token requests in {lasted} ms for 4000 deliveries, {} of them with a token that had ended",
        seen.tokens.len(),
        refused.len()
    );
    assert!((3..=most).contains(&seen.tokens.len()), "{} requests in {lasted} ms", seen.tokens.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_is_replaced_once_and_no_event_suffers() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    let mut scene = scene(&server, &["crm"], &way("post", "ES256")).await;
    // Every request that may be under way is answered by a 401 at the same time.
    scene.account["rateLimit"] = json!({ "maxConcurrency": 2 });
    scene.apply().await.expect("the account is described");
    scene.store(ids(20)).await.expect("events are stored");
    let _worker = scene.start_worker("one", None).await.expect("a worker starts");
    taken(&server, 20).await;
    let given = Instant::now();
    until("the token is old enough to be given up", PATIENCE, async || {
        if given.elapsed() > Duration::from_secs(6) { Ok(()) } else { Err("younger ones are not".to_owned()) }
    })
    .await
    .expect("time passes");
    server.revoke_all().await;
    scene.store((20..60).map(|number| format!("e-{number}"))).await.expect("events are stored");
    taken(&server, 60).await;
    assert_eq!(scene.counted(60).await, (0, 0, 0), "an attempt was spent");
    let seen = server.seen().await;
    assert_eq!(seen.tokens.len(), 2, "{:?}", seen.tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_token_can_be_had_events_wait_without_an_attempt_and_the_server_is_not_stormed() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    for (how, told) in [
        (json!({ "kind": "status", "status": 500 }), "answered 500"),
        (json!({ "kind": "status", "status": 429, "retryAfter": 3 }), "answered 429"),
        (json!({ "kind": "garbage" }), "without an access token"),
        (json!({ "kind": "slow", "ms": 15_000 }), "no whole answer within 10000ms"),
    ] {
        let before = server.seen().await;
        server.fail(&how).await;
        let scene = scene(&server, &["crm"], &way("post", "ES256")).await;
        let names: Vec<String> = (0..50).map(|number| format!("{told}-{number}")).collect();
        scene.store(names).await.expect("events are stored");
        let _worker = scene.start_worker("one", None).await.expect("a worker starts");
        until("the circuit says why", PATIENCE, async || {
            let observed = scene.observe().await.map_err(|error| error.to_string())?;
            let circuit = observed.shared.circuits.get("crm").ok_or("no circuit")?;
            let reason = circuit.reason.clone().unwrap_or_default();
            let cause = circuit.cause.map(|cause| cause.as_str());
            if cause == Some("Token") && reason.contains(told) { Ok(()) } else { Err(format!("{cause:?}: {reason}")) }
        })
        .await
        .expect("it is told");
        let asked = server.seen().await.tokens.len() - before.tokens.len();
        assert!(asked <= 6, "{told}: {asked} requests");
        server.fail(&Value::Null).await;
        assert_eq!(scene.counted(50).await, (0, 0, 0), "{told}");
        let delivered = server.seen().await.deliveries.len() - before.deliveries.len();
        assert_eq!(delivered, 50, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_holds_and_the_right_one_resumes_without_a_restart() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    let scene = scene(&server, &["crm"], &way("post", "ES256")).await;
    scene.rotate("idp", "secret", "wrong").expect("a file");
    scene.store(ids(10)).await.expect("events are stored");
    let _worker = scene.start_worker("one", None).await.expect("a worker starts");
    until("it is told who refuses", PATIENCE, async || {
        let observed = scene.observe().await.map_err(|error| error.to_string())?;
        let circuit = observed.shared.circuits.get("crm").ok_or("no circuit")?;
        let reason = circuit.reason.clone().unwrap_or_default();
        let refused = circuit.cause.map(|cause| cause.as_str()) == Some("Credentials");
        if refused && reason.contains("the token endpoint 127.0.0.1 answered 401: invalid_client") {
            Ok(())
        } else {
            Err(reason)
        }
    })
    .await
    .expect("it is told");
    scene.rotate("idp", "secret", CLIENT_SECRET).expect("a file");
    assert_eq!(scene.counted(10).await, (0, 0, 0));
    let refused = server.seen().await.tokens.iter().filter(|it| it.status == 401).count();
    assert!((1..=3).contains(&refused), "{refused} requests with the wrong secret");
    // A wrong one that comes later is found out at once, not when the token ends.
    scene.rotate("idp", "secret", "wrong").expect("a file");
    until("the new secret is tried", PATIENCE, async || {
        scene.store([format!("late-{}", rand::random::<u64>())]).await.map_err(|error| error.to_string())?;
        let again = server.seen().await.tokens.iter().filter(|it| it.status == 401).count();
        if again > refused { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("a changed secret is used");
}
