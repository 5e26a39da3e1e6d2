//! Every credential and every payload is marked; success, retry, dead letter, hold, refused input, a mapping that fails and a
//! panic are driven; then everything that anybody can read is searched. A mark is found on the wire, and a payload's in the
//! streams that hold payloads, and nowhere else.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{
    NatsServer,
    process::run,
    receiver::{Receiver, Reply},
    scene::{Worker, http_client, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

mod planted;
mod search;
mod tokens;

use self::search::{Mark, NATS_PASSWORD, Search, found, guarded_nats};
use crate::{
    kubelet::run_pod_with,
    place::{Operator, Place, integration},
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// The credentials, by the key of the Secret `marks` in which they are.
struct Marks {
    secrets: Vec<(&'static str, String)>,
    certificate: String,
    key: String,
}

const PAYLOAD: &str = "canary-payload-5b1e9d";
const SENT_HEADER: &str = "canary-sent-header-0c7a41";
const WRONG: &str = "canary-wrong-token-77aa20";
const ACCESS: &str = "canary-access-token-9e07b5";

impl Marks {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["client.example".to_owned()]).expect("a certificate");
        let whsec = |text: &str| format!("whsec_{}", BASE64_STANDARD.encode(text));
        let secrets = [
            ("bearer", "canary-bearer-41f07c".to_owned()),
            ("password", "canary-password-e82b16".to_owned()),
            ("username", "canary-username-6d90ab".to_owned()),
            ("header", "canary-key-in-header-a90412".to_owned()),
            ("query", "canary-key-in-query-17cc3e".to_owned()),
            ("body", "canary-key-in-body-f3d85b".to_owned()),
            ("tenant", "canary-tenant-header-2e6b70".to_owned()),
            ("signing", whsec("canary-signing-key-8890ab1c")),
            ("hook-bearer", "canary-hook-bearer-b7711d".to_owned()),
            ("hook-password", "canary-hook-password-54e0a9".to_owned()),
            ("hook-key", "canary-hook-key-0f9d33".to_owned()),
            ("hook-standard", whsec("canary-hook-standard-5a5ad1f0")),
            ("poll", "canary-poll-token-cb2290".to_owned()),
            ("client", "canary-client-secret-4d21c8".to_owned()),
        ];
        Self { secrets: secrets.into(), certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn get(&self, key: &str) -> &str {
        &self.secrets.iter().find(|(known, _)| *known == key).expect("a mark").1
    }

    /// Everything that is a credential, whatever it is for.
    fn credentials(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = self.secrets.iter().map(|(key, text)| Mark::of(key, text)).collect();
        for key in ["signing", "hook-standard"] {
            let encoded = self.get(key).trim_start_matches("whsec_");
            let bytes = BASE64_STANDARD.decode(encoded).expect("base 64");
            marks.push(Mark::of(key, &String::from_utf8(bytes).expect("text")));
        }
        for (user, password) in [(self.get("username"), "password"), ("sender", "hook-password")] {
            marks.push(Mark::of("a pair of Basic", &format!("{user}:{}", self.get(password))));
        }
        marks.push(Mark::of("the password of NATS", NATS_PASSWORD));
        marks.push(Mark::of("a sender's wrong token", WRONG));
        marks.push(Mark::of("an access token", ACCESS));
        marks.push(Mark::of("a pair of Basic", &format!("client:{}", self.get("client"))));
        marks.push(Mark::of("the private key", self.key.lines().nth(1).expect("a line")));
        marks
    }
}

fn payloads() -> Vec<Mark> {
    vec![Mark::of("a payload", PAYLOAD), Mark::of("a sender's header", SENT_HEADER)]
}

fn secret(key: &str) -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "marks", "key": key } } })
}

fn out(name: &str, provider: Value, auth: Value) -> Value {
    let retry = json!({ "maxAttempts": 2, "backoffDelay": "100ms", "backoffMax": "200ms" });
    let mut spec = json!({ "provider": provider, "delivery": { "timeout": "5s", "retry": retry },
        "circuitBreaker": { "failureThreshold": 1000, "minimumRequests": 100_000 } });
    if !auth.is_null() {
        spec["auth"] = auth;
    }
    json!({ "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name }, "spec": spec })
}

fn ways_out(receiver: &Receiver) -> Vec<Value> {
    let http = |name: &str| json!({ "http": { "url": receiver.url(name) } });
    let key = |place: &str, key: &str| json!({ "apiKey": { "in": place, "name": "key", "value": secret(key) } });
    let mut tenant = secret("tenant");
    tenant["name"] = json!("X-Tenant");
    let bearer = json!({ "http": { "url": receiver.url("bearer"), "headers": [tenant] } });
    let signed = json!({ "webhook": { "url": receiver.url("signed"), "signing": { "keys": [secret("signing")] } } });
    let tls = json!({ "http": { "url": receiver.url("tls").replace("http:", "https:") } });
    let basic = json!({ "basic": { "username": secret("username"), "password": secret("password") } });
    let mut tls = out("tls", tls, json!({ "bearer": { "token": secret("bearer") } }));
    tls["spec"]["tls"] = json!({ "clientCertificateRef": { "name": "client" } });
    vec![
        out("bearer", bearer, json!({ "bearer": { "token": secret("bearer") } })),
        out("header", http("header"), key("Header", "header")),
        out("query", http("query"), key("Query", "query")),
        out("body", http("body"), key("Body", "body")),
        out("basic", http("basic"), basic),
        out("signed", signed, Value::Null),
        out(
            "oauth",
            http("oauth"),
            json!({ "oauth2": { "grant": "ClientCredentials", "tokenUrl": receiver.url("token"),
            "clientId": { "value": "client" }, "clientSecret": secret("client") } }),
        ),
        tls,
        out("plain", http("plain"), Value::Null),
    ]
}

/// The Integrations by name: one for each way of verification, and one that polls.
fn ways_in(receiver: &Receiver) -> Vec<(&'static str, Value)> {
    let mut signups = webhook_to(&["bearer", "header", "query", "body", "basic", "signed", "tls", "oauth"]);
    signups["source"]["webhook"]["verification"] = json!({ "bearer": { "tokens": [secret("hook-bearer")] } });
    signups["dedup"] = json!({ "key": "string!(.id) + string!(.password)", "window": "1h" });
    signups["schema"] = json!({ "inline": { "properties": { "kind": { "enum": ["plain", "mapping"] } } }, "onViolation": "DeadLetter" });
    signups["deadLetter"] = json!({ "hold": { "failurePercent": 100, "minimum": 1_000_000 } });
    for (index, call) in
        ["to_int!(.password)", "parse_timestamp!(.password, \"%Y\")", "parse_url!(.password)"].iter().enumerate()
    {
        let expression = format!("if .kind == \"mapping\" {{ .made = {call} }}\n.");
        signups["destinations"][index]["transform"] = json!({ "expression": expression });
    }
    let with = |verification: Value| {
        let mut spec = webhook_to(&["plain"]);
        spec["source"]["webhook"]["verification"] = verification;
        spec
    };
    let mut polled = webhook_to(&["plain"]);
    polled["source"] = json!({ "poll": { "interval": "1s", "request": { "url": receiver.url("polled") },
        "auth": { "bearer": { "token": secret("poll") } } } });
    vec![
        ("signups", signups),
        (
            "basic",
            with(json!({ "basic": { "username": { "value": "sender" }, "passwords": [secret("hook-password")] } })),
        ),
        ("keyed", with(json!({ "apiKey": { "in": "Query", "name": "key", "values": [secret("hook-key")] } }))),
        ("standard", with(json!({ "standardWebhooks": { "secrets": [secret("hook-standard")] } }))),
        ("polled", polled),
    ]
}

/// A vendor that says in its answers whatever it was told.
fn echo(receiver: &Receiver, marks: &Marks) {
    let told: Vec<String> = marks.secrets.iter().map(|(_, text)| text.clone()).chain([PAYLOAD.into()]).collect();
    let body = json!({ "error": told }).to_string();
    receiver.reply(move |asked| {
        let status = match (asked.destination, asked.times) {
            ("query", 1) => 503,
            ("body", _) => 422,
            ("basic", _) => 401,
            _ => 200,
        };
        let body = match asked.destination {
            "token" => json!({ "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600 }).to_string(),
            "polled" => json!([{ "id": "polled-1", "password": PAYLOAD }]).to_string(),
            _ => body.clone(),
        };
        let headers = vec![("x-request-id", told[0].clone()), ("x-echo", told.join(","))];
        Reply { status, headers, body, ..Reply::default() }
    });
}

fn event(id: &str, kind: &str) -> String {
    json!({ "id": id, "kind": kind, "password": PAYLOAD, "person": { "email": PAYLOAD } }).to_string()
}

/// Sends a body with this proof of who sends it; gives the status.
async fn send(worker: &Worker, proof: &[(&str, String)], query: &str, body: String) -> u16 {
    let mut request = http_client().post(format!("{}{query}", worker.url)).header("content-type", "application/json");
    request = request
        .header("x-secret", SENT_HEADER)
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    for (name, value) in proof {
        request = request.header(*name, value);
    }
    request.body(body).send().await.expect("the worker answers").status().as_u16()
}

fn standard(secret: &str, id: &str, body: &str) -> Vec<(&'static str, String)> {
    let time = jiff::Timestamp::now().as_second().to_string();
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base 64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("any length is a key");
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    vec![("webhook-id", id.to_owned()), ("webhook-timestamp", time), ("webhook-signature", signature)]
}

/// What is right, what is wrong, and what is no event, at each address.
async fn drive(marks: &Marks, workers: &[(&str, Worker)]) {
    let worker = |name: &str| &workers.iter().find(|(known, _)| *known == name).expect("a worker").1;
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let basic = |password: &str| {
        vec![("authorization", format!("Basic {}", BASE64_STANDARD.encode(format!("sender:{password}"))))]
    };
    let body = || event("standard-1", "plain");
    let signups = bearer(marks.get("hook-bearer"));
    for (id, kind) in [("fine", "plain"), ("mapping", "mapping"), ("violates", PAYLOAD)] {
        assert_eq!(send(worker("signups"), &signups, "", event(id, kind)).await, 200, "{id}");
    }
    assert_eq!(send(worker("signups"), &signups, "", format!("{{\"password\": \"{PAYLOAD}\"")).await, 400);
    assert_eq!(send(worker("signups"), &signups, "", format!("[\"{PAYLOAD}\"]")).await, 400);
    let wide = json!({ "id": "wide", "password": PAYLOAD.repeat(20_000) }).to_string();
    assert_eq!(send(worker("signups"), &signups, "", wide).await, 413);
    let (key, secret) = (marks.get("hook-key"), marks.get("hook-standard"));
    let path = format!("?key={key}");
    assert_eq!(send(worker("keyed"), &[], &path, event("keyed-1", "plain")).await, 200);
    assert_eq!(send(worker("basic"), &basic(marks.get("hook-password")), "", event("basic-1", "plain")).await, 200);
    assert_eq!(send(worker("standard"), &standard(secret, "standard-1", &body()), "", body()).await, 200);
    assert_eq!(send(worker("signups"), &bearer(WRONG), "", body()).await, 401);
    assert_eq!(send(worker("basic"), &basic(WRONG), "", body()).await, 401);
    assert_eq!(send(worker("keyed"), &[], &format!("?key={WRONG}"), body()).await, 401);
    let forged = standard(&format!("whsec_{}", BASE64_STANDARD.encode(WRONG)), "standard-2", &body());
    assert_eq!(send(worker("standard"), &forged, "", body()).await, 401);
}

async fn starts(place: &Place, name: &str, pod: &str, panics: &str) -> Worker {
    run_pod_with(place, name, pod, &[("RUST_LOG", "trace"), ("ROPEWAY_PANIC", panics)]).await
}

struct Stage {
    place: Place,
    nats: NatsServer,
    receiver: Receiver,
    operator: Operator,
    marks: Marks,
}

async fn staged() -> Stage {
    let nats = guarded_nats().await;
    let place = Place::new("canary", &nats).await;
    let marks = Marks::new();
    place.secrets("ropeway-nats", json!({ "username": "ropeway", "password": NATS_PASSWORD })).await;
    let entries: serde_json::Map<String, Value> =
        marks.secrets.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    place.secrets("marks", Value::Object(entries)).await;
    place.secrets("client", json!({ "tls.crt": marks.certificate, "tls.key": marks.key })).await;
    let receiver = Receiver::start().await.expect("the receiver starts");
    echo(&receiver, &marks);
    let operator = place.operator_in(&[("RUST_LOG", "trace")]);
    for destination in ways_out(&receiver) {
        place.apply::<Destination>(destination).await;
    }
    for (name, spec) in ways_in(&receiver) {
        place.apply::<Integration>(integration(name, spec)).await;
        place.condition(name, "WorkersAvailable", "False", "WorkersStarting").await;
    }
    Stage { place, nats, receiver, operator, marks }
}

/// Waits until everything that is driven has come to its end, and the status says so.
async fn ended(stage: &Stage) {
    let wanted: BTreeSet<&str> = ["Exhausted", "MappingFailed", "Rejected", "SchemaViolation"].into();
    until("every ending is counted", PATIENCE, async || {
        let found = stage.place.all::<Integration>().get("signups").await.map_err(|error| error.to_string())?;
        let status = found.status.unwrap_or_default();
        let letters = status.dead_letters.unwrap_or_default();
        let reasons: BTreeSet<&str> = letters.reasons.iter().map(|it| it.reason.as_str()).collect();
        let arrived =
            |name: &str, id: &str| stage.receiver.arrivals().iter().any(|it| it.destination == name && it.id == id);
        let through = ["header", "query", "bearer", "signed", "oauth"]
            .iter()
            .all(|name| arrived(name, "fine") && arrived(name, "panics"));
        let plain = ["basic-1", "keyed-1", "standard-1", "polled-1"].iter().all(|id| arrived("plain", id));
        if through && plain && wanted.is_subset(&reasons) {
            Ok(())
        } else {
            Err(format!("{through} {plain} {reasons:?}"))
        }
    })
    .await
    .expect("all of it ends");
    stage.place.destination_condition("basic", "CredentialsValid", "False", "CredentialsRefused").await;
}

/// What must be on the wire was there: the marks are in use, and the search would find them.
fn on_the_wire(stage: &Stage) {
    let arrivals = stage.receiver.arrivals();
    let of = |name: &str| {
        let mut text = String::new();
        for arrival in arrivals.iter().filter(|it| it.destination == name) {
            text += &format!("{} {:?} {}\n", arrival.query, arrival.headers, String::from_utf8_lossy(&arrival.body));
        }
        text
    };
    for (name, key) in [
        ("bearer", "bearer"),
        ("bearer", "tenant"),
        ("header", "header"),
        ("query", "query"),
        ("body", "body"),
        ("polled", "poll"),
    ] {
        assert!(
            !found(&of(name), &[Mark::of(key, stage.marks.get(key))]).is_empty(),
            "{key} is not on the wire: {}",
            of(name)
        );
    }
    assert!(!found(&of("oauth"), &[Mark::of("token", ACCESS)]).is_empty(), "{}", of("oauth"));
    let pair = format!("{}:{}", stage.marks.get("username"), stage.marks.get("password"));
    assert!(!found(&of("basic"), &[Mark::of("pair", &pair)]).is_empty(), "{}", of("basic"));
    assert!(of("signed").contains("webhook-signature") && of("signed").contains(PAYLOAD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_and_no_payload_is_found_where_it_does_not_belong() {
    let stage = staged().await;
    let mut workers = Vec::new();
    for name in ["signups", "basic", "keyed", "standard", "polled"] {
        workers.push((name, starts(&stage.place, name, &format!("pod-{name}"), "panics").await));
        stage.place.condition(name, "Ready", "True", "Ready").await;
    }
    drive(&stage.marks, &workers).await;
    // One event makes the worker panic with its payload on its lips; the next worker delivers it.
    let bearer = [("authorization", format!("Bearer {}", stage.marks.get("hook-bearer")))];
    assert_eq!(send(&workers[0].1, &bearer, "", event("panics", "plain")).await, 200);
    let panicked = workers[0].1.process.ends(PATIENCE).await.expect("the worker panics");
    assert_eq!(panicked, Some(70));
    workers[0].1 = starts(&stage.place, "signups", "pod-signups-2", "nothing").await;
    ended(&stage).await;
    on_the_wire(&stage);

    let credentials = stage.marks.credentials();
    let mut search = Search::new(credentials.clone(), payloads());
    // The search itself: where the credentials are, it finds them.
    let secrets = run(stage.place.kubectl().args(["get", "secrets", "--output", "json"])).expect("kubectl reads");
    let seen = found(&secrets, &credentials);
    assert!(stage.marks.secrets.iter().all(|(key, _)| seen.iter().any(|what| what == key)), "{seen:?}");
    search.logs(&stage.place.scratch.path().join("logs"));
    search.objects(&stage.place);
    search.metrics("the operator", &stage.operator.admin).await;
    for (name, worker) in &workers {
        search.metrics(name, &worker.admin).await;
    }
    let ids = workers.iter().map(|(_, worker)| worker.process.id()).chain([stage.operator.process.id()]);
    search.processes(&ids.collect::<Vec<_>>());
    search.dead_letters(&stage.place, &stage.nats, "signups", 5);
    let kept = search.streams(&stage.nats).await;
    assert!(kept.len() >= 2, "the streams were not read: {kept:?}");
    let leaks = search.leaks();
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}
