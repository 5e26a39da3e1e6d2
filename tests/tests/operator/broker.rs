//! Tokens that the operator keeps, against a strict server that takes each refresh token once and takes the whole consent
//! back when one comes twice.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Secret},
        events::v1::Event,
    },
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use ropeway_auth::brokered::stands_for;
use ropeway_crds::{
    Destination, Integration,
    account::TokenWish,
    names::{NamespaceNames, ShortUid, token_key},
    status::CredentialsStatus,
};
use ropeway_tests::{
    oidc::{CLIENT_SECRET, OidcProvider},
    process::run,
    receiver::{Receiver, Reply},
    scene::{Worker, http_client, post, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

use crate::{
    kubelet::{run_pod, show_secrets},
    place::{Operator, PATIENCE, Place, destination, integration, shared_nats},
};

/// A refresh that another operator began is left alone for forty seconds.
const LONG: Duration = Duration::from_secs(120);

fn key(name: &str) -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "idp", "key": name } } })
}

/// A Destination of the server's vendor whose tokens the operator keeps.
async fn apply(place: &Place, server: &OidcProvider, grant: Value) {
    let mut account = destination("crm", &format!("{}/deliver", server.url));
    let certificates = json!({ "caRef": { "name": "idp", "key": "ca.crt" } });
    let mut oauth2 = json!({
        "issuer": server.url, "clientId": { "value": "consent" }, "clientSecret": key("secret"), "tls": certificates,
    });
    for (name, value) in grant.as_object().expect("an object") {
        oauth2[name] = value.clone();
    }
    account["spec"]["tls"] = oauth2["tls"].clone();
    account["spec"]["auth"] = json!({ "oauth2": oauth2 });
    place.apply::<Destination>(account).await;
}

/// The Secret with everything that the server wants, and this refresh token.
async fn secret(place: &Place, server: &OidcProvider, refresh: &str) {
    place.secrets("idp", json!({ "secret": CLIENT_SECRET, "refresh": refresh, "ca.crt": server.authority })).await;
}

/// A namespace whose Destination begins with a fresh consent; the name of the consent.
async fn consented(namespace: &str, server: &OidcProvider) -> (Place, String) {
    let place = Place::new(namespace, shared_nats().await).await;
    let (refresh, grant) = server.consent().await;
    secret(&place, server, &refresh).await;
    apply(&place, server, json!({ "grant": "RefreshToken", "refreshToken": key("refresh") })).await;
    (place, grant)
}

async fn credentials(place: &Place) -> CredentialsStatus {
    let found = place.all::<Destination>().get("crm").await.expect("the Destination is there");
    found.status.and_then(|status| status.credentials).unwrap_or_default()
}

/// When the token in the Secret was got.
async fn refreshed(place: &Place) -> Option<String> {
    let found = place.all::<Secret>().get_opt("ropeway-token-crm").await.expect("an answer")?;
    Some(String::from_utf8(found.data?.remove("refreshed_at")?.0).expect("a text"))
}

/// Waits for another token than that of this time.
async fn renewed(place: &Place, since: Option<String>, patience: Duration) -> Result<String, String> {
    until("another access token", patience, async || match refreshed(place).await {
        Some(time) if Some(&time) != since.as_ref() => Ok(time),
        other => Err(format!("{other:?}; {:?}", credentials(place).await)),
    })
    .await
    .map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_exchanged_rotated_and_handed_to_workers_who_ask_for_another() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    let (place, grant) = consented("broker", &server).await;
    let _operator = place.operator(None);
    let first = renewed(&place, None, PATIENCE).await.expect("a token");
    place.apply::<Integration>(integration("signups", webhook_to(&["crm"]))).await;
    place.condition("signups", "Ready", "False", "WorkersStarting").await;
    let worker = run_pod(&place, "signups", "pod-1").await;
    place.condition("signups", "Ready", "True", "Ready").await;
    let client = http_client();
    assert!(matches!(post(&client, &worker.url, "one").await, Some(200..=299)));
    taken(&server, "one").await;
    place.destination_condition("crm", "CredentialsValid", "True", "CredentialsAccepted").await;
    let told = credentials(&place).await;
    assert!(told.expires_at.is_some() && told.refresh_failures == Some(0), "{told:?}");

    // The worker is refused, asks, and goes on when the kubelet shows what the operator got.
    until("the token is old enough to be replaced", PATIENCE, async || {
        let age = Timestamp::now().duration_since(first.parse().expect("a time")).as_secs();
        if age > 10 { Ok(()) } else { Err(format!("{age} s")) }
    })
    .await
    .expect("time passes");
    server.revoke_all().await;
    assert!(matches!(post(&client, &worker.url, "two").await, Some(200..=299)));
    renewed(&place, Some(first), PATIENCE).await.expect("another token");
    show_secrets(&place, "signups", "pod-1").await;
    taken(&server, "two").await;

    // Consent that is taken back is told, and given anew it is used.
    server.revoke_grant(&grant).await;
    server.revoke_all().await;
    assert!(matches!(post(&client, &worker.url, "three").await, Some(200..=299)));
    let told = place.destination_condition("crm", "CredentialsValid", "False", "ConsentNeeded").await;
    assert!(told.contains("the token endpoint 127.0.0.1 answered 400: invalid_grant"), "{told}");
    let events = place.all::<Event>().list(&Default::default()).await.expect("events");
    assert!(events.items.iter().any(|event| event.reason.as_deref() == Some("ConsentNeeded")));
    let asked = server.seen().await.tokens.len();
    let (refresh, _) = server.consent().await;
    let before = refreshed(&place).await;
    secret(&place, &server, &refresh).await;
    renewed(&place, before, PATIENCE).await.expect("a token of the new consent");
    assert!(server.seen().await.tokens.len() - asked <= 2, "the server was asked in vain again and again");
    show_secrets(&place, "signups", "pod-1").await;
    taken(&server, "three").await;
    place.destination_condition("crm", "CredentialsValid", "True", "CredentialsAccepted").await;
}

async fn taken(server: &OidcProvider, id: &str) {
    until(&format!("{id} is taken"), LONG, async || {
        let seen = server.seen().await;
        if seen.deliveries.iter().any(|it| it.id == id && it.good) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("it arrives");
}

/// Where an operator is killed, and whether the server has then given tokens that nobody stored.
const CRASHES: [(&str, bool); 7] = [
    ("1:before", false),
    ("1:after", false),
    ("2:before", false),
    ("2:after", true),
    ("3:before", true),
    ("3:after", false),
    ("4:before", false),
];

async fn killed(server: &OidcProvider, number: usize, crash: &str, lost: bool) {
    let (place, _) = consented(&format!("broker-crash-{number}"), server).await;
    let Operator { mut process, .. } = place.operator(Some(crash));
    until("the operator dies", LONG, async || match process.check() {
        Ok(()) => Err("it lives".to_owned()),
        Err(_) => Ok(()),
    })
    .await
    .expect("the write is reached");
    let _next = place.operator(None);
    if lost {
        let told =
            place.condition_within::<Destination>("crm", ("CredentialsValid", "False", "ConsentNeeded"), LONG).await;
        assert!(told.contains("invalid_grant"), "{crash}: {told}");
        return;
    }
    // The refresh token that is kept is the one that is good: it is used twice more.
    let mut since = None;
    for _ in 0..3 {
        since = Some(renewed(&place, since, LONG).await.unwrap_or_else(|error| panic!("{crash}: {error}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_killed_anywhere_loses_no_refresh_token_that_it_could_have_stored() {
    let server = OidcProvider::start(12, "ES256").await.expect("an authorization server");
    let runs = CRASHES.iter().enumerate().map(|(number, (crash, lost))| killed(&server, number, crash, *lost));
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_told_to_stop_stores_what_it_is_being_given() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    server.fail(&json!({ "kind": "slow", "ms": 3_000 })).await;
    let (place, _) = consented("broker-stop", &server).await;
    let Operator { mut process, .. } = place.operator(None);
    until("the server is asked", LONG, async || {
        if server.seen().await.tokens.is_empty() { Err("not yet".to_owned()) } else { Ok(()) }
    })
    .await
    .expect("the operator asks");
    process.stop(PATIENCE).await;
    assert!(refreshed(&place).await.is_some(), "what the server gave was dropped");
    let seen = server.seen().await.tokens;
    assert!(seen.len() == 1 && seen[0].status == 200, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_never_use_a_refresh_token_at_once() {
    let server = OidcProvider::start(8, "ES256").await.expect("an authorization server");
    let (place, _) = consented("broker-two", &server).await;
    let _operators = [place.operator(None), place.operator(None)];
    let mut since = None;
    for _ in 0..5 {
        since = Some(renewed(&place, since, LONG).await.expect("tokens go on"));
    }
    let seen = server.seen().await.tokens;
    assert!(seen.iter().all(|it| it.status == 200), "{seen:?}");
}

/// How many requests to the Destination a worker has under way.
async fn under_way(worker: &Worker) -> u64 {
    let metrics = http_client().get(format!("{}/metrics", worker.admin)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let line = metrics.lines().find(|line| line.starts_with("ropeway_worker_requests_under_way{"));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).expect("a number")
}

/// Collects what workers write into the namespace's bucket to ask for another token.
async fn wishes(place: &Place) -> Arc<Mutex<Vec<TokenWish>>> {
    let uid = |given: Option<String>| ShortUid::of(&given.expect("what is there has a UID"));
    let namespace = Api::<Namespace>::all(place.client.clone()).get(&place.namespace).await.expect("it is there");
    let account = place.all::<Destination>().get("crm").await.expect("it is there");
    let jetstream = async_nats::jetstream::new(shared_nats().await.connect().await.expect("a client"));
    let bucket = NamespaceNames::new(uid(namespace.metadata.uid)).state_bucket();
    let bucket = jetstream.get_key_value(bucket).await.expect("the bucket");
    let mut watch = bucket.watch(token_key(&uid(account.metadata.uid))).await.expect("a watch");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(Ok(entry)) = watch.next().await {
            let wish = serde_json::from_slice(&entry.value).expect("a wish");
            told.lock().unwrap_or_else(PoisonError::into_inner).push(wish);
        }
    });
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_that_are_refused_at_once_ask_both_and_one_refresh_is_made() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    let vendor = Receiver::start().await.expect("the receiver starts");
    let (place, _) = consented("broker-workers", &server).await;
    // The vendor's own: it holds an answer back until both workers wait for one.
    let crm =
        json!({ "spec": { "provider": { "http": { "url": vendor.url("crm") } }, "delivery": { "timeout": "20s" } } });
    let changed = place.all::<Destination>().patch("crm", &PatchParams::default(), &Patch::Merge(crm)).await;
    changed.expect("it is changed");
    let _operator = place.operator(None);
    let first = renewed(&place, None, PATIENCE).await.expect("a token");
    place.apply::<Integration>(integration("signups", webhook_to(&["crm"]))).await;
    place.condition("signups", "Ready", "False", "WorkersStarting").await;
    let workers = [run_pod(&place, "signups", "pod-1").await, run_pod(&place, "signups", "pod-2").await];
    place.condition("signups", "Ready", "True", "Ready").await;
    let entry = async |key: &str| {
        let found = place.all::<Secret>().get("ropeway-token-crm").await.expect("the Secret is there");
        String::from_utf8(found.data.expect("data").remove(key).expect("an entry").0).expect("a text")
    };
    let token = async || entry("access_token").await;
    // Of what the operator keeps a pod has the access token and its end, and nothing else.
    let shown = fs::read_dir(place.scratch.path().join("pod-1/mounted/var/run/ropeway/secrets/ropeway-token-crm"));
    let shown = shown.expect("it is mounted").map(|file| file.expect("a file").file_name().into_string());
    assert_eq!(shown.collect::<BTreeSet<_>>(), ["access_token", "expires_at"].map(|name| Ok(name.to_owned())).into());
    assert!(!entry("refresh_token").await.is_empty());
    let revoked = format!("Bearer {}", token().await);
    let shown = revoked.clone();
    vendor.reply(move |asked| match asked.headers["authorization"] == shown.as_str() {
        true => Reply { status: 401, delay: Duration::from_secs(8), ..Reply::default() },
        false => 200.into(),
    });
    let asked = wishes(&place).await;
    let client = http_client();
    let ids: Vec<String> = (0..20).map(|number| format!("e-{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(matches!(post(&client, &workers[number % 2].url, id).await, Some(200..=299)));
    }
    until("both workers wait for an answer", PATIENCE, async || {
        let waiting = (under_way(&workers[0]).await, under_way(&workers[1]).await);
        if waiting.0 > 0 && waiting.1 > 0 { Ok(()) } else { Err(format!("{waiting:?}")) }
    })
    .await
    .expect("they do");
    renewed(&place, Some(first), LONG).await.expect("another token");
    for pod in ["pod-1", "pod-2"] {
        show_secrets(&place, "signups", pod).await;
    }
    until("all is taken", LONG, async || {
        let taken = vendor.ids("crm").len();
        if taken == ids.len() { Ok(()) } else { Err(format!("{taken}")) }
    })
    .await
    .expect("it is");
    let refused = revoked.trim_start_matches("Bearer ").to_owned();
    let wishes = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(wishes.len() >= 2, "one worker alone asked: {wishes:?}");
    assert!(wishes.iter().all(|wish| wish.refused == stands_for(&refused.clone().into())), "{wishes:?}");
    assert_ne!(token().await, refused);
    // One for the consent, and one for all that were refused.
    let seen = server.seen().await.tokens;
    assert!(seen.len() == 2 && seen.iter().all(|it| it.status == 200), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_consents_by_the_command_and_the_operator_goes_on() {
    let server = OidcProvider::start(600, "ES256").await.expect("an authorization server");
    let place = Place::new("broker-login", shared_nats().await).await;
    secret(&place, &server, "none").await;
    apply(&place, &server, json!({ "grant": "AuthorizationCode", "scopes": ["openid", "offline_access"] })).await;
    let _operator = place.operator(None);
    let told = place.destination_condition("crm", "CredentialsValid", "False", "ConsentNeeded").await;
    assert!(told.contains("ropeway login crm"), "{told}");
    let mut command: Command = place.ropeway(&["login", "crm", "--listen", "127.0.0.1:0", "--wait", "60"]);
    let mut login = command.stdout(std::process::Stdio::piped()).spawn().expect("the command starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(login.stdout.take().expect("a pipe")));
    let address = lines.by_ref().map(|line| line.expect("a line")).find(|line| line.starts_with("https://"));
    let page = server.consent_at(&address.expect("an address")).await;
    assert!(page.contains("This window can be closed"), "{page}");
    let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    assert!(login.wait().expect("the command ends").success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("ropeway-token-crm")), "{rest:?}");
    let found = place.all::<Secret>().get("ropeway-token-crm").await.expect("the Secret is there");
    let data = found.data.expect("data");
    assert!(data.contains_key("access_token") && data.contains_key("refresh_token"));
    until("the status knows", PATIENCE, async || {
        let told = credentials(&place).await;
        if told.expires_at.is_some() { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .expect("the operator has taken over");
    // A Destination that needs no consent says so.
    place.apply::<Destination>(destination("open", "https://api.example.com")).await;
    let refused = run(&mut place.ropeway(&["login", "open"])).expect_err("there is nothing to log in to").to_string();
    assert!(refused.contains("only such a one needs a login"), "{refused}");
}
