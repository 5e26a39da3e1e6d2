//! Requests that vendors' own code signed are let in by our verifier, and ours by theirs. The libraries are installed by
//! `scripts/tools.sh signers`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, Method};
use jiff::Timestamp;
use ropeway_auth::secret::Secrets;
use ropeway_crds::source::Verification;
use ropeway_tests::{
    programs::repository,
    scene::{PATIENCE, SIGNING_KEY, Scene, webhook_to},
    wait::until,
};
use ropeway_worker::intake::{
    listen::Peer,
    verify::{SignedRequest, Verifier},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many requests each vendor's code signs.
const COUNT: &str = "200";

/// A request as `sign.mjs` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body_base64: String,
    secret: String,
    other: String,
    id: Option<String>,
    now_seconds: i64,
}

/// How a vendor is verified.
struct Vendor {
    name: &'static str,
    verification: Value,
    /// Whether the signature covers a time.
    timed: bool,
    /// Whether it covers the address.
    address: bool,
}

/// Runs one of the scripts with this on its standard input; what it writes.
pub fn script(arguments: &[&str], input: &str) -> String {
    let folder = repository().join("tests/peers/signers");
    assert!(
        folder.join("node_modules").is_dir(),
        "vendors' libraries are not installed; run `make tools TOOLS=signers`"
    );
    let mut command = Command::new("node");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("node starts; `make tools TOOLS=signers` says what is missing");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the script reads");
    let output = child.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "{arguments:?} failed: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// A seed that another run can be given again by `ROPEWAY_SEED`.
fn seed() -> String {
    std::env::var("ROPEWAY_SEED").unwrap_or_else(|_| "1".into())
}

fn vendors() -> Vec<Vendor> {
    let key = |key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "hooks", "key": key } } });
    let secrets = json!({ "secrets": [key("old"), key("new")] });
    let hubspot = |version: &str| json!({ "hubspot": { "secrets": [key("old"), key("new")], "version": version } });
    let of = |name, verification, timed, address| Vendor { name, verification, timed, address };
    vec![
        of("stripe", json!({ "stripe": secrets }), true, false),
        of("github", json!({ "github": secrets }), false, false),
        of("svix", json!({ "standardWebhooks": secrets }), true, false),
        of("standardwebhooks", json!({ "standardWebhooks": secrets }), true, false),
        of("hubspotV1", hubspot("V1"), false, false),
        of("hubspotV2", hubspot("V2"), false, true),
        of("hubspotV3", hubspot("V3"), true, true),
        of("sendgrid", json!({ "sendgrid": { "publicKeys": [key("old"), key("new")] } }), true, false),
        of("slack", json!({ "slack": secrets }), true, false),
        of("shopify", json!({ "shopify": secrets }), false, false),
    ]
}

/// One way to change a request.
#[derive(Clone)]
struct Attempt<'a> {
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    now: i64,
    /// What the two entries of the Secret hold.
    keys: [&'a str; 2],
}

/// What our verifier says: the id of a request that it lets in.
async fn judged(vendor: &Vendor, attempt: &Attempt<'_>) -> Result<Option<String>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("hooks")).expect("a folder");
    for (name, key) in ["old", "new"].iter().zip(attempt.keys) {
        std::fs::write(folder.path().join("hooks").join(name), key).expect("a file");
    }
    let verification: Verification = serde_json::from_value(vendor.verification.clone()).expect("a verification");
    let verifier = Verifier::new(&verification, Secrets::new(folder.path()), |_| unreachable!("there is no issuer"));
    let mut headers = HeaderMap::new();
    for (name, value) in &attempt.headers {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        headers.append(name.parse::<HeaderName>().expect("a name"), value);
    }
    let peer = Peer { address: "192.0.2.1:40000".parse().expect("one"), secure: true, certificates: [].into() };
    let path = attempt.url.strip_prefix("https://hooks.example.com").expect("the test's own host");
    let (method, url, body) = (&Method::POST, Some(attempt.url.as_str()), attempt.body.as_slice());
    let request = SignedRequest { method, path, url, headers: &headers, body, peer: &peer };
    let now = Timestamp::from_second(attempt.now).expect("a time");
    verifier.verify(request, now).await.map(|verified| verified.id).map_err(|error| error.to_string())
}

/// What must be refused, with a name for each.
fn wrong<'a>(vendor: &Vendor, good: &Attempt<'a>, signed: &'a Signed, at: usize) -> Vec<(String, Attempt<'a>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut Attempt<'a>)| {
        let mut attempt = good.clone();
        change(&mut attempt);
        all.push((name.to_owned(), attempt));
    };
    let byte = at * 7919 % good.body.len();
    add("an altered byte", &|it| it.body[byte] ^= 1);
    add("truncated", &|it| it.body.truncate(it.body.len() - 1));
    add("longer", &|it| it.body.push(b'\n'));
    add("empty", &|it| it.body.clear());
    add("another key", &|it| it.keys = [&signed.other, &signed.other]);
    if vendor.timed {
        add("stale", &|it| it.now += 302);
        add("from the future", &|it| it.now -= 302);
    }
    if vendor.address {
        add("another address", &|it| it.url.push('x'));
    }
    for index in 0..good.headers.len() {
        let name = &good.headers[index].0;
        add(&format!("without {name}"), &|it| drop(it.headers.remove(index)));
        add(&format!("{name} twice"), &|it| it.headers.push(it.headers[index].clone()));
        add(&format!("{name} empty"), &|it| it.headers[index].1.clear());
    }
    all
}

/// Everything about one vendor.
async fn table(vendor: &Vendor) {
    let lines = script(&["sign.mjs", vendor.name, &seed(), COUNT], "");
    let mut seen = 0;
    for (at, line) in lines.lines().enumerate() {
        let signed: Signed = serde_json::from_str(line).expect("a request");
        assert_eq!(signed.method, "POST");
        let body = BASE64_STANDARD.decode(&signed.body_base64).expect("base 64");
        let (url, headers, now) = (signed.url.clone(), signed.headers.clone(), signed.now_seconds);
        let good = Attempt { url, headers, body, now, keys: [&signed.other, &signed.secret] };
        let about = format!("{} with the seed {}, request {at}", vendor.name, seed());
        assert_eq!(judged(vendor, &good).await, Ok(signed.id.clone()), "{about}");
        let rotated = Attempt { keys: [&signed.secret, &signed.other], ..good.clone() };
        assert!(judged(vendor, &rotated).await.is_ok(), "{about}: rotation");
        for (name, attempt) in wrong(vendor, &good, &signed, at) {
            assert!(judged(vendor, &attempt).await.is_err(), "{about}: {name}");
        }
        seen += 1;
    }
    assert_eq!(seen.to_string(), COUNT, "{}", vendor.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vendors_own_code_signed_is_let_in_and_what_was_changed_on_the_way_is_not() {
    let mut running = tokio::task::JoinSet::new();
    for vendor in vendors() {
        running.spawn(async move { table(&vendor).await });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_signed_is_verified_by_the_libraries_of_receivers() {
    let key = |key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": key } } });
    let mut scene = Scene::new(webhook_to(&["partner"])).await.expect("a scene");
    scene.account["provider"] = json!({ "webhook": { "signing": { "keys": [key("signing-next"), key("signing")] } } });
    scene.apply().await.expect("the account is described");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let ids = ["plain", "J\u{f6}rg \u{1f680}", "a\"b\\c", "<script>&", "\u{2028}", "tab\t"];
    scene.store(ids.map(str::to_owned)).await.expect("events are stored");
    until("all arrive", PATIENCE, async || {
        let arrived = scene.receiver.arrivals().len();
        if arrived >= ids.len() { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await
    .expect("they arrive");
    let arrivals = scene.receiver.arrivals();
    let line = |secret: &str, body: &[u8], headers: &HeaderMap| {
        let text = |name: &str| headers[name].to_str().expect("text").to_owned();
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> = names.iter().map(|name| ((*name).into(), text(name).into())).collect();
        json!({ "headers": headers, "bodyBase64": BASE64_STANDARD.encode(body), "secret": secret }).to_string()
    };
    let lines = arrivals.iter().map(|it| line(SIGNING_KEY, &it.body, &it.headers) + "\n").collect::<String>();
    assert_eq!(script(&["verify.mjs"], &lines).trim(), arrivals.len().to_string());
}
