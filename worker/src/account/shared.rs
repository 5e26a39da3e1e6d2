//! Keeps every account and lane of a worker up to date with what others write into the bucket.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt;
use ropeway_crds::{
    account::LaneHold,
    names::{circuit_key, hold_key, limit_key},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Account;
use crate::io::{
    account::{Change, Versioned},
    jetstream::{Broker, BrokerError},
};

/// How long to wait before a watch that ended is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a lane is held, as all workers know it.
pub type Hold = watch::Sender<Versioned<LaneHold>>;

/// Everything that changes in the bucket, by key.
#[derive(Debug, Default)]
pub struct Watched {
    circuits: HashMap<String, Arc<Account>>,
    limits: HashMap<String, Arc<Account>>,
    holds: HashMap<String, Arc<Hold>>,
}

impl Watched {
    /// Follows an account.
    pub fn account(&mut self, account: &Arc<Account>) {
        self.circuits.insert(circuit_key(&account.id), Arc::clone(account));
        self.limits.insert(limit_key(&account.id), Arc::clone(account));
    }

    /// Follows whether a lane is held.
    pub fn lane(&mut self, lane: &ropeway_crds::names::LaneId, hold: &Arc<Hold>) {
        self.holds.insert(hold_key(lane), Arc::clone(hold));
    }

    /// Follows the bucket until `stop` is cancelled. While it can't be watched, what was known last stands.
    pub async fn run(self, broker: Broker, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.follow(&broker)).await {
                tracing::warn!(%error, cause = %error.source, "what is shared can't be followed; it is tried again");
            }
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    async fn follow(&self, broker: &Broker) -> Result<(), BrokerError> {
        let mut changes = std::pin::pin!(broker.watch_shared().await?);
        while let Some(change) = changes.next().await {
            self.learn(&change?);
        }
        Ok(())
    }

    fn learn(&self, change: &Change) {
        if let Some(account) = self.circuits.get(&change.key) {
            account.learn_circuit(change.read());
        } else if let Some(account) = self.limits.get(&change.key) {
            account.pace().learn(change.read());
        } else if let Some(hold) = self.holds.get(&change.key) {
            learn_hold(hold, change.read());
        }
    }
}

/// Takes what was read from the bucket, unless something newer is known.
pub fn learn_hold(hold: &Hold, read: Versioned<LaneHold>) {
    hold.send_if_modified(|known| {
        let newer = read.revision > known.revision;
        if newer {
            *known = read;
        }
        newer
    });
}
