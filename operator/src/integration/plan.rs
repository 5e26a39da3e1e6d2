//! Stage plan: [`Resolved`] comes in, a [`Plan`] goes out: every object, stream and consumer as it should be. Pure.

use async_nats::jetstream::{consumer, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::CronJob,
    core::v1::{ConfigMap, Service},
};
use ropeway_crds::{
    integration::{LaneStart, State},
    names::{LaneId, NamespaceNames, ShortUid},
    report::Wish,
    source::Beginning,
    worker_config::{SourceConfig, WorkerConfig},
};

use crate::integration::resolve::{Identity, Resolved, ResolvedSource};

pub mod config;
pub mod config_map;
pub mod cron_job;
pub mod deployment;
pub mod expose;
pub mod meta;
pub mod pod;
pub mod service;
pub mod streams;

use expose::Exposure;

/// What the operator's administrator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the workers.
    pub worker_image: String,
    /// Address of NATS where a namespace's Secret gives none.
    pub nats_url: String,
    /// Private ranges (CIDR) that destinations may resolve to.
    pub allowed_private_ranges: Vec<String>,
    /// Copies of each message in the shared streams.
    pub stream_replicas: usize,
}

/// Everything as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whose plan it is.
    pub identity: Identity,
    /// Streams and consumers.
    pub jetstream: JetStreamPlan,
    /// What workers are told.
    pub config: WorkerConfig,
    /// The fingerprint of that configuration: what current workers report.
    pub fingerprint: String,
    /// The configuration as an object.
    pub config_map: ConfigMap,
    /// The workers.
    pub deployment: Deployment,
    /// What starts the reading of files, for a source that has some.
    pub cron_job: Option<CronJob>,
    /// The address inside the cluster, for a source that has one.
    pub service: Option<Service>,
    /// What makes that address reachable from outside, where it is wished.
    pub exposure: Option<Exposure>,
    /// Where events are sent to, for a source that has an address.
    pub endpoint: Option<String>,
    /// The wished number of workers.
    pub replicas: i32,
}

/// Streams, consumers and the wish: all that is in JetStream.
#[derive(Clone, Debug, PartialEq)]
pub struct JetStreamPlan {
    /// The Integration.
    pub integration: ShortUid,
    /// The names of the namespace.
    pub names: NamespaceNames,
    /// The streams that the namespace shares.
    pub shared: Vec<stream::Config>,
    /// The stream that events are read from.
    pub source: SourcePlan,
    /// One for each destination.
    pub lanes: Vec<LanePlan>,
    /// What workers are to do.
    pub wish: Wish,
}

/// The stream that events are read from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourcePlan {
    /// One of ours.
    Own(Box<stream::Config>),
    /// One of the user's, which is never changed.
    Foreign {
        /// Its name.
        stream: String,
        /// Where the first lanes begin.
        beginning: Beginning,
    },
}

/// One lane's consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct LanePlan {
    /// The destination's name.
    pub destination: String,
    /// The lane, which names its consumers.
    pub lane: LaneId,
    /// The short UID of its Destination, if that is known.
    pub account: Option<ShortUid>,
    /// Where it begins if it is added later.
    pub start_at: LaneStart,
    /// On the source's stream; where it begins is decided when it is made.
    pub events: consumer::Config,
    /// On the retries stream.
    pub retries: consumer::Config,
}

impl JetStreamPlan {
    /// The stream that events are read from.
    pub fn source_stream(&self) -> &str {
        match &self.source {
            SourcePlan::Own(config) => &config.name,
            SourcePlan::Foreign { stream, .. } => stream,
        }
    }
}

/// Says how everything should be.
pub fn plan(resolved: &Resolved, settings: &Settings) -> Plan {
    let identity = &resolved.identity;
    let config = config::worker_config(resolved, settings);
    let bytes = config::bytes(&config);
    let config_map = config_map::config_map(identity, &bytes);
    let map_name = config_map.metadata.name.clone().unwrap_or_default();
    let address = match &resolved.source {
        ResolvedSource::Events { address, .. } => address.as_ref(),
        ResolvedSource::Stream { .. } => None,
    };
    let batch = match &resolved.config.source {
        SourceConfig::Batch(batch) => Some(batch),
        _ => None,
    };
    Plan {
        cron_job: batch.map(|batch| cron_job::cron_job(resolved, batch, settings, &map_name)),
        jetstream: streams::jetstream_plan(identity, &resolved.source, &resolved.lanes, resolved.state, settings),
        fingerprint: WorkerConfig::fingerprint(&bytes),
        deployment: deployment::deployment(resolved, settings, &map_name),
        service: address.map(|_| service::service(identity)),
        exposure: address.and_then(|address| expose::exposure(identity, address)),
        endpoint: address.map(|address| expose::endpoint(identity, address)),
        replicas: resolved.replicas,
        config,
        config_map,
        identity: identity.clone(),
    }
}

/// The wish that follows from a wished state.
pub fn wish(state: State) -> Wish {
    Wish { state }
}

#[cfg(test)]
pub(crate) mod tests;
