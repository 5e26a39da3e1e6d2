//! How fast one Destination is served: permits are given out here, one for each request.
//!
//! A permit is a place among the requests under way and, where there is a rate limit, a slot of time. Nothing is held
//! while waiting for either.

mod lease;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use ropeway_crds::{account::LimitRecord, limits::RatePolicy, names::ShortUid};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    Account,
    limit::{self, RENEW_AFTER, Slots, Take},
};
use crate::io::{account::Versioned, jetstream::Broker};

/// Requests under way at a time in one worker, where the Destination sets no limit over all workers.
pub const CONCURRENCY: usize = 64;

/// How often the server's clock is asked for.
const CLOCK_PERIOD: Duration = Duration::from_secs(30);

/// The longest nap before it is looked again whether something has changed.
const NAP: Duration = Duration::from_secs(1);

/// The pace of one Destination in this worker.
#[derive(Debug)]
pub struct Pace {
    id: ShortUid,
    worker: String,
    policy: RatePolicy,
    broker: Broker,
    inner: Mutex<Inner>,
    under_way: AtomicUsize,
    changed: Notify,
    leasing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    known: Versioned<LimitRecord>,
    slots: Slots,
    /// The end of the last lease, in microseconds of the server's clock.
    leased_until: i64,
    /// When this worker last said that it is there.
    renewed: Option<Instant>,
    /// How far the server's clock is ahead, in microseconds.
    offset: i64,
    offset_known: Option<Instant>,
}

impl Inner {
    /// Whether this worker has not said for too long that it is there.
    fn is_stale(&self) -> bool {
        self.renewed.is_none_or(|renewed| renewed.elapsed().as_millis() > RENEW_AFTER.unsigned_abs().into())
    }
}

/// The right to send one request. It ends when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Account>);

impl Drop for Permit {
    fn drop(&mut self) {
        let pace = self.0.pace();
        pace.under_way.fetch_sub(1, Ordering::AcqRel);
        pace.changed.notify_one();
    }
}

/// What has to happen before a request may be sent.
enum Wait {
    Change,
    For(Duration),
    Lease,
}

impl Pace {
    pub(super) fn new(id: ShortUid, worker: &str, policy: RatePolicy, broker: Broker) -> Self {
        Self {
            id,
            worker: worker.to_owned(),
            policy,
            broker,
            inner: Mutex::default(),
            under_way: AtomicUsize::new(0),
            changed: Notify::new(),
            leasing: tokio::sync::Mutex::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether answers slow deliveries down.
    pub fn honors_headers(&self) -> bool {
        self.policy.honor_response_headers
    }

    /// How many requests are worth preparing: as many as may be under way, or fewer where the rate is low.
    pub fn worth_preparing(&self) -> usize {
        let by_rate = self.policy.limit.map_or(usize::MAX, |rate| {
            let a_second =
                u64::from(rate.requests) * 1_000 / u64::try_from(rate.per.std().as_millis()).unwrap_or(1).max(1);
            usize::try_from(2 * a_second).unwrap_or(usize::MAX).max(2)
        });
        let most = self.policy.max_concurrency.map_or(CONCURRENCY, |most| usize::try_from(most).unwrap_or(CONCURRENCY));
        by_rate.min(most).clamp(1, 1_000)
    }

    /// Whether this worker may send at all. Where fewer requests may be under way than there are workers, some may not; they
    /// must not take events that others could send.
    pub fn has_share(&self) -> bool {
        let Some(most) = self.policy.max_concurrency else { return true };
        let inner = self.lock();
        let record = inner.known.value.as_ref();
        // One that has not said lately that it is there finds out when it does.
        inner.is_stale() || record.is_none_or(|record| limit::share(record, most, &self.worker) > 0)
    }

    /// How many requests of this worker are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    /// Takes what was read from the bucket, unless something newer is known.
    pub fn learn(&self, read: Versioned<LimitRecord>) {
        let mut inner = self.lock();
        if read.revision > inner.known.revision {
            // What was leased at a faster pace must not be used at a slower one.
            let factor = |known: &Versioned<LimitRecord>| known.value.as_ref().map(|value| value.factor);
            if factor(&read) < factor(&inner.known) {
                inner.slots.clear();
            }
            inner.known = read;
            drop(inner);
            self.changed.notify_waiters();
        }
    }

    /// A permit if there is one at once.
    pub fn try_permit(&self, account: &Arc<Account>) -> Option<Permit> {
        self.take(false).ok().map(|()| Permit(Arc::clone(account)))
    }

    /// Waits for a permit.
    pub async fn permit(&self, account: &Arc<Account>) -> Permit {
        self.allowed(false).await;
        Permit(Arc::clone(account))
    }

    /// Waits until one who holds a permit may send another request on it. A second permit could never come where all are held
    /// by those who wait for one.
    pub async fn again(&self) {
        self.allowed(true).await;
    }

    async fn allowed(&self, held: bool) {
        loop {
            let changed = self.changed.notified();
            match self.take(held) {
                Ok(()) => return,
                Err(Wait::Change) => drop(timeout(NAP, changed).await),
                Err(Wait::For(wait)) if wait < Duration::from_millis(50) => sleep(wait).await,
                Err(Wait::For(wait)) => drop(timeout(wait.min(NAP), changed).await),
                Err(Wait::Lease) => self.lease().await,
            }
        }
    }

    /// Takes what a request needs: time at the pace, and a place among those under way unless one is `held`.
    fn take(&self, held: bool) -> Result<(), Wait> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let now = Timestamp::now().as_microsecond() + inner.offset;
        let unknown = LimitRecord::default();
        let record = inner.known.value.as_ref().unwrap_or(&unknown);
        let closed = record.closed_until.saturating_mul(1_000) - now;
        if closed > 0 {
            return Err(Wait::For(Duration::from_micros(u64::try_from(closed).unwrap_or(0))));
        }
        let shared = self.policy.max_concurrency.is_some();
        if shared && inner.is_stale() {
            return Err(Wait::Lease);
        }
        let most = self.policy.max_concurrency.map_or(CONCURRENCY, |most| limit::share(record, most, &self.worker));
        if !held && self.under_way.load(Ordering::Acquire) >= most {
            return Err(Wait::Change);
        }
        if let Some(rate) = &self.policy.limit {
            match inner.slots.take(limit::lateness(rate, record.factor), now) {
                Take::Now => {}
                Take::At(at) => {
                    return Err(Wait::For(Duration::from_micros(u64::try_from(at - now).unwrap_or(0))));
                }
                Take::Empty => return Err(Wait::Lease),
            }
        }
        self.under_way.fetch_add(usize::from(!held), Ordering::AcqRel);
        Ok(())
    }
}
