//! Puts a worker together and runs it: for each Integration its lanes, its heartbeat, its trimmer and its webhook.
//!
//! `ropeway dev` runs this very code in its own process.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
};

use async_nats::Client;
use ropeway_auth::{keyring::Keyring, secret::Secrets};
use ropeway_crds::{
    integration::{Mode, State},
    names::{LaneId, events_stream},
    worker_config::{IntegrationConfig, LaneConfig, SourceConfig},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    account::{Account, Accounts, shared::Watched},
    config::Prepared,
    count::Tally,
    deliver::Deliverer,
    heartbeat::{Heartbeat, Pulse},
    intake::{
        listen,
        poll::Poller,
        router::{Entrance, Entrances, router},
        tls::ServerTls,
    },
    io::{account::Versioned, jetstream::Broker},
    lane::Lane,
    map::LaneMapping,
    metrics::{LaneGauge, PollGauge},
    recent::Recent,
    sweep::Sweeper,
    trim::Trimmer,
};

mod batch;
mod source;

pub use batch::batch_jobs;

/// A worker that is put together but does not run yet.
#[derive(Debug)]
pub struct Worker {
    lanes: Vec<(Arc<Lane>, watch::Receiver<Option<State>>)>,
    heartbeats: Vec<(Heartbeat, watch::Sender<Option<State>>)>,
    trimmers: Vec<Trimmer>,
    entrances: HashMap<String, Entrance>,
    pollers: Vec<Poller>,
    tls: Option<Arc<ServerTls>>,
    accounts: Accounts,
    watched: Watched,
    broker: Broker,
}

/// What an Integration's parts share.
struct Shared<'a> {
    prepared: &'a Prepared,
    name: &'a str,
    keyring: &'a Keyring,
    broker: &'a Broker,
}

impl Worker {
    /// Puts a worker of this name together.
    pub fn new(prepared: Prepared, name: &str, secrets: &Secrets, client: Client) -> Self {
        let broker = Broker::new(client, prepared.config.names());
        let mut worker = Self {
            lanes: Vec::new(),
            heartbeats: Vec::new(),
            trimmers: Vec::new(),
            entrances: HashMap::new(),
            pollers: Vec::new(),
            tls: None,
            accounts: Accounts::new(),
            watched: Watched::default(),
            broker: broker.clone(),
        };
        let keyring = Keyring::new(secrets.clone(), Arc::clone(&prepared.addresses));
        let keyring = keyring.with_azure(prepared.config.azure.clone());
        let shared = Shared { prepared: &prepared, name, keyring: &keyring, broker: &broker };
        let programs = prepared.event_ids.iter().cloned().zip(prepared.replies.iter().cloned());
        let parts = prepared.config.integrations.iter().zip(&prepared.mappings).zip(programs);
        for ((integration, mappings), (id, reply)) in parts {
            worker.add(&shared, integration, mappings, source::Compiled { id, reply });
        }
        worker
    }

    /// The gauges of every lane, for metrics and for `ropeway dev`.
    pub fn gauges(&self) -> Vec<LaneGauge> {
        let gauge = |(lane, _): &(Arc<Lane>, watch::Receiver<Option<State>>)| LaneGauge {
            integration: lane.integration.clone(),
            destination: lane.config.destination.clone(),
            tally: Arc::clone(&lane.tally),
            account: Arc::clone(&lane.account),
        };
        self.lanes.iter().map(gauge).collect()
    }

    /// What every poller counts, for metrics.
    pub fn polls(&self) -> Vec<PollGauge> {
        let gauge = |poller: &Poller| PollGauge {
            integration: poller.store.integration.name.clone(),
            counts: Arc::clone(&poller.counts),
        };
        self.pollers.iter().map(gauge).collect()
    }

    /// Whether any Integration is served over HTTP.
    pub fn has_webhooks(&self) -> bool {
        !self.entrances.is_empty()
    }

    fn add(
        &mut self,
        shared: &Shared<'_>,
        integration: &IntegrationConfig,
        mappings: &[LaneMapping],
        compiled: source::Compiled,
    ) {
        let (state_sender, state) = watch::channel(None);
        let (problem_sender, problem) = watch::channel(None);
        let stream = match &integration.source {
            SourceConfig::Stream { stream } => stream.clone(),
            _ => events_stream(&integration.uid),
        };
        let mut pulses = Vec::new();
        for (config, mapping) in integration.lanes.iter().zip(mappings) {
            let account = self.account(shared, config);
            let lane = new_lane(shared, integration, config, mapping, &stream, account);
            self.watched.lane(&lane.id, &lane.hold);
            pulses.push(Pulse {
                destination: config.destination.clone(),
                lane: lane.id.clone(),
                tally: Arc::clone(&lane.tally),
                credentials: lane.deliverer.credentials().cloned(),
            });
            self.lanes.push((lane, state.clone()));
        }
        if integration.source.has_own_stream() {
            self.trimmers.push(new_trimmer(shared, integration, &pulses));
        }
        self.heartbeats.push((
            Heartbeat {
                worker: shared.name.to_owned(),
                config: shared.prepared.fingerprint.clone(),
                uid: integration.uid.clone(),
                pulses,
                source_problem: problem,
                broker: shared.broker.clone(),
            },
            state_sender,
        ));
        let keyring = shared.keyring.with_vault(integration.key_vault_identity.as_ref());
        let shared = &Shared { keyring: &keyring, ..*shared };
        self.add_source(shared, integration, source::Inputs { compiled, state, problem: problem_sender });
    }

    /// The account of a lane's Destination: one for all lanes that send there.
    fn account(&mut self, shared: &Shared<'_>, config: &LaneConfig) -> Arc<Account> {
        let known = self.accounts.entry(config.account.clone()).or_insert_with(|| {
            let (breaker, rate) = (config.breaker.clone(), config.rate.clone());
            Arc::new(Account::new(config.account.clone(), shared.name, breaker, rate, shared.broker.clone()))
        });
        self.watched.account(known);
        Arc::clone(known)
    }

    /// Works until `stop` is cancelled; then nothing new is taken, what is in hand is finished, and the counts are flushed.
    /// `listener` is where webhooks are received.
    pub async fn run(self, listener: Option<TcpListener>, stop: CancellationToken) {
        let Self { lanes, heartbeats, trimmers, entrances, pollers, tls, accounts: _, watched, broker } = self;
        let entrances: Entrances = Arc::new(entrances);
        let mut taking = JoinSet::new();
        if let Some(listener) = listener {
            taking.spawn(listen::serve(listener, tls, router(entrances), stop.clone()));
        }
        let swept = lanes.iter().map(|(lane, _)| (lane.id.clone(), Arc::clone(&lane.tally))).collect();
        taking.spawn(Sweeper { lanes: swept, broker: broker.clone() }.run(stop.clone()));
        taking.spawn(watched.run(broker, stop.clone()));
        for (lane, state) in lanes {
            if let Some(probe) = lane.config.probe.clone().filter(|_| lane.mode == Mode::Send) {
                taking.spawn(Arc::clone(&lane).prove(probe, state.clone(), stop.clone()));
            }
            taking.spawn(lane.run(state, stop.clone()));
        }
        for poller in pollers {
            taking.spawn(poller.run(stop.clone()));
        }
        for trimmer in trimmers {
            taking.spawn(trimmer.run(stop.clone()));
        }
        // The heartbeats end last: they flush what the lanes counted while they finished.
        let counting = CancellationToken::new();
        let mut beating = JoinSet::new();
        for (heartbeat, state) in heartbeats {
            beating.spawn(heartbeat.run(state, counting.clone()));
        }
        while let Some(ended) = taking.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!("a part of the worker panicked; the worker ends so that it is started again");
                std::process::exit(70);
            }
        }
        counting.cancel();
        while beating.join_next().await.is_some() {}
    }
}

fn new_lane(
    shared: &Shared<'_>,
    integration: &IntegrationConfig,
    config: &LaneConfig,
    mapping: &LaneMapping,
    stream: &str,
    account: Arc<Account>,
) -> Arc<Lane> {
    let outcomes = mapping.outcomes.clone();
    let config = Arc::new(config.clone());
    Arc::new(Lane {
        id: LaneId::new(&integration.uid, &config.destination),
        worker: shared.name.to_owned(),
        integration: integration.name.clone(),
        uid: integration.uid.clone(),
        events_stream: stream.to_owned(),
        config: Arc::clone(&config),
        defaults: integration.event.clone(),
        dedup: integration.dedup.clone(),
        retention: integration.dead_letter_retention.std(),
        mapping: mapping.clone(),
        deliverer: Deliverer::new(
            config,
            outcomes,
            shared.keyring,
            shared.broker.clone(),
            (integration.mode == Mode::Shadow).then(|| integration.uid.clone()),
        ),
        fingerprint: shared.prepared.fingerprint.clone(),
        hold_policy: integration.hold,
        mode: integration.mode,
        own_stream: integration.source.has_own_stream(),
        account,
        hold: Arc::new(watch::channel(Versioned::default()).0),
        hold_known: AtomicBool::new(false),
        bound: AtomicUsize::new(usize::MAX),
        guard: Mutex::default(),
        tally: Arc::new(Tally::default()),
        recent: Recent::default(),
        broker: shared.broker.clone(),
    })
}

fn new_trimmer(shared: &Shared<'_>, integration: &IntegrationConfig, pulses: &[Pulse]) -> Trimmer {
    Trimmer {
        uid: integration.uid.clone(),
        lanes: pulses.iter().map(|pulse| (pulse.destination.clone(), pulse.lane.clone())).collect(),
        retain: integration.retain.std(),
        broker: shared.broker.clone(),
    }
}

/// Binds an address for receiving.
///
/// # Errors
/// Names the address.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}
