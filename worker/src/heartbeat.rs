//! What a worker says to the operator, and what it hears: a heartbeat every two seconds, the wish every second, and the
//! counts once a second.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ropeway_auth::credentials::Credentials;
use ropeway_crds::{
    integration::State,
    names::{LaneId, ShortUid},
    report::{HEARTBEAT_SECONDS, LaneReport, Problem, WorkerReport},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{count::Tally, io::jetstream::Broker};

/// One lane as its heartbeat sees it.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// Name of the destination within the Integration.
    pub destination: String,
    /// The lane.
    pub lane: LaneId,
    /// What it counts.
    pub tally: Arc<Tally>,
    /// What it proves itself with.
    pub credentials: Option<Credentials>,
}

impl Pulse {
    fn report(&self) -> LaneReport {
        let token = self.credentials.as_ref().and_then(Credentials::token);
        LaneReport { token, ..self.tally.report(&self.destination) }
    }
}

/// One Integration's heartbeat in this worker.
#[derive(Debug)]
pub struct Heartbeat {
    /// The worker's name.
    pub worker: String,
    /// The fingerprint of its configuration.
    pub config: String,
    /// The Integration.
    pub uid: ShortUid,
    /// Its lanes.
    pub pulses: Vec<Pulse>,
    /// What keeps the worker from receiving, if it receives at all.
    pub source_problem: watch::Receiver<Option<Problem>>,
    /// The connection.
    pub broker: Broker,
}

/// Additions that the server has not confirmed yet. They keep their ids, so that a repeat changes nothing.
type Additions = Vec<(LaneId, &'static str, u64, String)>;

impl Heartbeat {
    /// Beats until `stop` is cancelled, then flushes the counts and takes the heartbeat away. `state` gets the wish.
    pub async fn run(self, state: watch::Sender<Option<State>>, stop: CancellationToken) {
        let instance = ulid::Ulid::generate().to_string();
        let mut additions = Additions::new();
        let mut ticks: i64 = 0;
        loop {
            self.hear(&state).await;
            self.flush(&mut additions, &format!("{instance}:{ticks}")).await;
            if ticks % HEARTBEAT_SECONDS == 0
                && let Err(error) = self.broker.beat(&self.uid, &self.report(Timestamp::now())).await
            {
                tracing::warn!(integration = %self.uid, %error, cause = %error.source, "a heartbeat could not be written");
            }
            ticks += 1;
            if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
                break;
            }
        }
        self.flush(&mut additions, &format!("{instance}:{ticks}")).await;
        if let Err(error) = self.broker.stop_beating(&self.uid, &self.worker).await {
            tracing::warn!(integration = %self.uid, %error, "the heartbeat could not be taken away; it ages out");
        }
    }

    /// Hands on what the operator wishes. While it can't be read, the last wish stands.
    async fn hear(&self, state: &watch::Sender<Option<State>>) {
        match self.broker.wish(&self.uid).await {
            Ok(wish) => {
                let wished = wish.map(|wish| wish.state);
                state.send_if_modified(|known| std::mem::replace(known, wished) != wished);
            }
            Err(error) => {
                tracing::warn!(integration = %self.uid, %error, cause = %error.source, "the wished state could not be read; the last one stands");
            }
        }
    }

    /// Adds what was counted to the counter stream.
    async fn flush(&self, additions: &mut Additions, id: &str) {
        for pulse in &self.pulses {
            for (word, amount) in pulse.tally.take_unflushed().entries().filter(|(_, amount)| *amount > 0) {
                additions.push((pulse.lane.clone(), word, amount, format!("{id}:{}:{word}", pulse.lane)));
            }
        }
        let mut left = Additions::new();
        for (lane, word, amount, id) in additions.drain(..) {
            // After one failure the rest waits: the server is out of reach.
            if !left.is_empty() || self.broker.add(&self.uid, &lane, word, amount, &id).await.is_err() {
                left.push((lane, word, amount, id));
            }
        }
        *additions = left;
    }

    fn report(&self, now: Timestamp) -> WorkerReport {
        let lanes: Vec<LaneReport> = self.pulses.iter().map(Pulse::report).collect();
        let mut effective = self.pulses.iter().map(|pulse| pulse.tally.effective());
        let first = effective.next().flatten();
        WorkerReport {
            worker: self.worker.clone(),
            config: self.config.clone(),
            state: first.filter(|first| effective.all(|state| state == Some(*first))),
            time: now,
            source_problem: self.source_problem.borrow().clone(),
            lanes,
        }
    }
}
