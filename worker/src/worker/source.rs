//! The way in of one Integration.

use std::sync::{Arc, Mutex};

use ropeway_crds::{
    auth::Tls,
    integration::State,
    reference::vault_secrets,
    report::Problem,
    source::{JwtVerification, Verification, WebhookTls},
    worker_config::{IntegrationConfig, SourceConfig, TokenOf},
};
use ropeway_mapping::{IntegrationName, Program};
use tokio::sync::watch;

use super::{Shared, Worker};
use crate::{
    authenticate::Authenticator,
    config::Prepared,
    intake::{
        address::{Address, Transport},
        items::Form,
        poll::{Poller, plan::Plan},
        request::Direct,
        router::Entrance,
        store::Store,
        tls::ServerTls,
        verify::{Verifier, jwt::Issuer},
        webhook::Webhook,
    },
    io::jetstream::Broker,
};

/// The programs of a source.
pub(super) struct Compiled {
    /// The expression for the ids of events that carry none.
    pub(super) id: Option<Program>,
    /// What becomes of the destination's answer to a request.
    pub(super) reply: Option<Program>,
}

/// What a way in is given beside its configuration.
pub(super) struct Inputs {
    /// The programs of the source.
    pub(super) compiled: Compiled,
    /// The wished state.
    pub(super) state: watch::Receiver<Option<State>>,
    /// What keeps it from receiving.
    pub(super) problem: watch::Sender<Option<Problem>>,
}

/// What the configuration says of an address.
struct Wanted<'a> {
    verification: &'a Verification,
    max_body: u64,
    public_url: Option<String>,
    tls: Option<&'a WebhookTls>,
}

impl Worker {
    /// Adds the way in. A stream of the user's needs none: its lanes read it themselves.
    pub(super) fn add_source(&mut self, shared: &Shared<'_>, integration: &IntegrationConfig, inputs: Inputs) {
        let Inputs { compiled: Compiled { id, reply }, state, problem } = inputs;
        let store = store(shared.prepared, shared.broker, integration, id);
        match &integration.source {
            SourceConfig::Webhook { path, verification, max_body_bytes, split, public_url, allowed_origins, tls } => {
                let (public_url, tls) = (public_url.clone(), tls.as_ref());
                let wanted = Wanted { verification, max_body: max_body_bytes.bytes(), public_url, tls };
                let address = self.address(shared, &integration.name, wanted, (state, problem));
                let vendor = address.verifier.vendor();
                let webhook = Webhook {
                    form: Form { split: split.clone(), id_place: vendor.id },
                    handshake: vendor.handshake,
                    allowed_origins: allowed_origins.clone(),
                    address,
                    store,
                };
                self.entrances.insert(path.clone(), Entrance::Webhook(Box::new(webhook)));
            }
            SourceConfig::Request { path, verification, max_body_bytes, public_url, tls, timeout, reply: _ } => {
                let (public_url, tls) = (public_url.clone(), tls.as_ref());
                let wanted = Wanted { verification, max_body: max_body_bytes.bytes(), public_url, tls };
                let address = self.address(shared, &integration.name, wanted, (state, problem));
                // The lanes of this Integration were added last, and it has one.
                let Some((lane, _)) = self.lanes.last() else { return };
                let (lane, timeout) = (Arc::clone(lane), timeout.std());
                let direct = Direct { address, store, lane, timeout, reply };
                self.entrances.insert(path.clone(), Entrance::Request(Box::new(direct)));
            }
            SourceConfig::Stream { .. } => {}
            SourceConfig::Poll { poll } => match Plan::new((**poll).clone()) {
                Ok(plan) => {
                    self.pollers.push(poller(shared, store, plan, integration.token_of.as_ref(), state, problem))
                }
                Err(error) => {
                    tracing::error!(integration = %integration.name, %error, "the schedule can't be used");
                    let message = format!("spec.source.poll.schedule: {error}");
                    problem.send_replace(Some(Problem {
                        reason: "InvalidSpec".into(),
                        message: ropeway_crds::condition::bounded(&message),
                    }));
                }
            },
            // Jobs read it; these workers have its lanes.
            SourceConfig::Batch(_) => {}
        }
    }

    /// An address with its limits and its proof.
    fn address(
        &mut self,
        shared: &Shared<'_>,
        integration: &str,
        wanted: Wanted<'_>,
        (state, problem): (watch::Receiver<Option<State>>, watch::Sender<Option<Problem>>),
    ) -> Address {
        let Wanted { verification, max_body, public_url, tls } = wanted;
        let issuer = |jwt: &JwtVerification| {
            let tls = jwt.ca_ref.clone().map(|ca_ref| Tls {
                ca_ref: Some(ca_ref),
                client_certificate_ref: None,
                server_name: None,
            });
            Issuer::new(jwt.clone(), shared.keyring.door(tls))
        };
        if let Some(tls) = tls {
            // One certificate for the port: in a cluster a worker serves one Integration.
            let server = || Arc::new(ServerTls::new(tls.certificate_ref.clone(), shared.keyring.secrets.clone()));
            self.tls.get_or_insert_with(server);
        }
        Address {
            integration: integration.to_owned(),
            verifier: Verifier::new(verification, shared.keyring.secrets.clone(), issuer),
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
            public_url,
            transport: if tls.is_some() { Transport::Tls } else { Transport::Any },
            state,
            problem,
        }
    }
}

/// Where an Integration's events are stored.
pub(super) fn store(
    prepared: &Prepared,
    broker: &Broker,
    integration: &IntegrationConfig,
    id: Option<Program>,
) -> Store {
    Store {
        uid: integration.uid.clone(),
        integration: IntegrationName { name: integration.name.clone(), namespace: prepared.config.namespace.clone() },
        defaults: integration.event.clone(),
        id,
        retention: integration.dead_letter_retention.std(),
        broker: broker.clone(),
    }
}

fn poller(
    shared: &Shared<'_>,
    store: Store,
    plan: Plan,
    token_of: Option<&TokenOf>,
    state: watch::Receiver<Option<State>>,
    problem: watch::Sender<Option<Problem>>,
) -> Poller {
    let door = shared.keyring.door(plan.poll.tls.clone());
    let authenticator =
        plan.poll.auth.as_ref().map(|auth| Authenticator::new(auth, token_of, shared.keyring, &store.broker));
    let vaulted = vault_secrets(&plan.poll.request, "request").into_iter().map(|(_, secret)| secret).collect();
    Poller {
        // One byte more than is taken shows that there is more.
        door: door.reading(plan.max_page_bytes.saturating_add(1)),
        store,
        plan,
        secrets: shared.keyring.secrets.clone(),
        vaulted,
        authenticator,
        state,
        problem,
        counts: Arc::default(),
        me: format!("{}/{:x}", shared.name, rand::random::<u64>()),
        store_problem: Mutex::default(),
    }
}
