//! The poll source: an API is asked on a schedule, page by page, by one worker at a time.
//!
//! ```text
//! look ─▶ lease ─▶ run::step ─▶ request ─▶ page ─▶ keep (store, remember) ─▶ run::advance ─▶ lease (write)
//! ```
//!
//! `plan`, `run`, `request`, `page` and `link` are pure.

mod ask;
mod keep;
mod lease;
pub mod link;
pub mod page;
pub mod plan;
mod request;
pub mod run;
mod work;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use ropeway_auth::{http::HttpDoor, secret::Secrets};
use ropeway_crds::{azure::VaultSecret, integration::State, poll::PollRecord, report::Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{lease::Interrupted, plan::Plan, run::Step};
use super::{store::Store, tell};
use crate::{authenticate::Authenticator, metrics::PollCounts, term::Sight};

/// How often is looked after what other workers and persons have written.
const LOOK: Duration = Duration::from_secs(1);

/// One Integration's poller.
#[derive(Debug)]
pub struct Poller {
    /// Where its events are stored.
    pub store: Store,
    /// What it was told.
    pub plan: Plan,
    /// The way out.
    pub door: HttpDoor,
    /// The mounted secrets.
    pub secrets: Secrets,
    /// What of its headers is in Key Vault.
    pub vaulted: Vec<VaultSecret>,
    /// How it proves who we are.
    pub authenticator: Option<Authenticator>,
    /// The wished state.
    pub state: watch::Receiver<Option<State>>,
    /// What keeps it from receiving.
    pub problem: watch::Sender<Option<Problem>>,
    /// What it counts.
    pub counts: Arc<PollCounts>,
    /// What it is called: no other poller has this name.
    pub me: String,
    /// What keeps it from storing.
    pub store_problem: Mutex<Option<Problem>>,
}

impl Poller {
    /// Polls until `stop` is cancelled; then the place is given back, and another goes on at the page.
    pub async fn run(self, stop: CancellationToken) {
        let mut state = self.state.clone();
        let mut sight = Sight::default();
        loop {
            let until = if self.receives() { self.turn(&mut sight, &stop).await } else { Timestamp::MAX };
            let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
            tokio::select! {
                () = stop.cancelled() => return,
                _ = state.changed() => {}
                () = tokio::time::sleep(wait.clamp(Duration::from_millis(20), LOOK)) => {}
            }
        }
    }

    /// Looks whether something is due, and does it if nobody else does. Answers until when there is nothing to do.
    async fn turn(&self, sight: &mut Sight, stop: &CancellationToken) -> Timestamp {
        let later = Timestamp::now() + LOOK;
        let read = match self.look().await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "how far polling is can't be read");
                return later;
            }
        };
        let now = Timestamp::now();
        let mut record = read.value.clone().unwrap_or_default();
        self.see(&record);
        // Somebody who is at work, or died at it, is asked after once a second.
        let held = record.holder.is_some();
        let known = record.spec == self.plan.spec;
        run::adopt(&mut record, &self.plan, now);
        if let (Step::Wait(until), false, true) = (run::step(&record, &self.plan, now), held, known) {
            return until;
        }
        let mut lease = match self.take(sight, &read, now).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return later,
            Err(error) => {
                tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "the poller's place can't be taken");
                return later;
            }
        };
        let ended = loop {
            match self.work(&mut lease, stop).await {
                // A person has changed the record: what it says now is done.
                Err(Interrupted::Changed) => {}
                ended => break ended,
            }
        };
        match ended {
            Ok(until) => {
                self.give_back(lease).await;
                until
            }
            Err(Interrupted::Unknown(error)) => {
                tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "how far polling is could not be written; it is read again");
                later
            }
            Err(Interrupted::Taken) => {
                tracing::warn!(integration = %self.store.integration.name, "another worker polls");
                later
            }
            Err(Interrupted::Stopped | Interrupted::Changed) => {
                self.give_back(lease).await;
                later
            }
        }
    }

    /// Whether it is to ask at all: a paused Integration goes on receiving.
    fn receives(&self) -> bool {
        matches!(*self.state.borrow(), Some(State::Running | State::Paused))
    }

    /// Takes note of what the record says.
    fn see(&self, record: &PollRecord) {
        self.counts.saw(record);
        let store = self.store_problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let problem = store.or_else(|| record.problem.clone());
        tell(&self.problem, problem);
    }

    /// Takes note of what keeps it from storing, or that nothing does any more.
    fn report_store(&self, problem: Option<Problem>) {
        *self.store_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem.clone();
        if problem.is_some() {
            self.problem.send_replace(problem);
        }
    }
}
