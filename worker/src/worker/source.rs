//! The way in of one Integration.

use std::sync::{Arc, Mutex};

use ropeway_crds::{
    integration::State,
    report::Problem,
    worker_config::{IntegrationConfig, SourceConfig},
};
use ropeway_mapping::{IntegrationName, Program};
use tokio::sync::watch;

use super::{Shared, Worker};
use crate::{
    deliver::http::HttpDoor,
    intake::{
        poll::{Poller, plan::Plan},
        store::Store,
        webhook::Webhook,
    },
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
            SourceConfig::Poll { poll } => match Plan::new((**poll).clone()) {
                Ok(plan) => self.pollers.push(poller(shared, store, plan, state, problem)),
                Err(error) => {
                    tracing::error!(integration = %integration.name, %error, "the schedule can't be used");
                    let message = format!("spec.source.poll.schedule: {error}");
                    problem.send_replace(Some(Problem {
                        reason: "InvalidSpec".into(),
                        message: ropeway_crds::condition::bounded(&message),
                    }));
                }
            },
        }
    }
}

fn poller(
    shared: &Shared<'_>,
    store: Store,
    plan: Plan,
    state: watch::Receiver<Option<State>>,
    problem: watch::Sender<Option<Problem>>,
) -> Poller {
    let addresses = Arc::clone(&shared.prepared.addresses);
    let door = HttpDoor::new(plan.poll.tls.clone(), shared.secrets.clone(), addresses);
    Poller {
        // One byte more than is taken shows that there is more.
        door: door.reading(plan.max_page_bytes.saturating_add(1)),
        store,
        plan,
        secrets: shared.secrets.clone(),
        state,
        problem,
        counts: Arc::default(),
        me: format!("{}/{:x}", shared.name, rand::random::<u64>()),
        store_problem: Mutex::default(),
    }
}
