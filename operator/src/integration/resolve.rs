//! Stage resolve: [`Observed`] comes in, [`Resolved`] goes out, or everything that is wrong at once. Pure, but for the
//! compiler that is handed in: the operator compiles in a child process first, `ropeway dev` in its own.
//!
//! After this stage nobody reads the spec.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use ropeway_crds::{
    Integration,
    azure::AzureSettings,
    condition::{ConditionType, Finding, Reason},
    duration::{ByteSize, Duration},
    integration::{DeadLetterHold, LaneStart, State},
    names::{LaneId, ShortUid},
    source::{Beginning, Expose},
    template::Template,
    worker_config::{EventDefaults, IntegrationConfig, LaneConfig, MAX_EVENT_BYTES, SchemaConfig, SourceConfig},
};
use ropeway_mapping::{CompileError, Program, Purpose};

use crate::integration::observe::Observed;

mod azure;
mod batch;
mod expressions;
mod lanes;
mod outline;
mod poll;
mod references;
mod schema;
mod tokens;
mod values;

pub use azure::{not_allowed, unusable};
pub use outline::{Outline, outline};
use outline::{retention, source};
pub use references::{missing_setting, unusable_key};
pub use tokens::unusable_token;

/// Why an expression has no program.
#[derive(Debug)]
pub enum CompileFault {
    /// It is at fault.
    Refused(CompileError),
    /// The compiler could not be run; says nothing about the expression.
    Unable(String),
}

/// Compiles one expression.
pub type Compile<'a> = &'a dyn Fn(&str, Purpose) -> Result<Program, CompileFault>;

/// An Integration in which everything is there and everything makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Who it is.
    pub identity: Identity,
    /// What its workers are told.
    pub config: IntegrationConfig,
    /// Where its events are.
    pub source: ResolvedSource,
    /// One for each destination, in the order of the spec.
    pub lanes: Vec<ResolvedLane>,
    /// What its workers need of Secrets and ConfigMaps.
    pub mounts: Mounts,
    /// What the administrator decided about Azure in its namespace.
    pub azure: AzureSettings,
    /// Secrets that may not be used. Everything else goes on without them, so that they leave the pods too where they could
    /// be used before.
    pub withheld: Vec<Finding>,
    /// The wished state.
    pub state: State,
    /// The wished number of workers.
    pub replicas: i32,
    /// What the user says about the pods.
    pub template: Template,
}

/// The keys of Secrets and ConfigMaps that workers see, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Keys of Secrets.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// Keys of ConfigMaps.
    pub config_maps: BTreeMap<String, BTreeSet<String>>,
    /// Whether a token of the service account, by which Entra ID knows it.
    pub azure_token: bool,
}

/// Who an Integration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// UID of its namespace.
    pub namespace_uid: String,
    /// Its UID.
    pub uid: String,
}

impl Identity {
    /// The identity of an Integration.
    pub fn of(integration: &Integration, namespace_uid: &str) -> Self {
        Self {
            name: integration.name_any(),
            namespace: integration.namespace().unwrap_or_default(),
            namespace_uid: namespace_uid.to_owned(),
            uid: integration.uid().unwrap_or_default(),
        }
    }

    /// The short form of its UID.
    pub fn short(&self) -> ShortUid {
        ShortUid::of(&self.uid)
    }
}

/// Where events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedSource {
    /// In a stream of its own.
    Events {
        /// Room in it.
        max_bytes: ByteSize,
        /// Copies of each event.
        replicas: usize,
        /// The address that takes events, for a source that is sent to.
        address: Option<Address>,
    },
    /// In a stream of the user's.
    Stream {
        /// Its name.
        stream: String,
        /// Which subjects of it; empty means all.
        subjects: Vec<String>,
        /// Where the first lanes begin.
        beginning: Beginning,
    },
}

/// An address that takes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its path.
    pub path: String,
    /// What the user says that senders call.
    pub public_url: Option<String>,
    /// How it is reached from outside the cluster.
    pub expose: Option<Expose>,
}

/// The way to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLane {
    /// Its id.
    pub lane: LaneId,
    /// The destination's name.
    pub destination: String,
    /// The short UID of its Destination, if that is known.
    pub account: Option<ShortUid>,
    /// Where it begins if it is added later.
    pub start_at: LaneStart,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// How many records one request may hold.
    pub portion: u32,
}

/// Checks everything and brings it together.
///
/// # Errors
/// All that is wrong, each with the condition that it makes false.
pub fn resolve(observed: &Observed, compile: Compile<'_>) -> Result<Resolved, Vec<Finding>> {
    let mut findings = Vec::new();
    let identity = Identity::of(&observed.integration, &observed.namespace_uid);
    values::check(observed, &mut findings);
    poll::check(&observed.integration.spec, &mut findings);
    batch::check(observed, &mut findings);
    references::check_account(observed, &mut findings);
    let mut withheld = Vec::new();
    let secrets = references::secrets(observed, &mut findings, &mut withheld);
    let azure_token = azure::check(observed, &mut findings, &mut withheld);
    let mounts = Mounts { secrets, config_maps: references::config_maps(observed, &mut findings), azure_token };
    let programs = expressions::resolve(observed, &identity, compile, &mut findings);
    let schema = schema::resolve(observed, &mut findings);
    let lanes = lanes::configs(observed, &programs, &mut findings);
    let token_of = tokens::of_source(observed, &mut findings);
    let source = source(&observed.integration.spec);
    if source.is_none() {
        let message = "spec.source: give exactly one of webhook, stream, poll, request and batch";
        findings.push(Finding::fails(ConditionType::SourceReady, Reason::InvalidSpec, message));
    }
    match source {
        Some((source, mut source_config)) if findings.is_empty() => {
            if let SourceConfig::Request { reply, .. } = &mut source_config {
                reply.clone_from(&programs.reply);
            }
            let resolved = assemble(observed, identity, source, source_config, lanes, (programs, schema), mounts);
            let config = IntegrationConfig { token_of, ..resolved.config };
            Ok(Resolved { withheld, config, ..resolved })
        }
        _ => Err(findings.into_iter().chain(withheld).collect()),
    }
}

fn assemble(
    observed: &Observed,
    identity: Identity,
    source: ResolvedSource,
    source_config: SourceConfig,
    lanes: Vec<LaneConfig>,
    (programs, schema): (expressions::Programs, Option<SchemaConfig>),
    mounts: Mounts,
) -> Resolved {
    let spec = &observed.integration.spec;
    let short = identity.short();
    let resolved_lanes = lanes.iter().zip(&spec.destinations).map(|(config, destination)| ResolvedLane {
        lane: LaneId::new(&short, &config.destination),
        destination: config.destination.clone(),
        account: Some(config.account.clone()),
        start_at: destination.start_at.unwrap_or_default(),
        timeout: config.delivery.timeout,
        portion: config.batch.max_items,
    });
    let retain = spec.storage.as_ref().and_then(|storage| storage.retain);
    Resolved {
        lanes: resolved_lanes.collect(),
        config: IntegrationConfig {
            name: identity.name.clone(),
            uid: short.clone(),
            source: source_config,
            token_of: None,
            key_vault_identity: spec.key_vault_identity.clone(),
            event: event_defaults(observed, &identity),
            schema,
            dedup: spec.dedup.clone(),
            ordering: spec.ordering.clone(),
            normalize: programs.normalize,
            lanes,
            dead_letter_retention: retention(spec),
            mode: spec.mode.unwrap_or_default(),
            hold: DeadLetterHold::resolve(spec.dead_letter.as_ref().and_then(|given| given.hold.as_ref())),
            retain: retain.unwrap_or(Duration::from_secs(0)),
        },
        identity,
        source,
        mounts,
        azure: observed.azure.clone(),
        withheld: Vec::new(),
        state: spec.state(),
        replicas: spec.replicas(),
        template: spec.template.clone().unwrap_or_default(),
    }
}

fn event_defaults(observed: &Observed, identity: &Identity) -> EventDefaults {
    let event = observed.integration.spec.event.clone().unwrap_or_default();
    EventDefaults {
        r#type: event.r#type.unwrap_or_else(|| "ropeway.event".into()),
        source: event.source.unwrap_or_else(|| format!("/{}/{}", identity.namespace, identity.name)),
        id: event.id,
    }
}

/// The largest body in bytes that a source may read.
const LARGEST_BODY: u64 = MAX_EVENT_BYTES;

#[cfg(test)]
mod tests;
