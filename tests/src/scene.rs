//! One Integration on a real nats-server, without a cluster: the operator's own resolve, plan and streams, workers as
//! processes, and a receiver. Tests kill what they like and then compare ids.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use ropeway_cli::dev::local::{Local, LocalIntegration};
use ropeway_crds::{Integration, azure::AzureSettings, integration::State, status::IntegrationStatus};
use ropeway_operator::{
    integration::{
        apply::RemovedLane,
        lanes::{Leaving, Progress, retire},
    },
    offline::{self, JetStream, Observations, Plan},
};
use serde_json::{Value, json};

mod staging;
mod told;

use staging::{Mounted, SecretEntry, staged};

use crate::{
    Error, NatsServer,
    port::free_port,
    process::{Launch, Process},
    receiver::Receiver,
    scratch::Scratch,
    wait::until,
};

/// The bearer token of the webhook.
pub const TOKEN: &str = "a-token-for-tests";

/// A key that outgoing webhooks may be signed with.
pub const SIGNING_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Another one: of an Ed25519 key, the bytes 7.
pub const NEXT_SIGNING_KEY: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// How long a test waits for what should happen soon. Acknowledgements fall due after 30 s.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One Integration with what belongs to it.
pub struct Scene {
    /// The server; tests may kill it.
    pub nats: NatsServer,
    /// Where deliveries go.
    pub receiver: Arc<Receiver>,
    /// The plan as it was last applied.
    pub plan: Plan,
    /// The Integration's spec; change it and `apply`.
    pub spec: Value,
    /// What is merged into the spec of every Destination; change it and `apply`. At first it keeps the circuit closed.
    pub account: Value,
    /// The operator's way to JetStream.
    pub jetstream: JetStream,
    scratch: Scratch,
    version: usize,
    urls: Vec<(String, String)>,
    mounted: Mounted,
    removed: Vec<RemovedLane>,
}

/// A worker as a process.
pub struct Worker {
    /// The process.
    pub process: Process,
    /// Where it receives events.
    pub url: String,
    /// Where its health checks and metrics are.
    pub admin: String,
}

/// A spec with a webhook and these destinations, which retry fast.
#[must_use]
pub fn webhook_to(destinations: &[&str]) -> Value {
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    let destination = |name: &&str| json!({ "name": name, "ref": name });
    json!({
        "source": { "webhook": { "path": "/hook", "verification": { "bearer": { "tokens": [token] } } } },
        "event": { "id": "string!(.id)" },
        "destinations": destinations.iter().map(destination).collect::<Vec<_>>(),
    })
}

impl Scene {
    /// A scene on a fresh server, with streams made for this spec.
    ///
    /// # Errors
    /// When a program is missing, or the spec is wrong.
    pub async fn new(spec: Value) -> Result<Self, Error> {
        Self::on(NatsServer::start().await?, spec).await
    }

    /// The same, with addresses of their own for some destinations.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub async fn with_urls(spec: Value, urls: &[(&str, &str)]) -> Result<Self, Error> {
        let urls = urls.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect();
        Self::set(NatsServer::start().await?, spec, urls, Vec::new()).await
    }

    /// The same, with entries of Secrets of its own: name, key and value.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub async fn with_secrets(spec: Value, secrets: &[(&str, &str, &str)]) -> Result<Self, Error> {
        let own = secrets.iter().map(|(name, key, value)| ((*name).into(), (*key).into(), (*value).into()));
        Self::set(NatsServer::start().await?, spec, Vec::new(), own.collect()).await
    }

    /// The same, with both.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub async fn with(spec: Value, urls: &[(&str, &str)], secrets: &[(&str, &str, &str)]) -> Result<Self, Error> {
        let urls = urls.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect();
        let own = secrets.iter().map(|(name, key, value)| ((*name).into(), (*key).into(), (*value).into()));
        Self::set(NatsServer::start().await?, spec, urls, own.collect()).await
    }

    /// The same on a server that runs.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub async fn on(nats: NatsServer, spec: Value) -> Result<Self, Error> {
        Self::set(nats, spec, Vec::new(), Vec::new()).await
    }

    async fn set(
        nats: NatsServer,
        spec: Value,
        urls: Vec<(String, String)>,
        mut secrets: Vec<SecretEntry>,
    ) -> Result<Self, Error> {
        let scratch = Scratch::new("scene")?;
        let receiver = Arc::new(Receiver::start().await?);
        let client = ropeway_nats::connect(&ropeway_nats::Settings::open(nats.url()), "scene").await;
        let jetstream = JetStream::new(client.map_err(|error| Error::Scene(error.to_string()))?);
        for (key, value) in [("token", TOKEN), ("signing", SIGNING_KEY), ("signing-next", NEXT_SIGNING_KEY)] {
            secrets.push(("hook".into(), key.into(), value.into()));
        }
        for (name, key, value) in &secrets {
            mount(&scratch, "secrets", name, key, value)?;
        }
        let mounted = Mounted { secrets, config_maps: Vec::new(), azure: AzureSettings::default() };
        let account = json!({ "circuitBreaker": { "failureThreshold": 1000, "minimumRequests": 100_000 } });
        let plan = staged(&scratch, &receiver, &spec, &account, &urls, &mounted)?.plan;
        let mut scene = Self {
            nats,
            receiver,
            plan,
            spec,
            account,
            jetstream,
            scratch,
            version: 0,
            urls,
            mounted,
            removed: Vec::new(),
        };
        scene.apply().await?;
        Ok(scene)
    }

    /// Brings the streams to what the spec says now.
    ///
    /// # Errors
    /// When the spec is wrong or the server can't be asked.
    pub async fn apply(&mut self) -> Result<(), Error> {
        self.plan = staged(&self.scratch, &self.receiver, &self.spec, &self.account, &self.urls, &self.mounted)?.plan;
        self.version += 1;
        let config = serde_json::to_vec(&self.plan.config).expect("plain types are writable as JSON");
        write(&self.config(), &config)?;
        let applied = offline::apply_streams(&self.jetstream, &self.plan.jetstream).await;
        self.removed = applied.map_err(|error| Error::Scene(error.to_string()))?.removed;
        Ok(())
    }

    /// Changes what an administrator decides about Azure; then `apply`.
    pub fn azure(&mut self) -> &mut AzureSettings {
        &mut self.mounted.azure
    }

    /// Empties the lanes that the spec no longer has into the dead letters, as the operator does.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn retire_removed_lanes(&self) -> Result<(), Error> {
        let error = "the destination was removed from the Integration";
        let retention = ropeway_crds::duration::Duration::from_secs(3600);
        let leaving = Leaving { identity: &self.plan.identity, plan: &self.plan.jetstream, retention, error };
        for lane in &self.removed {
            until("the removed lane is empty and gone", PATIENCE, async || {
                match retire(&self.jetstream, leaving, lane).await.map_err(|error| error.to_string())? {
                    Progress::Gone => Ok(()),
                    Progress::More => Err("more to do".to_owned()),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Changes what workers see at an entry of a Secret, as the kubelet does.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn rotate(&self, name: &str, key: &str, value: &str) -> Result<(), Error> {
        mount(&self.scratch, "secrets", name, key, value)
    }

    /// Gives a ConfigMap an entry, or another value to it, and lets workers see that, as the kubelet does.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_config_map(&mut self, config_map: &str, key: &str, value: &str) -> Result<(), Error> {
        self.mounted.config_maps.push((config_map.into(), key.into(), value.into()));
        mount(&self.scratch, "config-maps", config_map, key, value)
    }

    /// Takes an entry of a ConfigMap away from workers.
    ///
    /// # Errors
    /// When there is none.
    pub fn unset_config_map(&mut self, config_map: &str, key: &str) -> Result<(), Error> {
        let path = self.scratch.path().join("config-maps").join(config_map).join(key);
        std::fs::remove_file(&path).map_err(crate::error::file("remove", &path))
    }

    fn config(&self) -> PathBuf {
        self.scratch.path().join(format!("config-{}.json", self.version))
    }

    /// Wishes another state and applies it.
    ///
    /// # Errors
    /// As [`Scene::apply`].
    pub async fn wish(&mut self, state: State) -> Result<(), Error> {
        self.spec["state"] = json!(format!("{state:?}"));
        self.apply().await
    }

    /// Starts a worker. `crash` is a step at which it kills itself, such as `Sending:5`.
    ///
    /// # Errors
    /// When it can't be started or does not answer.
    pub async fn start_worker(&self, name: &str, crash: Option<&str>) -> Result<Worker, Error> {
        let variables: Vec<(&str, &str)> = crash.map(|crash| ("ROPEWAY_CRASH_AT", crash)).into_iter().collect();
        self.start_worker_with(name, &variables).await
    }

    fn launch(&self, name: &str) -> Result<Launch, Error> {
        Ok(Launch::at(program("faulty-worker")?)
            .argument("--config")
            .argument(self.config())
            .argument("--secrets")
            .argument(self.scratch.path().join("secrets"))
            .argument("--config-maps")
            .argument(self.scratch.path().join("config-maps"))
            .arguments(["--nats-credentials", "/nowhere", "--nats-url", &self.nats.url(), "--worker-name", name]))
    }

    /// Starts a reading of the batch source, as a Job does. `crash` is a step at which it kills itself, such as `RowsStored:2`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_batch(&self, name: &str, crash: Option<&str>) -> Result<Process, Error> {
        let mut launch = self.launch(name)?.argument("batch").argument("--claim").argument(self.folder());
        if let Some(crash) = crash {
            launch = launch.variable("ROPEWAY_CRASH_AT", crash);
        }
        Process::start(name, launch, &self.scratch.path().join(format!("{name}.log")))
    }

    /// The folder of the scene, which also stands for the claim of a batch source.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts a worker with these variables in its environment.
    ///
    /// # Errors
    /// As [`Scene::start_worker`].
    pub async fn start_worker_with(&self, name: &str, variables: &[(&str, &str)]) -> Result<Worker, Error> {
        let (port, admin) = (free_port()?, free_port()?);
        let mut launch = self.launch(name)?.arguments([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--listen-admin",
            &format!("127.0.0.1:{admin}"),
        ]);
        for (variable, value) in variables {
            launch = launch.variable(variable, value);
        }
        let mut process = Process::start(name, launch, &self.scratch.path().join(format!("{name}.log")))?;
        let health = format!("http://127.0.0.1:{admin}/healthz");
        let client = http_client();
        let alive = async || client.get(&health).send().await.map(drop).map_err(|error| error.to_string());
        let answered = process.until("the worker answers", Duration::from_secs(20), alive).await;
        // One that is to die may do so before it was seen alive.
        if variables.is_empty() || answered.is_ok() {
            answered?;
        }
        Ok(Worker { process, url: format!("http://127.0.0.1:{port}/hook"), admin: format!("http://127.0.0.1:{admin}") })
    }

    /// The status that the Integration would have.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn status(&self) -> Result<IntegrationStatus, Error> {
        let observations = self.observe().await?;
        let integration = Integration::new(
            "scene",
            serde_json::from_value(self.spec.clone()).map_err(|error| Error::Scene(error.to_string()))?,
        );
        Ok(offline::status_of(&integration, Ok(&self.plan), Some(&observations), Timestamp::now()))
    }

    /// Status and reason of one condition.
    ///
    /// # Errors
    /// When the server can't be asked or there is no such condition.
    pub async fn condition(&self, kind: &str) -> Result<(String, String), Error> {
        let status = self.status().await?;
        let found = status.conditions.into_iter().find(|condition| condition.type_ == kind);
        let found = found.ok_or_else(|| Error::Scene(format!("there is no condition {kind}")))?;
        Ok((found.status, found.reason))
    }

    /// Puts events straight into the events stream, as the webhook stores them: the fast way to many of them.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn store(&self, ids: impl IntoIterator<Item = String>) -> Result<(), Error> {
        let client = ropeway_nats::connect(&ropeway_nats::Settings::open(self.nats.url()), "store").await;
        let context = async_nats::jetstream::new(client.map_err(|error| Error::Scene(error.to_string()))?);
        let subject = ropeway_crds::names::events_subject(&self.plan.jetstream.integration);
        let mut waiting = Vec::new();
        for id in ids {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("ce-id", id.as_str());
            headers.insert("content-type", "application/json");
            headers.insert(ropeway_crds::headers::DELIVERY, ulid::Ulid::generate().to_string());
            let body = json!({ "id": id }).to_string();
            let publish = context.publish_with_headers(subject.clone(), headers, body.into()).await;
            waiting.push(publish.map_err(|error| Error::Scene(error.to_string()))?.into_future());
            if waiting.len() == 500 {
                settled(std::mem::take(&mut waiting)).await?;
            }
        }
        settled(waiting).await
    }

    /// What workers and streams say.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn observe(&self) -> Result<Observations, Error> {
        let observed = offline::observations(&self.jetstream, &self.plan.jetstream).await;
        observed.map_err(|error| Error::Scene(error.to_string()))
    }

    /// A folder from which `ropeway dlq --data` takes this scene for a local run.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn local(&self) -> Result<PathBuf, Error> {
        let identity = &self.plan.identity;
        let destinations = self.plan.jetstream.lanes.iter().map(|lane| lane.destination.clone()).collect();
        let integration = LocalIntegration { uid: identity.uid.clone(), destinations };
        let local = Local {
            nats_url: self.nats.url(),
            namespace_uid: identity.namespace_uid.clone(),
            integrations: [(identity.name.clone(), integration)].into(),
        };
        local.write(self.scratch.path()).map_err(crate::error::file("write to", self.scratch.path()))?;
        Ok(self.scratch.path().to_owned())
    }

    /// Waits until nothing is pending, three times in a row.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn drained(&self) -> Result<Observations, Error> {
        let mut idle = 0;
        until("nothing is pending", PATIENCE, async || {
            let observations = self.observe().await.map_err(|error| error.to_string())?;
            let pending: u64 = observations.figures.pending.values().sum();
            idle = if pending == 0 { idle + 1 } else { 0 };
            if idle > 3 { Ok(observations) } else { Err(format!("{pending} pending")) }
        })
        .await
    }

    /// Waits until at least so many deliveries have arrived.
    ///
    /// # Panics
    /// When they don't.
    pub async fn arrived(&self, count: usize) {
        until(&format!("{count} arrive"), PATIENCE, async || {
            let arrived = self.receiver.arrivals().len();
            if arrived >= count { Ok(()) } else { Err(format!("{arrived}")) }
        })
        .await
        .expect("they arrive");
    }

    /// The ids among the dead letters of a destination.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn dead_letters(&self, destination: &str) -> Result<BTreeSet<String>, Error> {
        let plan = &self.plan.jetstream;
        let lane = ropeway_crds::names::LaneId::new(&plan.integration, destination);
        let filter = plan.names.dead_letters_of_lane(&plan.integration, &lane);
        let stream = plan.names.dead_letters_stream();
        let (mut ids, mut from) = (BTreeSet::new(), 1);
        loop {
            let next = self.jetstream.next_message(&stream, &filter, from).await;
            let Some(message) = next.map_err(|error| Error::Scene(error.to_string()))? else { return Ok(ids) };
            let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
            ids.insert(body["id"].as_str().unwrap_or_default().to_owned());
            from = message.sequence + 1;
        }
    }
}

async fn settled<F>(acknowledgements: Vec<F>) -> Result<(), Error>
where
    F: Future<
        Output = Result<async_nats::jetstream::publish::PublishAck, async_nats::jetstream::context::PublishError>,
    >,
{
    for acknowledged in futures::future::join_all(acknowledgements).await {
        acknowledged.map_err(|error| Error::Scene(error.to_string()))?;
    }
    Ok(())
}

/// A client for requests of the tests' own.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // A second installation is refused, which changes nothing: it is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client can be made")
}

/// Sends one event. The status that it got, or none where nobody answered.
pub async fn post(client: &reqwest::Client, url: &str, id: &str) -> Option<u16> {
    let request = client.post(url).bearer_auth(TOKEN).header("content-type", "application/json");
    let answer = request.body(json!({ "id": id }).to_string()).timeout(Duration::from_secs(10)).send().await;
    answer.ok().map(|answer| answer.status().as_u16())
}

/// Sends events until each got its 2xx, from wherever `url` says that a worker is at that moment.
pub async fn send_until_accepted(url: Arc<std::sync::Mutex<String>>, ids: Vec<String>) -> BTreeSet<String> {
    let client = http_client();
    let mut accepted = BTreeSet::new();
    for id in ids {
        loop {
            let to = url.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            if matches!(post(&client, &to, &id).await, Some(200..=299)) {
                accepted.insert(id);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    accepted
}

/// A program of this package. The tests that need it are built together with it.
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn program(name: &str) -> Result<PathBuf, Error> {
    let here = std::env::current_exe().map_err(|error| Error::Scene(error.to_string()))?;
    let found = here.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Error::Scene(format!("{name} is not built; run `cargo build --package ropeway-tests`")))
}

fn mount(scratch: &Scratch, kind: &str, name: &str, key: &str, value: &str) -> Result<(), Error> {
    write(&scratch.path().join(kind).join(name).join(key), value.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(crate::error::file("make", folder))?;
    std::fs::write(path, bytes).map_err(crate::error::file("write", path))
}
