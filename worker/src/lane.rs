//! One lane: the straight line from a message to its settlement, and when it runs.
//!
//! ```text
//! pull ─▶ decode ─▶ map ─▶ batch ─▶ deliver ─▶ decide ─▶ settle ─▶ count
//! ```
//!
//! A lane runs while it is wished to, while its Destination's circuit is closed, and while it is not held itself. Otherwise
//! it waits, and now and then takes a single event to try whether things are better.

pub mod direct;
mod ending;
mod flow;
mod hold;
mod ordered;
mod prepare;
mod probe;
mod prover;
mod relief;
mod work;

pub use work::Trial;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use ropeway_crds::{
    condition::bounded,
    integration::{Mode, State},
    mapping::Dedup,
    names::{LaneId, ShortUid, hold_key},
    report::Problem,
    worker_config::{EventDefaults, HoldPolicy, LaneConfig},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    account::{
        Account, Circuit,
        shared::{Hold, learn_hold},
    },
    count::Tally,
    deliver::Deliverer,
    guard::Guard,
    io::{
        jetstream::{Broker, BrokerError, LaneStreams},
        publish::Owner,
    },
    map::LaneMapping,
    recent::Recent,
};

/// How long to wait before a lane that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(1);

/// How often a lane that waits looks whether its events stream needs relief.
const LOOK: Duration = Duration::from_secs(2);

/// The most messages that a lane has in hand in one worker.
const MOST_IN_HAND: usize = 1_000;

/// One lane with all it needs.
#[derive(Debug)]
pub struct Lane {
    /// Its id.
    pub id: LaneId,
    /// The worker's name.
    pub worker: String,
    /// The Integration's name.
    pub integration: String,
    /// The Integration's UID.
    pub uid: ShortUid,
    /// The stream that its events come from.
    pub events_stream: String,
    /// Its configuration.
    pub config: Arc<LaneConfig>,
    /// The fingerprint of the worker's configuration: a lane that is held goes on under another one.
    pub fingerprint: String,
    /// Attributes of events that carry none.
    pub defaults: EventDefaults,
    /// De-duplication.
    pub dedup: Option<Dedup>,
    /// How long a dead letter is kept.
    pub retention: Duration,
    /// When it is held instead of filling the dead letters.
    pub hold_policy: HoldPolicy,
    /// Whether records are sent.
    pub mode: Mode,
    /// Whether its events stream is Ropeway's own, and may fill up.
    pub own_stream: bool,
    /// Its compiled programs.
    pub mapping: LaneMapping,
    /// Its way out.
    pub deliverer: Deliverer,
    /// Its Destination, as all lanes know it.
    pub account: Arc<Account>,
    /// Whether it is held.
    pub hold: Arc<Hold>,
    /// Whether that was read from the bucket at least once.
    pub hold_known: AtomicBool,
    /// How many records its Destination takes in one request, as far as it has said so by 413.
    pub bound: AtomicUsize,
    /// How its recent events ended.
    pub guard: Mutex<Guard>,
    /// What it counts.
    pub tally: Arc<Tally>,
    /// What it has lately finished.
    pub recent: Recent,
    /// Its connection.
    pub broker: Broker,
}

/// Why a lane waits, and for how long at most until a single event may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Its Destination's circuit is not closed.
    Circuit(Option<Duration>),
    /// Other workers make all the requests that may be under way.
    Crowded,
    /// It is held itself.
    Held(Duration),
}

impl Lane {
    /// Works until `stop` is cancelled, whenever the wished state is `Running`. What is in hand is finished first.
    pub async fn run(self: Arc<Self>, mut state: watch::Receiver<Option<State>>, stop: CancellationToken) {
        if self.mapping.is_ordered() {
            return self.run_ordered(state, stop).await;
        }
        while !stop.is_cancelled() {
            let wished = *state.borrow_and_update();
            let pause = match wished {
                // Boxed, as is everything that a lane does rarely: a thousand idle lanes need no room for it.
                Some(State::Running) => match Box::pin(self.learn()).await {
                    Err(problem) => {
                        self.tally.unbound(problem);
                        REOPEN
                    }
                    Ok(None) => self.serve(wished, &mut state, &stop).await,
                    Ok(Some(blocked)) => Box::pin(self.wait(wished, blocked, &mut state, &stop)).await,
                },
                _ => {
                    // Nothing is in hand here, so a pause has taken effect; the lane is still looked after.
                    self.tally.take_effect(wished);
                    Box::pin(self.look()).await;
                    REOPEN
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Why it may not work as usual, after the bucket was read at least once: what is held stays so over a start.
    async fn learn(&self) -> Result<Option<Blocked>, Problem> {
        let unreadable = |error: BrokerError| Problem {
            reason: "NatsUnavailable".into(),
            message: bounded(&format!("{error}: {}", error.source)),
        };
        self.account.look().await.map_err(unreadable)?;
        if self.hold.borrow().revision == 0 && !self.hold_known.swap(true, Ordering::AcqRel) {
            let read = self.broker.shared(&hold_key(&self.id)).await.map_err(|error| {
                self.hold_known.store(false, Ordering::Release);
                unreadable(error)
            })?;
            learn_hold(&self.hold, read);
        }
        Ok(self.blocked())
    }

    /// Why it may not work as usual.
    pub(crate) fn blocked(&self) -> Option<Blocked> {
        let now = Timestamp::now();
        // Where nothing is sent the destination need not answer, and nothing is learned about it.
        let sends = self.mode != Mode::Shadow;
        if let Circuit::Open(wait) = self.account.circuit(now)
            && sends
        {
            return Some(Blocked::Circuit(wait));
        }
        if !self.account.pace().has_share() {
            return Some(Blocked::Crowded);
        }
        let known = self.hold.borrow();
        let hold = known.value.as_ref().filter(|hold| hold.config == self.fingerprint)?;
        Some(Blocked::Held(Duration::try_from(hold.next_probe.duration_since(now)).unwrap_or(Duration::ZERO)))
    }

    /// Works as usual until something changes. Answers how long to wait before the next look.
    async fn serve(
        &self,
        wished: Option<State>,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) -> Duration {
        let capacity = self.capacity();
        match Box::pin(self.open(capacity)).await {
            Ok(streams) => {
                self.tally.bound();
                self.tally.take_effect(wished);
                if !self.free_leftovers(state, stop).await {
                    return Duration::ZERO;
                }
                self.flow(streams, capacity, state, stop).await;
                Duration::ZERO
            }
            Err(problem) => {
                self.tally.unbound(problem);
                REOPEN
            }
        }
    }

    /// Waits while it is blocked, and tries a single event when that is due.
    async fn wait(
        &self,
        wished: Option<State>,
        blocked: Blocked,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) -> Duration {
        self.tally.take_effect(wished);
        self.look().await;
        let due = match &blocked {
            Blocked::Circuit(None) | Blocked::Crowded => None,
            Blocked::Circuit(Some(wait)) | Blocked::Held(wait) => Some(Instant::now() + *wait),
        };
        let (mut circuit, mut hold) = (self.account.circuit_changes(), self.hold.subscribe());
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                self.probe(&blocked, state, stop).await;
                return Duration::ZERO;
            }
            let nap = due.map_or(LOOK, |due| (due - Instant::now()).min(LOOK));
            tokio::select! {
                () = stop.cancelled() => return Duration::ZERO,
                changed = state.changed() => return if changed.is_err() { REOPEN } else { Duration::ZERO },
                _ = circuit.changed() => return Duration::ZERO,
                _ = hold.changed() => return Duration::ZERO,
                () = sleep(nap), if blocked == Blocked::Crowded => return Duration::ZERO,
                () = sleep(nap) => self.relieve().await,
            }
        }
    }

    /// Whether its consumers are there.
    async fn look(&self) {
        match self.broker.find_lane(&self.events_stream, &self.id).await {
            Ok(()) => self.tally.bound(),
            Err(problem) => self.tally.unbound(problem),
        }
    }

    /// How many messages it may have in hand.
    fn capacity(&self) -> usize {
        let portion = usize::try_from(self.config.batch.max_items).unwrap_or(1);
        self.account.pace().worth_preparing().saturating_mul(portion).clamp(1, MOST_IN_HAND.max(portion))
    }

    async fn open(&self, most: usize) -> Result<LaneStreams, Problem> {
        if let Some(missing) = self.deliverer.missing_secret() {
            return Err(Problem { reason: "SecretMissing".into(), message: missing.to_string() });
        }
        self.broker.open_lane(&self.events_stream, &self.id, most).await
    }

    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner { uid: &self.uid, integration: &self.integration, destination: &self.config.destination, lane: &self.id }
    }

    pub(crate) fn guard(&self) -> std::sync::MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
