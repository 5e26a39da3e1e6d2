//! Who asks: the record of an Integration's polling is taken by compare-and-set, kept by every further write, and given
//! back when there is nothing to do. Nobody compares clocks of two machines: who wants it from somebody else waits until it
//! has seen the record unchanged for as long as a term lasts, and who has it stops a margin earlier.

use std::{
    future::Future,
    time::{Instant, SystemTime},
};

use jiff::Timestamp;
use ropeway_crds::{names::poll_key, poll::PollRecord};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::{Poller, run};
use crate::{
    io::{account::Versioned, jetstream::BrokerError},
    term::{LASTS, RENEW, Sight, Term},
};

/// The record while it is ours.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) term: Term,
    pub(super) record: PollRecord,
    revision: u64,
}

/// Why a piece of work was not finished.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Another worker has taken over, or the term has ended.
    Taken,
    /// A person changed the record, which is still ours.
    Changed,
    /// The worker ends, or is to receive no more.
    Stopped,
    /// The record can't be written. Whether it was is not known.
    Unknown(BrokerError),
}

impl Poller {
    /// The record as it is.
    pub(super) async fn look(&self) -> Result<Versioned<PollRecord>, BrokerError> {
        self.store.broker.shared(&poll_key(&self.store.uid)).await
    }

    /// Takes the record, if nobody has it, or whoever had it is no more.
    pub(super) async fn take(
        &self,
        sight: &mut Sight,
        read: &Versioned<PollRecord>,
        now: Timestamp,
    ) -> Result<Option<Lease>, BrokerError> {
        let unchanged = sight.unchanged(read.revision);
        let mut record = read.value.clone().unwrap_or_default();
        let others = record.holder.as_ref().is_some_and(|holder| *holder != self.me);
        if others && unchanged < LASTS {
            return Ok(None);
        }
        run::adopt(&mut record, &self.plan, now);
        record.holder = Some(self.me.clone());
        record.epoch += 1;
        let asked = (Instant::now(), SystemTime::now());
        let revision = self.store.broker.share(&poll_key(&self.store.uid), &record, read.revision).await?;
        if others && revision.is_some() {
            tracing::info!(integration = %self.store.integration.name, "this worker polls from now on; the one before it is gone");
        }
        Ok(revision.map(|revision| Lease { term: Term::from(asked), record, revision }))
    }

    /// Writes the record as it is in the lease.
    pub(super) async fn write(&self, lease: &mut Lease) -> Result<(), Interrupted> {
        let key = poll_key(&self.store.uid);
        let asked = (Instant::now(), SystemTime::now());
        let write = self.store.broker.share(&key, &lease.record, lease.revision);
        let written = lease.term.fence(write).await.ok_or(Interrupted::Taken)?;
        if let Some(revision) = written.map_err(Interrupted::Unknown)? {
            lease.term.extend(asked);
            lease.revision = revision;
            return Ok(());
        }
        let found = self.look().await.map_err(Interrupted::Unknown)?;
        match found.value {
            Some(record) if record.holder.as_ref() == Some(&self.me) && record.epoch == lease.record.epoch => {
                lease.record = record;
                lease.revision = found.revision;
                Err(Interrupted::Changed)
            }
            _ => Err(Interrupted::Taken),
        }
    }

    /// Does something that may take longer than a term; it is dropped when the lease is lost.
    pub(super) async fn keeping<T>(
        &self,
        lease: &mut Lease,
        stop: &CancellationToken,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, Interrupted> {
        let mut work = lease.term.fence(work);
        let mut state = self.state.clone();
        let mut renew = interval(RENEW);
        renew.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done.ok_or(Interrupted::Taken),
                _ = renew.tick() => self.write(lease).await?,
                () = stop.cancelled() => return Err(Interrupted::Stopped),
                _ = state.changed() => if !self.receives() { return Err(Interrupted::Stopped) },
            }
        }
    }

    /// Gives the record back, so that another need not wait until the term has ended. Best effort.
    pub(super) async fn give_back(&self, mut lease: Lease) {
        // Once more where a person has changed it in the meantime.
        for _ in 0..2 {
            lease.record.holder = None;
            let now = Timestamp::now();
            lease.record.next = Some(run::next_start(&lease.record, &self.plan, now).max(now));
            match self.write(&mut lease).await {
                Err(Interrupted::Changed) => {}
                Err(Interrupted::Unknown(error)) => {
                    tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "the poller's place could not be given back; it is free after a while");
                    return;
                }
                _ => return,
            }
        }
    }
}
