//! What every reconcile has at hand: the doors, the settings, and what is remembered.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use ropeway_mapping::{CompileError, Program, Purpose, UntrustedError, compile, compile_in_child};
use ropeway_nats::Settings as NatsSettings;

use crate::{
    args::Args,
    destination::Memory as DestinationMemory,
    error::Error,
    integration::{
        plan::{Settings, deployment::NATS_SECRET},
        resolve::CompileFault,
        visits::Visits,
    },
    io::{
        jetstream::{JetStream, NatsError},
        kubernetes::Kubernetes,
    },
    metrics::Metrics,
};

/// What every reconcile has at hand.
pub struct Context {
    /// The door to the API server.
    pub kubernetes: Kubernetes,
    /// The connections to NATS.
    pub connections: Connections,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the administrator decided, as far as a plan needs it.
    pub settings: Settings,
    /// All of it.
    pub args: Args,
    /// The compiler for expressions.
    pub compiler: Arc<Compiler>,
    /// What is remembered of Integrations.
    pub visits: Visits,
    /// What is remembered of Destinations.
    pub destinations: DestinationMemory,
    identity: String,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Context {
    /// A context for these doors.
    pub fn new(kubernetes: Kubernetes, args: Args, metrics: Arc<Metrics>) -> Self {
        let settings = Settings {
            worker_image: args.worker_image.clone(),
            nats_url: args.nats_url.clone(),
            allowed_private_ranges: args.allowed_private_ranges.iter().map(ToString::to_string).collect(),
            stream_replicas: usize::from(args.stream_replicas),
        };
        Self {
            connections: Connections { url: args.nats_url.clone(), open: tokio::sync::Mutex::default() },
            compiler: Arc::new(Compiler::in_child()),
            visits: Visits::default(),
            destinations: DestinationMemory::default(),
            identity: format!("operator-{:016x}", rand::random::<u64>()),
            locks: Mutex::default(),
            kubernetes,
            metrics,
            settings,
            args,
        }
    }

    /// What this process is called where several may be at work.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The lock under which the shared streams of a namespace are made and removed.
    pub fn lock(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Arc::clone(locks.entry(namespace.to_owned()).or_default())
    }
}

/// The connections to NATS, one for each namespace and version of its Secret.
pub struct Connections {
    url: String,
    open: tokio::sync::Mutex<HashMap<String, (String, JetStream)>>,
}

impl Connections {
    /// The connection of a namespace. Its Secret is read each time, so that a change is felt.
    ///
    /// # Errors
    /// If the Secret can't be read or NATS can't be reached.
    pub async fn of(&self, kubernetes: &Kubernetes, namespace: &str) -> Result<JetStream, Error> {
        let secret = kubernetes.get::<Secret>(namespace, NATS_SECRET).await?;
        let version = secret.as_ref().and_then(ResourceExt::resource_version).unwrap_or_default();
        let mut open = self.open.lock().await;
        if let Some((known, jetstream)) = open.get(namespace)
            && *known == version
        {
            return Ok(jetstream.clone());
        }
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        drop(open);
        let settings = NatsSettings::from_entries(&self.url, |entry| data.get(entry).map(|value| value.0.clone()));
        let settings = settings.map_err(NatsError::Connect)?;
        let client = ropeway_nats::connect(&settings, "ropeway-operator").await.map_err(NatsError::Connect)?;
        let jetstream = JetStream::new(client);
        open = self.open.lock().await;
        open.insert(namespace.to_owned(), (version, jetstream.clone()));
        Ok(jetstream)
    }

    /// The connection of a namespace as it was last made, or a new one.
    ///
    /// # Errors
    /// As [`Connections::of`].
    pub async fn known(&self, kubernetes: &Kubernetes, namespace: &str) -> Result<JetStream, Error> {
        if let Some((_, jetstream)) = self.open.lock().await.get(namespace) {
            return Ok(jetstream.clone());
        }
        self.of(kubernetes, namespace).await
    }
}

type Verdicts = HashMap<(String, Purpose), Result<Program, CompileError>>;

/// Compiles expressions that are not trusted yet, and remembers what came of it.
pub struct Compiler {
    program: Option<PathBuf>,
    verdicts: Mutex<Verdicts>,
}

/// So many verdicts are remembered; then all are forgotten.
const MOST_VERDICTS: usize = 4_096;

impl Compiler {
    /// Compiles in a child process first, which is this program with a hidden argument.
    pub fn in_child() -> Self {
        Self { program: std::env::current_exe().ok(), verdicts: Mutex::default() }
    }

    /// Compiles an expression. Blocks for some milliseconds, at worst for seconds.
    ///
    /// # Errors
    /// Tells an expression that is at fault from a compiler that could not be run.
    pub fn compile(&self, source: &str, purpose: Purpose) -> Result<Program, CompileFault> {
        let key = (source.to_owned(), purpose);
        let known = self.verdicts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key).cloned();
        if let Some(verdict) = known {
            return verdict.map_err(CompileFault::Refused);
        }
        let Some(program) = &self.program else {
            return Err(CompileFault::Unable("the operator does not know its own program".into()));
        };
        let verdict = match compile_in_child(program, source, purpose) {
            Ok(()) => compile(source, purpose),
            Err(UntrustedError::Refused(error)) => Err(error),
            Err(UntrustedError::Child(error)) => return Err(CompileFault::Unable(error.to_string())),
        };
        let mut verdicts = self.verdicts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if verdicts.len() >= MOST_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(key, verdict.clone());
        verdict.map_err(CompileFault::Refused)
    }
}
