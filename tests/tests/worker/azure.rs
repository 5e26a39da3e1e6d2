//! Tokens of Entra ID, in every way in which an identity is proved, and an API that takes nothing else. What stands for Entra ID
//! and Key Vault is judged by Microsoft's own clients first.

use ropeway_tests::{
    azure::{APP_SECRET, Azure, EXCHANGE},
    scene::{PATIENCE, Scene, Worker, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

const SCOPE: &str = "https://crm.example/.default";

fn client_secret() -> Value {
    json!({ "clientSecret": { "valueFrom": { "secretKeyRef": { "name": "app", "key": "secret" } } } })
}

/// A scene whose destination takes tokens of this identity.
async fn scene(azure: &Azure, identity: Value) -> Scene {
    let deliver = format!("{}/deliver", azure.url);
    let secrets = [
        ("app", "secret", APP_SECRET),
        ("app", "tls.crt", azure.certificate.as_str()),
        ("app", "tls.key", azure.key.as_str()),
    ];
    let mut scene = Scene::with(webhook_to(&["crm"]), &[("crm", deliver.as_str())], &secrets).await.expect("a scene");
    scene.azure().authority_host = Some(azure.url.clone());
    let mut identity = identity;
    identity["scope"] = json!(SCOPE);
    scene.account["auth"] = json!({ "azure": identity });
    scene.account["delivery"] = json!({ "timeout": "15s" });
    scene.spec["template"] = json!({ "serviceAccountName": "robot" });
    scene.apply().await.expect("the account is described");
    scene
}

/// A worker that knows the double's certificate, and where the service account's token is.
async fn worker(scene: &Scene, azure: &Azure, name: &str, more: &[(&str, &str)]) -> Worker {
    let (authority, token) = (azure.authority(), azure.token_file());
    let mut variables = vec![("SSL_CERT_FILE", authority.as_str()), ("AZURE_FEDERATED_TOKEN_FILE", token.as_str())];
    variables.extend(more);
    scene.start_worker_with(name, &variables).await.expect("a worker starts")
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("e-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_own_clients_take_the_double_for_theirs() {
    let azure = Azure::start(600).await.expect("the double starts");
    azure.sign_token(EXCHANGE).expect("a token");
    for (name, value) in [("vetted", "one"), ("vetted", "two"), ("off", "x")] {
        azure.order("put", &json!({ "name": name, "value": value })).await;
    }
    azure.order("enable", &json!({ "name": "off", "enabled": false })).await;
    let forbidden = json!({ "code": "Forbidden", "status": 403 });
    assert_eq!(
        azure.vetted().await,
        json!({
            "secret": "two", "version": true, "certificate": "two", "federated": "two",
            "throttled": { "value": "two", "waited": true },
            "missing": { "code": "SecretNotFound", "status": 404 },
            "disabled": forbidden, "stranger": forbidden,
            "wrong": { "code": "AuthenticationRequiredError", "status": null },
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_identity_gets_a_token_once_and_the_api_takes_it() {
    let azure = Azure::start(600).await.expect("the double starts");
    azure.sign_token(EXCHANGE).expect("a token");
    for (client, credential) in [
        ("app-secret", client_secret()),
        ("app-certificate", json!({ "certificateRef": { "name": "app" } })),
        ("app-federated", json!({ "workloadIdentity": {} })),
    ] {
        let before = azure.seen().await;
        let scene = scene(&azure, Azure::identity(client, credential)).await;
        scene.store(ids(20)).await.expect("events are stored");
        let mut first = worker(&scene, &azure, "one", &[]).await;
        assert_eq!(scene.counted(20).await, (0, 0, 0), "{client}");
        // A statement that was seen before is refused, so the second worker must make another one.
        first.process.kill();
        scene.store(["again".to_owned()]).await.expect("an event is stored");
        let _next = worker(&scene, &azure, "two", &[]).await;
        assert_eq!(scene.counted(21).await, (0, 0, 0), "{client}");
        let seen = azure.seen().await;
        let asked = &seen.tokens[before.tokens.len()..];
        assert_eq!(asked.len(), 2, "{client}: {asked:?}");
        assert!(asked.iter().all(|it| it.status == 200 && it.client.as_deref() == Some(client)), "{asked:?}");
        assert!(seen.deliveries.iter().all(|it| it.good), "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_service_account_is_waited_for_refused_and_followed_when_it_is_renewed() {
    let azure = Azure::start(5).await.expect("the double starts");
    let scene = scene(&azure, Azure::identity("app-federated", json!({ "workloadIdentity": {} }))).await;
    scene.store(ids(10)).await.expect("events are stored");
    let _worker = worker(&scene, &azure, "one", &[]).await;
    scene.held("Token", "the pod has no token of its service account").await;
    azure.sign_token("https://kubernetes.default.svc").expect("a token");
    scene.held("Credentials", "answered 401: invalid_client").await;
    azure.sign_token(EXCHANGE).expect("a token");
    assert_eq!(scene.counted(10).await, (0, 0, 0));
    // Tokens of five seconds are asked for again with what is in the file then.
    azure.sign_token("https://kubernetes.default.svc").expect("a token");
    until("the new file is used", PATIENCE, async || {
        scene.store([format!("late-{}", rand::random::<u64>())]).await.map_err(|error| error.to_string())?;
        match azure.seen().await.tokens.last() {
            Some(last) if last.status == 401 => Ok(()),
            last => Err(format!("{last:?}")),
        }
    })
    .await
    .expect("the file is read anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_of_the_node_is_used_where_the_administrator_lets_the_namespace() {
    let azure = Azure::start(600).await.expect("the double starts");
    let endpoint = format!("{}/msi/token", azure.url);
    let variables = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "the header")];
    let mut scene = scene(&azure, json!({ "credential": { "managedIdentity": {} } })).await;
    scene.store(ids(5)).await.expect("events are stored");
    let mut refused = worker(&scene, &azure, "one", &variables).await;
    scene.held("Credentials", "does not let this namespace use managed identities").await;
    assert!(azure.seen().await.tokens.is_empty(), "nothing may be asked");
    refused.process.kill();
    scene.azure().managed_identity = true;
    scene.apply().await.expect("the administrator allows it");
    let _worker = worker(&scene, &azure, "two", &variables).await;
    assert_eq!(scene.counted(5).await, (0, 0, 0));
    let seen = azure.seen().await;
    assert_eq!(seen.tokens.len(), 1, "{:?}", seen.tokens);
    assert!(seen.deliveries.iter().all(|it| it.good));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_api_refuses_is_replaced_and_a_wrong_secret_holds() {
    let azure = Azure::start(600).await.expect("the double starts");
    let scene = scene(&azure, Azure::identity("app-secret", client_secret())).await;
    scene.store(ids(10)).await.expect("events are stored");
    let _worker = worker(&scene, &azure, "one", &[]).await;
    assert_eq!(scene.counted(10).await, (0, 0, 0));
    let given = std::time::Instant::now();
    until("the token is old enough to be given up", PATIENCE, async || {
        if given.elapsed().as_secs() >= 6 { Ok(()) } else { Err("younger ones are not".to_owned()) }
    })
    .await
    .expect("time passes");
    azure.order("revoke-all", &Value::Null).await;
    scene.store((10..20).map(|number| format!("e-{number}"))).await.expect("events are stored");
    assert_eq!(scene.counted(20).await, (0, 0, 0), "an attempt was spent");
    assert_eq!(azure.seen().await.tokens.len(), 2);
    scene.rotate("app", "secret", "wrong").expect("a file");
    until("the new secret is tried", PATIENCE, async || {
        scene.store([format!("late-{}", rand::random::<u64>())]).await.map_err(|error| error.to_string())?;
        let refused = azure.seen().await.tokens.iter().filter(|it| it.status == 401).count();
        if refused > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("a changed secret is used");
    scene.held("Credentials", "answered 401: invalid_client").await;
    scene.rotate("app", "secret", APP_SECRET).expect("a file");
    scene.drained().await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_at_an_address_inside_is_not_asked() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    let key = |name: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": name } } });
    scene.account["auth"] = json!({ "oauth2": {
        "grant": "ClientCredentials", "tokenUrl": "https://169.254.169.254/token", "clientId": { "value": "c" },
        "clientSecret": key("token"),
    } });
    scene.apply().await.expect("the account is described");
    scene.store(ids(1)).await.expect("an event is stored");
    let _worker = scene.start_worker("one", None).await.expect("a worker starts");
    scene.held("Address", "169.254.169.254 is at the link-local or metadata address").await;
}
