//! The part of the pace that is shared: slots are leased here, and the destination's wish to be asked less often is passed on.

use std::time::Duration;

use jiff::Timestamp;
use ropeway_crds::names::limit_key;
use tokio::time::{Instant, sleep};

use super::{CLOCK_PERIOD, Pace};
use crate::{
    account::{TRIES, limit},
    io::account::Versioned,
};

impl Pace {
    /// Takes slots out of the shared record, and says that this worker is there. When the record can't be reached, this
    /// worker serves its share of the limit on its own.
    pub(super) async fn lease(&self) {
        let _one_at_a_time = self.leasing.lock().await;
        if self.has_slots() {
            return;
        }
        self.set_clock().await;
        let key = limit_key(&self.id);
        for _ in 0..TRIES {
            let (known, now) = {
                let inner = self.lock();
                (inner.known.clone(), Timestamp::now().as_microsecond() + inner.offset)
            };
            let record = known.value.clone().unwrap_or_default();
            let (next, lease) = limit::lease(&record, &self.policy, &self.worker, now);
            match self.broker.share(&key, &next, known.revision).await {
                Ok(Some(revision)) => {
                    let mut inner = self.lock();
                    if let Some(lease) = lease {
                        inner.slots.add(&lease);
                        inner.leased_until = lease.first + lease.count * lease.step;
                    }
                    inner.renewed = Some(Instant::now());
                    if revision > inner.known.revision {
                        inner.known = Versioned { value: Some(next), revision };
                    }
                    return;
                }
                Ok(None) => match self.broker.shared(&key).await {
                    Ok(read) => self.learn(read),
                    Err(_) => break,
                },
                Err(error) => {
                    tracing::warn!(account = %self.id, %error, cause = %error.source, "the rate limit can't be shared; this worker keeps to its share");
                    break;
                }
            }
            sleep(Duration::from_millis(rand::random_range(1..10))).await;
        }
        self.serve_alone();
    }

    fn has_slots(&self) -> bool {
        let inner = self.lock();
        !inner.is_stale() && (self.policy.limit.is_none() || !inner.slots.is_empty())
    }

    fn serve_alone(&self) {
        let mut inner = self.lock();
        let now = Timestamp::now().as_microsecond() + inner.offset;
        let record = inner.known.value.clone().unwrap_or_default();
        if let Some(rate) = &self.policy.limit {
            let lease = limit::alone(&record, rate, inner.leased_until, now);
            inner.slots.add(&lease);
            inner.leased_until = lease.first + lease.count * lease.step;
        }
        inner.renewed = Some(Instant::now());
    }

    async fn set_clock(&self) {
        if self.lock().offset_known.is_some_and(|known| known.elapsed() < CLOCK_PERIOD) {
            return;
        }
        match self.broker.clock_offset().await {
            Ok(offset) => {
                let mut inner = self.lock();
                inner.offset = offset;
                inner.offset_known = Some(Instant::now());
            }
            Err(error) => tracing::warn!(account = %self.id, %error, "the server's clock could not be read"),
        }
    }

    /// The destination said that it is asked too often, or that its window is used up: all workers wait for so long and, if
    /// `limited`, go on more slowly.
    pub async fn slow_down(&self, pause: Option<Duration>, limited: bool) {
        if pause.is_none() && (!limited || self.policy.limit.is_none()) {
            return;
        }
        self.set_clock().await;
        let key = limit_key(&self.id);
        for _ in 0..TRIES {
            let (known, next) = {
                let mut inner = self.lock();
                let now = (Timestamp::now().as_microsecond() + inner.offset) / 1_000;
                let until = pause.map(|pause| now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)));
                let record = inner.known.value.clone().unwrap_or_default();
                let next = limit::slow_down(&record, until, limited, now);
                if next == record {
                    return;
                }
                // In this worker it counts at once, whatever becomes of the write.
                inner.slots.clear();
                inner.known.value = Some(next.clone());
                (inner.known.revision, next)
            };
            match self.broker.share(&key, &next, known).await {
                Ok(Some(revision)) => return self.learn(Versioned { value: Some(next), revision }),
                Ok(None) => match self.broker.shared(&key).await {
                    Ok(read) => self.learn(read),
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    }
}
