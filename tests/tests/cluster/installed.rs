//! What the tests of Ropeway on a cluster have in common: the installation, and the example in a namespace of its own.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use kube::{Api, Client};
use ropeway_cli::send::{self, Proof, Signer};
use ropeway_crds::{Integration, status::IntegrationStatus};
use ropeway_tests::{
    Cluster, install,
    process::{Launch, Process, run},
    programs,
    scratch::Scratch,
    wait::until,
};
use tokio::sync::OnceCell;

/// For anything that takes pods: two cores start a dozen of them at once here.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The name of the example's Integration.
pub const NAME: &str = "signups-to-marketing";

/// The example's signing secret, as it stands in its `secrets.yaml`.
pub const SIGNING_SECRET: &str = "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0wMDAx";

/// The shared cluster, with Ropeway on it.
pub async fn installed() -> &'static Cluster {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let cluster = Cluster::shared().await.expect("a cluster");
    INSTALLED.get_or_init(async || install(cluster, &[])).await;
    cluster
}

/// Installs the chart from images of the sources as they are. Status is written every second.
pub fn install(cluster: &Cluster, settings: &[&str]) {
    // The tests' own requests and the library of `ropeway send` share it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for kind in install::IMAGES {
        cluster.load_image(&install::image(kind).expect("an image")).expect("the image is taken");
    }
    let settings = [&["timing.statusSeconds=1", "timing.drainSeconds=20"], settings].concat();
    install::chart(cluster.kubeconfig(), &settings).expect("the chart is installed");
}

/// The folder of the example.
pub fn example() -> PathBuf {
    programs::repository().join("examples").join(NAME)
}

/// The first registrations of the example's demo, as (id, has agreed to marketing, line).
pub fn registrations(count: usize) -> Vec<(String, bool, String)> {
    let lines = send::read(&example().join("demo/registrations.ndjson")).expect("the demo's events");
    let parsed = lines.into_iter().map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let id = event["registration_id"].as_str().expect("an id").to_owned();
        (id, event["marketing_consent"] == true, line)
    });
    // The demo repeats some registrations to show de-duplication.
    let mut unique = BTreeMap::new();
    for (id, consent, line) in parsed {
        unique.entry(id.clone()).or_insert((id, consent, line));
    }
    unique.into_values().take(count).collect()
}

/// A port of this machine that `kubectl port-forward` leads to a Service.
pub struct Way {
    address: String,
    _process: Process,
    _scratch: Scratch,
}

impl Way {
    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Opens a way to a Service.
pub async fn way(cluster: &Cluster, namespace: &str, service: &str, port: u16) -> Way {
    let scratch = Scratch::new("way").expect("a folder");
    let log = scratch.path().join("logs/port-forward.log");
    let launch = Launch::tool("kubectl").expect("kubectl").variable("KUBECONFIG", cluster.kubeconfig());
    let (target, ports) = (format!("service/{service}"), format!(":{port}"));
    let launch = launch.arguments(["--namespace", namespace, "port-forward", &target, &ports]);
    let mut process = Process::start("kubectl port-forward", launch, &log).expect("kubectl starts");
    let address = process.until("the port is forwarded", PATIENCE, async || {
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let from = text.split("Forwarding from ").nth(1).and_then(|rest| rest.split(" ->").next());
        from.map(str::to_owned).ok_or(text)
    });
    Way { address: address.await.expect("a port"), _process: process, _scratch: scratch }
}

/// The example in a namespace of its own.
pub struct Example {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// The namespace.
    pub namespace: &'static str,
    /// A client of this test.
    pub client: Client,
    /// Its Integrations.
    pub integrations: Api<Integration>,
}

impl Example {
    /// Applies the example as its README says, and waits until it is Ready and its sandbox answers.
    pub async fn ready(namespace: &'static str) -> Self {
        Self::ready_on(installed().await, namespace).await
    }

    /// The same on a cluster where Ropeway is installed in another way.
    pub async fn ready_on(cluster: &'static Cluster, namespace: &'static str) -> Self {
        let example = Self::applied_on(cluster, namespace).await;
        let wait = "--for=condition=Available";
        example.kubectl(&["wait", wait, "deployment/marketing-sandbox", "--timeout=90s"]);
        // As `kubectl wait --for=condition=Ready` does, but saying what is the matter when it never is.
        example.status("Ready", |status| has(status, "Ready", "True", "Ready")).await;
        example
    }

    /// Applies the example.
    pub async fn applied(namespace: &'static str) -> Self {
        Self::applied_on(installed().await, namespace).await
    }

    async fn applied_on(cluster: &'static Cluster, namespace: &'static str) -> Self {
        install::namespace(cluster.kubeconfig(), namespace).expect("a namespace");
        let client = cluster.client().await.expect("a client");
        let integrations = Api::namespaced(client.clone(), namespace);
        let example = Self { cluster, namespace, client, integrations };
        example.kubectl(&["apply", "--filename", &self::example().display().to_string()]);
        example
    }

    /// Runs `kubectl` in the namespace and gives what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command: Command = self.cluster.kubectl().expect("kubectl");
        run(command.args(["--namespace", self.namespace]).args(arguments)).expect("kubectl does it")
    }

    /// The Integration's status once `holds` says so.
    pub async fn status(&self, what: &str, holds: impl Fn(&IntegrationStatus) -> bool) -> IntegrationStatus {
        let seen = until(what, PATIENCE, async || {
            let found = self.integrations.get(NAME).await.map_err(|error| error.to_string())?;
            let status = found.status.unwrap_or_default();
            if holds(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        });
        seen.await.expect("the status gets there")
    }

    /// Posts events to the webhook, signed as a sending system would.
    pub async fn send(&self, lines: &[String]) {
        let way = way(self.cluster, self.namespace, "ropeway-signups-to-marketing", 80).await;
        let url = format!("http://{}/hooks/signups", way.address());
        let proof = Proof::Signed(Signer::StandardWebhooks, SIGNING_SECRET.to_owned());
        let sent = send::send(&reqwest::Client::new(), &url, &proof, lines).await.expect("the events are taken");
        assert_eq!(sent.accepted, lines.len());
    }

    /// The ids that the sandbox has accepted for a vendor, and how often each.
    pub async fn arrived(&self, vendor: &str) -> BTreeMap<String, u64> {
        let way = way(self.cluster, self.namespace, "marketing-sandbox", 8080).await;
        self.arrived_by(&way, vendor).await
    }

    async fn arrived_by(&self, way: &Way, vendor: &str) -> BTreeMap<String, u64> {
        let answer = reqwest::get(format!("http://{}/memory", way.address())).await.expect("the sandbox answers");
        let text = answer.text().await.expect("a body");
        let memory: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        serde_json::from_value(memory[vendor]["accepted"].clone()).unwrap_or_default()
    }

    /// Waits until the sandbox has accepted exactly these ids for a vendor, each once.
    pub async fn arrive(&self, vendor: &str, ids: &[String]) {
        let way = way(self.cluster, self.namespace, "marketing-sandbox", 8080).await;
        let wanted: BTreeMap<String, u64> = ids.iter().map(|id| (id.clone(), 1)).collect();
        let begun = Instant::now();
        until("the events arrive", PATIENCE, async || {
            let arrived = self.arrived_by(&way, vendor).await;
            if arrived == wanted { Ok(()) } else { Err(format!("{arrived:?} after {:?}", begun.elapsed())) }
        })
        .await
        .expect("they arrive");
    }
}

/// Whether a condition of a status has this status and reason.
pub fn has(status: &IntegrationStatus, type_: &str, value: &str, reason: &str) -> bool {
    status.conditions.iter().any(|it| it.type_ == type_ && it.status == value && it.reason == reason)
}
