//! The way in of one Integration.

use ropeway_crds::{
    integration::State,
    report::Problem,
    worker_config::{IntegrationConfig, SourceConfig},
};
use ropeway_mapping::{IntegrationName, Program};
use tokio::sync::watch;

use super::{Shared, Worker};
use crate::intake::{store::Store, webhook::Webhook};

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
        let store = Store {
            uid: integration.uid.clone(),
            integration: IntegrationName {
                name: integration.name.clone(),
                namespace: shared.prepared.config.namespace.clone(),
            },
            defaults: integration.event.clone(),
            id,
            retention: integration.dead_letter_retention.std(),
            broker: shared.broker.clone(),
        };
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
        }
    }
}
