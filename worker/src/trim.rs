//! Trims an Integration's events stream to what every configured lane has settled. The decision is pure and stands in
//! `ropeway_crds::trim`; here it is asked for, recorded, and only then carried out.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use ropeway_crds::names::{LaneId, ShortUid, events_stream};
use tokio_util::sync::CancellationToken;

use crate::{
    fault::{self, Step},
    io::jetstream::{AckFloor, Broker, BrokerError},
};

/// How often it is looked whether something can go.
const PERIOD: Duration = Duration::from_secs(2);

/// What is trimmed, and for whom.
#[derive(Clone, Debug)]
pub struct Trimmer {
    /// The Integration.
    pub uid: ShortUid,
    /// Its lanes by destination name, as this worker is configured.
    pub lanes: Vec<(String, LaneId)>,
    /// How long settled events are kept.
    pub retain: Duration,
    /// The connection.
    pub broker: Broker,
}

impl Trimmer {
    /// Trims every two seconds until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            if let Err(error) = self.trim(Timestamp::now()).await {
                tracing::warn!(integration = %self.uid, %error, cause = %error.source, "trimming the events stream failed; it is tried again");
            }
        }
    }

    /// One look, and what follows from it.
    ///
    /// # Errors
    /// If NATS can't be asked or does not confirm. Nothing is purged then that was not recorded before.
    pub async fn trim(&self, now: Timestamp) -> Result<(), BrokerError> {
        let stream = events_stream(&self.uid);
        let Some((record, revision)) = self.broker.trim_record(&self.uid).await? else { return Ok(()) };
        let (first, last) = self.broker.bounds(&stream).await?;
        if record.floor >= last && (first > record.floor || record.floor == 0) {
            // Nothing is left that could go, so nobody needs to be asked how far they are.
            return Ok(());
        }
        let mut acknowledged = BTreeMap::new();
        for (destination, lane) in &self.lanes {
            if let AckFloor::At(floor) = self.broker.ack_floor(&stream, lane).await? {
                acknowledged.insert(destination.clone(), floor);
            }
        }
        let configured: Vec<&str> = self.lanes.iter().map(|(destination, _)| destination.as_str()).collect();
        let old_enough = self.old_enough(&stream, now).await?;
        let floor = match record.advance(&configured, &acknowledged, old_enough) {
            Some(next) => {
                if !self.broker.replace_trim_record(&self.uid, &next, revision).await? {
                    // Another worker or the operator was quicker; what it wrote is looked at next time.
                    return Ok(());
                }
                fault::reached(Step::TrimRecorded);
                next.floor
            }
            // A worker may have died between its record and its purge.
            None => record.floor,
        };
        if first <= floor {
            self.broker.purge_below(&stream, floor + 1).await?;
        }
        Ok(())
    }

    /// The highest sequence that is old enough to go, found by halving.
    async fn old_enough(&self, stream: &str, now: Timestamp) -> Result<u64, BrokerError> {
        if self.retain.is_zero() {
            return Ok(u64::MAX);
        }
        let Ok(limit) = now.checked_sub(self.retain) else { return Ok(0) };
        let (first, last) = self.broker.bounds(stream).await?;
        // Everything below `low` is old enough, everything from `high` on is not.
        let (mut low, mut high) = (first, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.broker.stored_at(stream, middle).await? {
                Some(stored) if stored >= limit => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(low.saturating_sub(1))
    }
}
