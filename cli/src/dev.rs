//! `ropeway dev`: the same manifests, the operator's own resolve and plan, the same streams on a local nats-server, and the
//! worker's own lanes in this process. No second engine, no second file format.

pub mod demo;
pub mod evidence;
mod files;
pub mod local;
mod mounts;
mod redirect;
pub mod server;
mod tokens;
pub mod watch;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use kube::ResourceExt;
use ropeway_crds::{status::IntegrationStatus, worker_config::WorkerConfig};
use ropeway_operator::offline::{self, JetStream, Settings, apply_streams};
use ropeway_worker::{config, worker};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    args::DevArgs,
    manifest::{Fault, load},
    sink::{Script, Sink},
    stage::{Staged, resolve, rules},
};

/// The local run can't go on.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Something is wrong with the manifests.
    #[error("{} problems in the manifests", .0.len())]
    Faults(Vec<Fault>),
    /// The manifests are of several namespaces.
    #[error("the files are of the namespaces {0:?}; a local run takes one")]
    Namespaces(Vec<String>),
    /// There is no Integration.
    #[error("there is no Integration in these files")]
    Nothing,
    /// A file can't be read or written.
    #[error("failed to {what}")]
    File {
        /// What was attempted.
        what: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The sink's script makes no sense.
    #[error(transparent)]
    Script(#[from] crate::sink::ScriptError),
    /// There is no local server.
    #[error(transparent)]
    Server(#[from] server::ServerError),
    /// NATS can't be reached.
    #[error(transparent)]
    Connect(#[from] ropeway_nats::ConnectError),
    /// A stream can't be made.
    #[error(transparent)]
    Apply(#[from] offline::ApplyError),
    /// NATS can't be asked.
    #[error(transparent)]
    Nats(#[from] offline::NatsError),
    /// The worker can't be configured.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// A batch source can't be read.
    #[error(transparent)]
    Batch(#[from] ropeway_worker::intake::batch::from::ReadError),
    /// An address is taken.
    #[error(transparent)]
    Listen(#[from] worker::ListenError),
    /// Events can't be sent.
    #[error(transparent)]
    Send(#[from] crate::send::SendError),
}

pub(crate) fn file_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DevError {
    let what = what.into();
    move |source| DevError::File { what, source }
}

/// A local run.
pub struct Dev {
    args: DevArgs,
    _server: Option<server::Server>,
    client: async_nats::Client,
    url: String,
    /// The connection that status is read over.
    pub jetstream: JetStream,
    /// The sink, if there is one.
    pub sink: Option<Sink>,
    sink_address: Option<std::net::SocketAddr>,
    /// How the sink behaves.
    pub script: Script,
    statuses: BTreeMap<String, IntegrationStatus>,
}

/// A worker that runs.
#[derive(Debug)]
pub struct Running {
    /// What it runs.
    pub staged: Vec<Staged>,
    /// The address on which it receives.
    pub address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    reading: tokio::task::JoinSet<()>,
}

impl Running {
    /// Lets it finish what it has in hand.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.reading.join_all().await;
        // A panic in there has been logged.
        let _ = self.task.await;
    }
}

impl Dev {
    /// Starts server and sink.
    ///
    /// # Errors
    /// See [`DevError`].
    pub async fn start(args: DevArgs) -> Result<Self, DevError> {
        if args.fresh && args.data.join("nats").exists() {
            std::fs::remove_dir_all(args.data.join("nats")).map_err(file_error("forget what an earlier run kept"))?;
        }
        std::fs::create_dir_all(&args.data).map_err(file_error(format!("make the folder {}", args.data.display())))?;
        let (server, url) = match &args.nats_url {
            Some(url) => (None, url.clone()),
            None => {
                let server = server::start(&args.data).await?;
                let url = server.url.clone();
                (Some(server), url)
            }
        };
        let client = ropeway_nats::connect(&ropeway_nats::Settings::open(&url), "ropeway dev").await?;
        let script = read_script(args.sink_script.as_deref())?;
        let (sink, sink_address) = if args.sink {
            let sink = Sink::new(script.clone(), args.plant_sink_loss, args.send.is_none());
            let listener = worker::listen(([127, 0, 0, 1], 0).into()).await?;
            let address = listener.local_addr().map_err(file_error("find the sink's address"))?;
            let router = sink.router();
            tokio::spawn(async move { axum::serve(listener, router).await });
            (Some(sink), Some(address))
        } else {
            (None, None)
        };
        let jetstream = JetStream::new(client.clone());
        let statuses = BTreeMap::new();
        Ok(Self { args, _server: server, client, url, jetstream, sink, sink_address, script, statuses })
    }

    /// Reads the manifests and starts a worker on them.
    ///
    /// # Errors
    /// See [`DevError`]; nothing is started then.
    pub async fn run(&self) -> Result<Running, DevError> {
        let mut manifests = load(&self.args.paths).map_err(DevError::Faults)?;
        // On a machine of one's own there is nobody else who could mind.
        manifests.azure.managed_identity = true;
        let broken = rules(&manifests);
        if !broken.is_empty() {
            return Err(DevError::Faults(broken));
        }
        if let (Some(address), Some(sink)) = (self.sink_address, &self.sink) {
            redirect::to_sink(&mut manifests, address, sink);
            files::redirect(&mut manifests);
        }
        let tokenless = tokens::missing(&manifests);
        if !tokenless.is_empty() {
            return Err(DevError::Faults(tokenless));
        }
        let mut allowed = self.args.allowed_private_ranges.clone();
        allowed.extend(self.sink_address.map(|address| format!("{}/32", address.ip())));
        let settings = Settings { allowed_private_ranges: allowed, ..crate::check::settings() };
        let mut staged = resolve(&manifests, &settings).map_err(DevError::Faults)?;
        let config = whole(&staged)?;
        let secrets = mounts::write(&manifests, &self.args.data)?;
        for staged in &staged {
            apply_streams(&self.jetstream, &staged.plan.jetstream).await?;
        }
        local::Local::of(&self.url, &staged)
            .write(&self.args.data)
            .map_err(file_error("say where the local run is"))?;
        let bytes = serde_json::to_vec(&config).expect("a configuration of plain types is writable as JSON");
        let fingerprint = WorkerConfig::fingerprint(&bytes);
        for staged in &mut staged {
            staged.plan.fingerprint.clone_from(&fingerprint);
            staged.plan.replicas = 1;
        }
        let stop = CancellationToken::new();
        let prepared = config::prepare(&bytes)?;
        let reading = files::start(&prepared, &secrets, &self.client, &files::folder(&manifests), &stop)?;
        let worker = worker::Worker::new(prepared, "dev", &secrets, self.client.clone());
        let listener: TcpListener = worker::listen(self.args.listen).await?;
        let address = listener.local_addr().map_err(file_error("find the webhook's address"))?;
        let task = tokio::spawn(worker.run(Some(listener), stop.clone()));
        Ok(Running { staged, address, stop, task, reading })
    }

    /// The statuses that the Integrations would have in a cluster, by name.
    ///
    /// # Errors
    /// If NATS can't be asked.
    pub async fn look(&mut self, running: &Running) -> Result<&BTreeMap<String, IntegrationStatus>, DevError> {
        for Staged { integration, plan } in &running.staged {
            let observations = offline::observations(&self.jetstream, &plan.jetstream).await?;
            let mut integration = integration.clone();
            let name = integration.name_any();
            integration.status = self.statuses.get(&name).cloned();
            let status = offline::status_of(&integration, Ok(plan), Some(&observations), Timestamp::now());
            self.statuses.insert(name, status);
        }
        let text = serde_json::to_vec_pretty(&self.statuses).expect("a status of plain types is writable as JSON");
        let path = self.args.data.join("status.json");
        std::fs::write(&path, text).map_err(file_error(format!("write {}", path.display())))?;
        Ok(&self.statuses)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its server goes with it. Where the file stays, as after a kill, whoever follows it finds nobody.
        if local::Local::read(&self.args.data).is_ok_and(|local| local.nats_url == self.url) {
            let _ = std::fs::remove_file(self.args.data.join(local::FILE));
        }
    }
}

fn read_script(path: Option<&Path>) -> Result<Script, DevError> {
    Ok(path.map(Script::read).transpose()?.unwrap_or_default())
}

/// One configuration for all Integrations.
fn whole(staged: &[Staged]) -> Result<WorkerConfig, DevError> {
    let mut namespaces: Vec<String> = staged.iter().map(|staged| staged.plan.identity.namespace.clone()).collect();
    namespaces.sort();
    namespaces.dedup();
    if namespaces.len() > 1 {
        return Err(DevError::Namespaces(namespaces));
    }
    let first = staged.first().ok_or(DevError::Nothing)?;
    let integrations = staged.iter().flat_map(|staged| staged.plan.config.integrations.clone()).collect();
    Ok(WorkerConfig { integrations, ..first.plan.config.clone() })
}
