//! A Secret that is changed on a node, under load: the new value is in use soon after it appears in the pod, a wrong one holds
//! the Destination, a right one lets it go on, and nothing is lost or started again.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kube::Api;
use ropeway_cli::send::{self, Proof, Signer};
use ropeway_crds::Destination;
use ropeway_tests::{
    Cluster, Node,
    receiver::{Receiver, Reply},
    wait::until,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    installed::{Example, PATIENCE, SIGNING_SECRET, registrations, way},
    trust::process_of,
};

/// The time between two events.
const PACE: Duration = Duration::from_millis(50);

/// How soon a value that has appeared in the pod must be in use.
const SOON: Duration = Duration::from_secs(30);

const FIRST: &str = "sandbox-hubspot-private-app-token";

/// The vendor: takes what carries one of these tokens.
struct Vendor {
    receiver: Receiver,
    tokens: Arc<Mutex<BTreeSet<String>>>,
}

impl Vendor {
    fn start(node: &Node) -> Self {
        let listener = node.listen().expect("a port");
        listener.set_nonblocking(true).expect("it can be awaited");
        let receiver =
            Receiver::on(tokio::net::TcpListener::from_std(listener).expect("a listener")).expect("an address");
        let tokens: Arc<Mutex<BTreeSet<String>>> = Arc::new(Mutex::new([FIRST.to_owned()].into()));
        let known = Arc::clone(&tokens);
        receiver.reply(move |asked| {
            let given = asked.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            Reply::from(if known.contains(given.trim_start_matches("Bearer ")) { 200 } else { 401 })
        });
        Self { receiver, tokens }
    }

    fn accept(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// The registrations that were taken.
    fn taken(&self) -> BTreeSet<String> {
        let arrivals = self.receiver.arrivals().into_iter().filter(|arrival| arrival.status == 200);
        let id = |record: &Value| record["properties"]["registration_id"].as_str().unwrap_or_default().to_owned();
        arrivals.map(|arrival| id(&arrival.record)).collect()
    }

    /// When this token was first shown.
    async fn first_use(&self, token: &str) -> Instant {
        let wanted = format!("Bearer {token}");
        until("the token is shown", PATIENCE, async || {
            let arrivals = self.receiver.arrivals();
            let shown =
                arrivals.iter().find(|arrival| arrival.headers.get("authorization").is_some_and(|it| *it == wanted));
            shown.map(|arrival| arrival.time).ok_or_else(|| format!("{} arrivals", arrivals.len()))
        })
        .await
        .expect("it is")
    }
}

/// A sender that sends one event after the other until it is told to stop, and then says which were accepted.
fn load(address: String, stop: Arc<AtomicBool>) -> JoinHandle<BTreeSet<String>> {
    let line = registrations(1).remove(0).2;
    let mut event: Value = serde_json::from_str(&line).expect("JSON");
    tokio::spawn(async move {
        let (client, url) = (reqwest::Client::new(), format!("http://{address}/hooks/signups"));
        let proof = Proof::Signed(Signer::StandardWebhooks, SIGNING_SECRET.to_owned());
        let mut accepted = BTreeSet::new();
        let mut pace = tokio::time::interval(PACE);
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            pace.tick().await;
            let id = format!("rotated-{number}");
            event["registration_id"] = json!(id);
            let sent = send::send(&client, &url, &proof, &[event.to_string()]).await.expect("the event is taken");
            assert_eq!(sent.accepted, 1);
            accepted.insert(id);
        }
        accepted
    })
}

/// Changes the Secret, and waits until the new value has appeared in the pod. Answers when.
async fn rotate(example: &Example, pod: &str, mounted: &Path, token: &str) -> Instant {
    let patch = json!({ "stringData": { "token": token } }).to_string();
    example.kubectl(&["patch", "secret", "hubspot-sandbox", "--patch", &patch]);
    let mut looks = 0;
    until("the new value is in the pod", PATIENCE, async || {
        if fs::read_to_string(mounted).is_ok_and(|found| found == token) {
            return Ok(());
        }
        if looks % 20 == 0 {
            // A pod that was touched is looked at by its kubelet at once and not within a minute.
            example.kubectl(&["annotate", "pod", pod, "--overwrite", &format!("looked={token}-{looks}")]);
        }
        looks += 1;
        Err("the old value".to_owned())
    })
    .await
    .expect("it comes");
    Instant::now()
}

async fn credentials(example: &Example, status: &str, reason: &str) -> Instant {
    let destinations: Api<Destination> = Api::namespaced(example.client.clone(), example.namespace);
    until(&format!("CredentialsValid is {status}"), PATIENCE, async || {
        let found = destinations.get("hubspot-sandbox").await.map_err(|error| error.to_string())?;
        let conditions = found.status.unwrap_or_default().conditions;
        let condition = conditions.iter().find(|it| it.type_ == "CredentialsValid").ok_or("no such condition")?;
        if condition.status == status && condition.reason == reason { Ok(()) } else { Err(format!("{condition:?}")) }
    })
    .await
    .expect("the condition comes");
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rotated_under_load_without_a_loss_or_a_restart() {
    let example = Example::ready("rotating").await;
    let Cluster::Node(node) = example.cluster else {
        // Only the node of the harness shares a network with the test.
        return;
    };
    let vendor = Vendor::start(node);
    let url = json!({ "spec": { "provider": { "hubspot": null, "http": { "url": vendor.receiver.url("hubspot") } } } })
        .to_string();
    example.kubectl(&["patch", "dest", "hubspot-sandbox", "--type=merge", "--patch", &url]);
    // Other workers come with the other address.
    example.kubectl(&["rollout", "status", "deployment/ropeway-signups-to-marketing", "--timeout=90s"]);
    example
        .status("settled", |status| {
            !status.conditions.iter().any(|it| it.type_ == "Reconciling") && status.ready_replicas == Some(1)
        })
        .await;
    let labels = ["--selector", "app.kubernetes.io/name=ropeway-worker", "--output"];
    let pods = |path: &str| example.kubectl(&[&["get", "pods"], &labels[..], &[path]].concat());
    let pod = pods("jsonpath={.items[*].metadata.name}");
    let mounted = process_of(&pod).join("root/var/run/ropeway/secrets/hubspot-sandbox/token");

    let stop = Arc::new(AtomicBool::new(false));
    let way = way(example.cluster, example.namespace, "ropeway-signups-to-marketing", 80).await;
    let sender = load(way.address().to_owned(), Arc::clone(&stop));
    vendor.first_use(FIRST).await;

    // Both are right for a while, as vendors allow for it.
    vendor.accept(&[FIRST, "second"]);
    let appeared = rotate(&example, &pod, &mounted, "second").await;
    let used = vendor.first_use("second").await;
    let delay = used.saturating_duration_since(appeared);
    println!("a right one is in use {delay:?} after it appeared in the pod");
    assert!(delay <= SOON, "{delay:?}");
    vendor.accept(&["second"]);

    let appeared = rotate(&example, &pod, &mounted, "wrong").await;
    let held = credentials(&example, "False", "CredentialsRefused").await;
    println!("a wrong one is told {:?} after it appeared", held.saturating_duration_since(appeared));
    let refused = || vendor.receiver.arrivals().iter().filter(|arrival| arrival.status == 401).count();
    println!("{} requests were refused until then", refused());

    vendor.accept(&["second", "third"]);
    let appeared = rotate(&example, &pod, &mounted, "third").await;
    let used = vendor.first_use("third").await;
    let delay = used.saturating_duration_since(appeared);
    println!("it goes on {delay:?} after the right one appeared");
    assert!(delay <= SOON, "{delay:?}");
    credentials(&example, "True", "CredentialsAccepted").await;

    stop.store(true, Ordering::Relaxed);
    let accepted = sender.await.expect("the sender ends well");
    until("everything is delivered", PATIENCE, async || {
        let missing = accepted.difference(&vendor.taken()).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", accepted.len())) }
    })
    .await
    .expect("nothing is lost");
    let settled = example
        .status("nothing is pending", |status| status.delivery.as_ref().is_some_and(|counts| counts.pending == 0));
    let counts = settled.await.delivery.expect("counts");
    assert_eq!((counts.dead_lettered, counts.failed, counts.rejected), (0, 0, 0));
    println!("{} events, {} requests refused, none lost", accepted.len(), refused());
    assert_eq!(pods("jsonpath={.items[*].metadata.name}"), pod, "another pod has taken its place");
    assert_eq!(pods("jsonpath={.items[*].status.containerStatuses[*].restartCount}"), "0");
}
