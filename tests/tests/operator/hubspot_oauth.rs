//! A HubSpot account that an app was installed in: the refresh token is exchanged as HubSpot's OAuth v3 wants it, and an app that
//! was uninstalled is told. HubSpot is the one that the sink plays, which HubSpot's own client library drives first
//! (`--test worker -- vendors::clients::hubspot`).

use std::sync::{Arc, Mutex};

use axum::{Router, http::HeaderMap, http::StatusCode, routing::get};
use k8s_openapi::api::core::v1::Secret;
use ropeway_cli::sink::{Script, Sink};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{
    port::serve,
    scene::{http_client, post, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

use crate::{
    kubelet::{run_pod, show_secrets},
    place::{PATIENCE, Place, integration, shared_nats},
};

/// A destination without a token is tried once a minute.
const LONG: std::time::Duration = std::time::Duration::from_secs(120);

/// A HubSpot; what it remembers, and its address.
async fn hubspot() -> (Sink, String) {
    let script = json!({ "destinations": { "hubspot": { "vendor": "HubSpot", "id": "/properties/email" } } });
    let script: Script = serde_json::from_value(script).expect("a script");
    let sink = Sink::new(script, 0, false);
    let address = serve(sink.router()).await;
    (sink, format!("http://{address}/hubspot"))
}

/// An API of the same account, which takes one token and tells of one contact.
async fn contacts(good: &Arc<Mutex<(&'static str, &'static str)>>) -> String {
    let good = Arc::clone(good);
    let answer = async move |headers: HeaderMap| {
        let (token, contact) = *good.lock().expect("nobody panics with it");
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
        match shown == Some(&format!("Bearer {token}")) {
            true => (StatusCode::OK, json!([{ "id": contact }]).to_string()),
            false => (StatusCode::UNAUTHORIZED, String::new()),
        }
    };
    let address = serve(Router::new().route("/contacts", get(answer))).await;
    format!("http://{address}/contacts")
}

fn account(url: &str) -> Value {
    let key = |name: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "hubspot", "key": name } } });
    json!({
        "apiVersion": "ropeway.dev/v1alpha1",
        "kind": "Destination",
        "metadata": { "name": "crm" },
        "spec": {
            "provider": { "hubspot": { "object": "contacts", "idProperty": "email", "url": url } },
            "auth": { "oauth2": {
                "grant": "RefreshToken", "tokenUrl": format!("{url}/oauth/v3/token"),
                "clientId": { "value": "app" }, "clientSecret": key("secret"), "clientSecretIn": "Body",
                "refreshToken": key("refresh"),
            } },
        },
    })
}

/// Waits until the operator has handed this access token over.
async fn token(place: &Place, wanted: &str) {
    until(&format!("the access token {wanted}"), PATIENCE, async || {
        let found = place.all::<Secret>().get_opt("ropeway-token-crm").await.expect("an answer");
        let token = found.and_then(|secret| secret.data?.remove("access_token"));
        if token.is_some_and(|token| token.0 == wanted.as_bytes()) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("the operator exchanges the refresh token");
}

async fn taken(sink: &Sink, email: &str) {
    until(&format!("{email} is taken"), LONG, async || match sink.memory("hubspot") {
        memory if memory.accepted.contains_key(email) => Ok(()),
        memory => Err(format!("{memory:?}")),
    })
    .await
    .expect("it arrives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_installed_delivers_and_one_that_was_uninstalled_is_told() {
    let (sink, url) = hubspot().await;
    let place = Place::new("hubspot-oauth", shared_nats().await).await;
    place.secrets("hubspot", json!({ "secret": "app-secret", "refresh": "consent-1" })).await;
    place.apply::<Destination>(account(&url)).await;
    let _operator = place.operator(None);
    let mut spec = webhook_to(&["crm"]);
    let record = r#"{ "properties": { "email": string!(.id) + "@example.com" } }"#;
    spec["destinations"][0]["transform"] = json!({ "expression": record });
    place.apply::<Integration>(integration("signups", spec)).await;
    token(&place, "hub-access-1").await;
    place.condition("signups", "Ready", "False", "WorkersStarting").await;
    let worker = run_pod(&place, "signups", "pod-1").await;
    place.condition("signups", "Ready", "True", "Ready").await;
    let client = http_client();
    assert!(matches!(post(&client, &worker.url, "one").await, Some(200..=299)));
    taken(&sink, "one@example.com").await;
    place.destination_condition("crm", "CredentialsValid", "True", "CredentialsAccepted").await;

    // The app is uninstalled: HubSpot ends its tokens, and says so in its own words.
    let answer = client.delete(format!("{url}/oauth/v1/refresh-tokens/consent-1")).send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    assert!(matches!(post(&client, &worker.url, "two").await, Some(200..=299)));
    let told = place.destination_condition("crm", "CredentialsValid", "False", "ConsentNeeded").await;
    assert!(told.contains("400: BAD_REFRESH_TOKEN: missing or invalid refresh token"), "{told}");

    // It is installed again, and what waited is delivered.
    place.secrets("hubspot", json!({ "secret": "app-secret", "refresh": "consent-2" })).await;
    token(&place, "hub-access-2").await;
    show_secrets(&place, "signups", "pod-1").await;
    taken(&sink, "two@example.com").await;
    place.destination_condition("crm", "CredentialsValid", "True", "CredentialsAccepted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_consent_serves_a_second_destination_and_a_polled_api() {
    let (sink, url) = hubspot().await;
    let good = Arc::new(Mutex::new(("hub-access-1", "one")));
    let api = contacts(&good).await;
    let place = Place::new("hubspot-shared", shared_nats().await).await;
    place.secrets("hubspot", json!({ "secret": "app-secret", "refresh": "consent-1" })).await;
    let shared = json!({ "destinationRef": { "name": "crm" } });
    let mut second = account(&url);
    second["metadata"]["name"] = "second".into();
    second["spec"]["auth"] = shared.clone();
    place.apply::<Destination>(second).await;
    let _operator = place.operator(None);
    let told =
        place.condition_within::<Destination>("second", ("Ready", "False", "DestinationNotFound"), PATIENCE).await;
    assert!(told.starts_with("spec.auth.destinationRef: there is no Destination \"crm\""), "{told}");
    place.apply::<Destination>(account(&url)).await;
    place.condition_within::<Destination>("second", ("Ready", "True", "Resolved"), PATIENCE).await;
    let mut spec = webhook_to(&["second"]);
    let poll = json!({ "interval": "1s", "request": { "url": api }, "auth": shared });
    spec["source"] = json!({ "poll": poll });
    let record = r#"{ "properties": { "email": string!(.id) + "@example.com" } }"#;
    spec["destinations"][0]["transform"] = json!({ "expression": record });
    token(&place, "hub-access-1").await;
    place.apply::<Integration>(integration("changes", spec)).await;
    place.condition("changes", "Ready", "False", "WorkersStarting").await;
    let _worker = run_pod(&place, "changes", "pod-1").await;
    taken(&sink, "one@example.com").await;

    // What the API refuses, the operator is asked to replace: there is nobody else who could.
    *good.lock().expect("nobody panics with it") = ("hub-access-2", "two");
    let told = place.condition("changes", "SourceReady", "False", "PollRefused").await;
    assert!(told.contains("spec.source.poll.auth: the access token"), "{told}");
    token(&place, "hub-access-2").await;
    show_secrets(&place, "changes", "pod-1").await;
    taken(&sink, "two@example.com").await;
    place.condition("changes", "SourceReady", "True", "StreamReady").await;
}
