//! What a worker knows about one Destination, shared by all its lanes that send there and, through KV, with all other
//! workers: whether its circuit is closed, how fast it may be served, and what is left for failing retries.
//!
//! The decisions are pure and stand in [`breaker`], [`limit`] and [`budget`].

pub mod breaker;
pub mod budget;
pub mod limit;
mod pace;
pub mod shared;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    account::{CircuitRecord, CircuitState},
    circuit::{Event, next},
    limits::{BreakerPolicy, RatePolicy},
    names::{ShortUid, circuit_key, limit_key},
};
use tokio::{sync::watch, time::Instant};

use self::{
    breaker::{Sign, Window},
    budget::Budget,
    pace::Pace,
};
use crate::io::{
    account::Versioned,
    jetstream::{Broker, BrokerError},
};

pub use pace::{CONCURRENCY, Permit};

/// How often a write that others outran is tried again.
const TRIES: usize = 8;

/// One Destination as this worker sees it.
#[derive(Debug)]
pub struct Account {
    id: ShortUid,
    worker: String,
    policy: BreakerPolicy,
    broker: Broker,
    circuit: watch::Sender<Versioned<CircuitRecord>>,
    window: Mutex<Window>,
    budget: Mutex<Budget>,
    began: Instant,
    pace: Pace,
    /// Whether the bucket was read at least once: a worker that has just started must not send what is held.
    known: AtomicBool,
}

/// Whether a destination may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// As usual.
    Closed,
    /// Not at all; a probe may be tried after this time, if one is planned.
    Open(Option<Duration>),
}

impl Account {
    /// An account with these policies, as the worker of this name sees it.
    pub fn new(id: ShortUid, worker: &str, policy: BreakerPolicy, rate: RatePolicy, broker: Broker) -> Self {
        Self {
            pace: Pace::new(id.clone(), worker, rate, broker.clone()),
            id,
            worker: worker.to_owned(),
            policy,
            broker,
            circuit: watch::channel(Versioned::default()).0,
            window: Mutex::default(),
            budget: Mutex::new(Budget::new(0)),
            began: Instant::now(),
            known: AtomicBool::new(false),
        }
    }

    /// How fast it is served.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Changes of the circuit.
    pub fn circuit_changes(&self) -> watch::Receiver<Versioned<CircuitRecord>> {
        self.circuit.subscribe()
    }

    /// Whether the destination may be sent to.
    pub fn circuit(&self, now: Timestamp) -> Circuit {
        let known = self.circuit.borrow();
        let Some(record) = &known.value else { return Circuit::Closed };
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        match record.state {
            CircuitState::Closed => Circuit::Closed,
            CircuitState::Open => Circuit::Open(record.next_probe.map(until)),
            CircuitState::HalfOpen => Circuit::Open(record.probe.as_ref().map(|probe| until(probe.until))),
        }
    }

    /// Reads the circuit and the limit, if that was not done yet.
    ///
    /// # Errors
    /// If the bucket can't be read; nothing may be sent then.
    pub async fn look(&self) -> Result<(), BrokerError> {
        if !self.known.load(Ordering::Acquire) {
            self.learn_circuit(self.broker.shared(&circuit_key(&self.id)).await?);
            self.pace.learn(self.broker.shared(&limit_key(&self.id)).await?);
            self.known.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes what was read from the bucket, unless something newer is known.
    pub fn learn_circuit(&self, read: Versioned<CircuitRecord>) {
        let closes = read.value.as_ref().is_some_and(|record| record.state == CircuitState::Closed);
        let changed = self.circuit.send_if_modified(|known| {
            let newer = read.revision > known.revision;
            if newer {
                *known = read;
            }
            newer
        });
        if changed && closes {
            // What was seen before says nothing about a destination that answers again.
            lock(&self.window).clear();
        }
    }

    /// Notes what a request showed. It may open the circuit; answers whether it did.
    pub async fn note(&self, sign: &Sign, retry: bool) -> bool {
        let now = Timestamp::now();
        {
            let mut budget = lock(&self.budget);
            budget.sent();
            if retry && matches!(sign, Sign::Failed(_)) {
                budget.retry_failed();
            }
        }
        let event = lock(&self.window).note(sign, &self.policy, now);
        if let Some(event) = event
            && Box::pin(self.transition(&event)).await
            && let Event::Trip { cause, reason } = &event
        {
            lock(&self.window).clear();
            tracing::warn!(account = %self.id, cause = cause.as_str(), reason, "the circuit opened");
            return true;
        }
        false
    }

    /// How long retries should wait, so that failing ones stay within their budget.
    pub fn retry_pause(&self) -> Duration {
        let now = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let wait = lock(&self.budget).wait(now);
        Duration::from_millis(u64::try_from(wait).unwrap_or(0))
    }

    /// Takes the right to make a probe. Only one holder has it at a time.
    pub async fn take_probe(&self, lane: &str, timeout: Duration) -> bool {
        let patience = SignedDuration::try_from(timeout * 2 + Duration::from_secs(5)).unwrap_or(SignedDuration::MAX);
        self.transition(&Event::Probe { holder: self.holder(lane), patience }).await
    }

    /// Says what a probe showed.
    pub async fn probed(&self, lane: &str, sign: Option<&Sign>) {
        let holder = self.holder(lane);
        let event = match sign {
            Some(Sign::Answered | Sign::Forbidden { .. }) => Event::ProbeSucceeded { holder },
            Some(Sign::Failed(reason)) => {
                Event::ProbeFailed { holder, cause: ropeway_crds::account::Cause::Errors, reason: reason.clone() }
            }
            Some(Sign::Blocked(cause, reason)) => Event::ProbeFailed { holder, cause: *cause, reason: reason.clone() },
            Some(Sign::Limited) | None => Event::ProbeUnused { holder },
        };
        self.transition(&event).await;
    }

    fn holder(&self, lane: &str) -> String {
        format!("{lane}/{}", self.worker)
    }

    /// Makes a transition and tells all workers. Answers whether it was made. When the bucket can't be written, this worker
    /// alone acts on it, unless it would be a probe.
    async fn transition(&self, event: &Event) -> bool {
        let key = circuit_key(&self.id);
        for _ in 0..TRIES {
            let known = self.circuit.borrow().clone();
            let now = Timestamp::now();
            let record = known.value.unwrap_or_else(|| CircuitRecord::closed(now));
            let Some(changed) = next(&record, event, &self.policy, now) else { return false };
            match self.broker.share(&key, &changed, known.revision).await {
                Ok(Some(revision)) => {
                    self.learn_circuit(Versioned { value: Some(changed), revision });
                    return true;
                }
                Ok(None) => match self.broker.shared(&key).await {
                    Ok(read) => self.learn_circuit(read),
                    Err(_) => return false,
                },
                Err(error) => {
                    tracing::warn!(account = %self.id, %error, cause = %error.source, "a transition of the circuit could not be shared");
                    if matches!(event, Event::Probe { .. }) {
                        return false;
                    }
                    self.circuit.send_modify(|known| known.value = Some(changed));
                    return true;
                }
            }
        }
        false
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All accounts of a worker, by Destination.
pub type Accounts = std::collections::HashMap<ShortUid, Arc<Account>>;
