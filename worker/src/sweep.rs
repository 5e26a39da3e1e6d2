//! Sweeps the retries stream. After a broker was killed, messages that were acknowledged can be there again although no
//! consumer will ever hand them out: they lie at or below their consumer's acknowledgement floor. They hold no event that is
//! owed to anybody, but they would stay for ever.

use std::{sync::Arc, time::Duration};

use ropeway_crds::names::LaneId;
use tokio_util::sync::CancellationToken;

use crate::{
    count::Tally,
    io::jetstream::{AckFloor, Broker, BrokerError},
};

/// How often it is looked whether something lies there.
const PERIOD: Duration = Duration::from_secs(60);

/// Sweeps what is left of the retries of a worker's lanes.
#[derive(Debug)]
pub struct Sweeper {
    /// The lanes, each with what it counts: one that never had a retry is not looked at.
    pub lanes: Vec<(LaneId, Arc<Tally>)>,
    /// The connection.
    pub broker: Broker,
}

impl Sweeper {
    /// Sweeps once a minute until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            for (lane, tally) in &self.lanes {
                let total = tally.total();
                if total.retried + total.held + total.resent == 0 {
                    continue;
                }
                if let Err(error) = self.sweep(lane).await {
                    tracing::warn!(%lane, %error, cause = %error.source, "sweeping the retries failed; it is tried again");
                }
            }
        }
    }

    async fn sweep(&self, lane: &LaneId) -> Result<(), BrokerError> {
        let retries = self.broker.names.retries_stream();
        if let AckFloor::At(floor) = self.broker.ack_floor(&retries, lane).await?
            && floor > 0
        {
            self.broker.purge_subject_below(&retries, &self.broker.names.again(lane), floor + 1).await?;
        }
        Ok(())
    }
}
