//! Which worker an ordered lane works in: a record that is taken by compare-and-set, renewed, and given back. Nobody
//! compares clocks of two machines: who wants it waits until it has seen the record unchanged for [`LASTS`] on its own
//! clock, and who has it counts from the moment at which it asked for it, and stops a margin earlier.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime},
};

use futures::future::BoxFuture;
use ropeway_crds::{account::TurnRecord, names::turn_key};
use tokio::{
    sync::watch,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    io::{account::Versioned, jetstream::BrokerError},
    lane::Lane,
    term::{LASTS, RENEW, Sight, Term},
};

/// How often who waits for it looks.
const LOOK: Duration = Duration::from_millis(500);

/// A turn that was taken.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) term: Term,
    record: TurnRecord,
    revision: u64,
    /// Whether the one before did not give it back: it may have died of what it worked on.
    pub(super) inherited: bool,
}

impl Lane {
    /// Waits for the lane's turn and takes it. `None` where something else came first.
    pub(super) async fn take_turn<S: Send + Sync>(
        &self,
        state: &mut watch::Receiver<S>,
        stop: &CancellationToken,
    ) -> Option<Turn> {
        let key = turn_key(&self.id);
        let me = format!("{}/{:x}", self.worker, rand::random::<u64>());
        let mut sight = Sight::default();
        loop {
            match self.broker.shared::<TurnRecord>(&key).await {
                Ok(read) => {
                    let unchanged = sight.unchanged(read.revision);
                    if let Some(turn) = self.try_turn(&key, &me, read, unchanged).await {
                        return Some(turn);
                    }
                }
                Err(error) => {
                    tracing::warn!(lane = %self.id, %error, cause = %error.source, "whose turn it is can't be read")
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = state.changed() => return None,
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn try_turn(&self, key: &str, me: &str, read: Versioned<TurnRecord>, unchanged: Duration) -> Option<Turn> {
        let before = read.value.unwrap_or_default();
        let inherited = before.holder.is_some();
        if inherited && unchanged < LASTS {
            return None;
        }
        let record = TurnRecord { holder: Some(me.to_owned()), epoch: before.epoch + 1 };
        let asked = (Instant::now(), SystemTime::now());
        let revision = self.broker.share(key, &record, read.revision).await.ok()??;
        tracing::info!(lane = %self.id, epoch = record.epoch, inherited, "this worker delivers the ordered lane from now on");
        Some(Turn { term: Term::from(asked), record, revision, inherited })
    }

    /// Asks for more time. Answers the new revision, or none where another has taken the turn.
    pub(super) fn renew_turn<'a>(&'a self, turn: &Turn) -> BoxFuture<'a, Result<Option<u64>, BrokerError>> {
        let (record, revision, term) = (turn.record.clone(), turn.revision, turn.term.clone());
        Box::pin(async move {
            let asked = (Instant::now(), SystemTime::now());
            let renewed = self.broker.share(&turn_key(&self.id), &record, revision).await?;
            if renewed.is_some() {
                term.extend(asked);
            }
            Ok(renewed)
        })
    }

    /// Gives the turn back, so that another need not wait until it has ended. Best effort.
    pub(super) async fn give_turn_back(&self, turn: Turn) {
        let record = TurnRecord { holder: None, ..turn.record };
        if let Err(error) = self.broker.share(&turn_key(&self.id), &record, turn.revision).await {
            tracing::warn!(lane = %self.id, %error, cause = %error.source, "the turn could not be given back; it ends by itself");
        }
    }

    /// Does something that may take longer than a turn. `None` where the turn was lost.
    pub(super) async fn keeping<T>(&self, turn: &mut Turn, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut renew = interval(RENEW);
        loop {
            tokio::select! {
                done = &mut work => return turn.term.holds().then_some(done),
                _ = renew.tick() => {
                    let answer = self.renew_turn(turn).await;
                    if !turn.renewed(answer) {
                        return None;
                    }
                }
            }
        }
    }
}

impl Turn {
    /// Takes what a renewal brought. Answers whether the turn is still ours.
    pub(super) fn renewed(&mut self, answer: Result<Option<u64>, BrokerError>) -> bool {
        match answer {
            Ok(Some(revision)) => self.revision = revision,
            Ok(None) => return false,
            // A write whose answer was lost may have taken effect; then the next one finds another revision and ends this.
            Err(error) => {
                tracing::warn!(%error, cause = %error.source, "a turn could not be renewed; it is tried again")
            }
        }
        true
    }
}
