//! The way in of one Integration.

use std::path::Path;

use async_nats::Client;
use ropeway_crds::{
    integration::State,
    report::Problem,
    worker_config::{IntegrationConfig, SourceConfig},
};
use ropeway_mapping::{IntegrationName, Program};
use tokio::sync::watch;

use super::{Shared, Worker};
use crate::{
    config::Prepared,
    intake::{
        batch::{Job, from::ReadError},
        store::Store,
        webhook::Webhook,
    },
    io::jetstream::Broker,
    secret::Secrets,
};

/// What a way in is given beside its configuration.
pub(super) struct Inputs {
    /// The expression for the ids of events that carry none.
    pub(super) id: Option<Program>,
    /// The wished state.
    pub(super) state: watch::Receiver<Option<State>>,
    /// What keeps it from receiving.
    pub(super) problem: watch::Sender<Option<Problem>>,
}

impl Worker {
    /// Adds the way in. A stream of the user's needs none: its lanes read it themselves.
    pub(super) fn add_source(&mut self, shared: &Shared<'_>, integration: &IntegrationConfig, inputs: Inputs) {
        let Inputs { id, state, problem } = inputs;
        let store = store(shared.prepared, integration, id, shared.broker);
        match &integration.source {
            SourceConfig::Webhook { path, verification, max_body_bytes } => {
                let webhook = Webhook {
                    store,
                    verification: verification.clone(),
                    max_body: usize::try_from(max_body_bytes.bytes()).unwrap_or(usize::MAX),
                    state,
                    problem,
                    secrets: shared.secrets.clone(),
                };
                self.webhooks.insert(path.clone(), webhook);
            }
            SourceConfig::Stream { .. } => {}
            // Jobs read it; these workers have its lanes.
            SourceConfig::Batch(_) => {}
        }
    }
}

fn store(prepared: &Prepared, integration: &IntegrationConfig, id: Option<Program>, broker: &Broker) -> Store {
    Store {
        uid: integration.uid.clone(),
        integration: IntegrationName { name: integration.name.clone(), namespace: prepared.config.namespace.clone() },
        defaults: integration.event.clone(),
        id,
        retention: integration.dead_letter_retention.std(),
        broker: broker.clone(),
    }
}

/// A run of each batch source of a configuration. `claim` is the folder that its file is in.
///
/// # Errors
/// If one can't be used as it is configured.
pub fn batch_jobs(
    prepared: &Prepared,
    name: &str,
    secrets: &Secrets,
    client: &Client,
    claim: &Path,
) -> Result<Vec<Job>, ReadError> {
    let broker = Broker::new(client.clone(), prepared.config.names());
    let mut jobs = Vec::new();
    for (integration, id) in prepared.config.integrations.iter().zip(&prepared.event_ids) {
        if let SourceConfig::Batch(spec) = &integration.source {
            let store = store(prepared, integration, id.clone(), &broker);
            jobs.push(Job::new(name, spec, store, secrets, &prepared.addresses, claim.to_owned())?);
        }
    }
    Ok(jobs)
}
