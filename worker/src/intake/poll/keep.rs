//! Stores the items of a page. First they are stored, then they are remembered: an item that was only remembered would be
//! lost. Whatever can't be stored now waits here with its page; nothing is skipped.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{names::hash, worker_config::MAX_EVENT_BYTES};
use serde_json::value::RawValue;

use super::{
    Poller,
    run::{PageFacts, problem},
};
use crate::{
    fault::{self, Step as Fault},
    intake::store::{Incoming, Known},
    io::jetstream::BrokerError,
};

/// How many items are stored without waiting for an acknowledgement.
const AT_A_TIME: usize = 100;

/// The pause before what could not be stored is stored again.
const PAUSE: Duration = Duration::from_secs(1);

/// An item as it is kept.
enum Kept {
    Event(Box<Incoming>),
    Refused { body: Bytes, place: String, why: &'static str },
}

impl Poller {
    /// Stores items with the value of their cursor, and remembers them. Comes back when all is safe.
    pub(super) async fn store_items(
        &self,
        items: Vec<(usize, &RawValue, Option<String>)>,
        page: u64,
        reading: Option<&str>,
        mut facts: PageFacts,
    ) -> PageFacts {
        let kept = items.into_iter().map(|(index, item, value)| {
            let place = format!("page {page}, item {}", index + 1);
            self.kept(item, value.as_deref(), reading, place)
        });
        let kept: Vec<(String, Kept)> = kept.collect();
        let keys: Vec<String> = kept.iter().map(|(key, _)| key.clone()).collect();
        let (uid, broker) = (&self.store.uid, &self.store.broker);
        let seen = self.patiently(|| broker.seen(uid, &keys)).await;
        let now = Timestamp::now();
        let memory = self.plan.memory(now);
        let mut to_remember = Vec::new();
        let mut events = Vec::new();
        for ((key, kept), seen) in kept.into_iter().zip(seen) {
            if seen.is_none_or(|seen| is_fading(seen, memory, now)) {
                to_remember.push(key);
            }
            match (kept, seen) {
                (_, Some(_)) => facts.repeated += 1,
                (Kept::Event(event), None) => events.push(*event),
                (Kept::Refused { body, place, why }, None) => {
                    self.patiently(|| self.store.refuse(body.clone(), &place, why, now)).await;
                    facts.refused += 1;
                }
            }
        }
        for events in events.chunks(AT_A_TIME) {
            let stored = self.patiently(|| self.store.all(events.to_vec())).await;
            let repeated = stored.iter().filter(|stored| stored.duplicate).count() as u64;
            facts.repeated += repeated;
            facts.stored += stored.len() as u64 - repeated;
            fault::reached(Fault::PollStoring);
        }
        fault::reached(Fault::PollStored);
        self.patiently(|| broker.remember(uid, &to_remember, memory, now)).await;
        self.report_store(None);
        facts
    }

    /// Makes an event of an item. What it is remembered by is the same for the same item, whatever page it is on.
    fn kept(&self, item: &RawValue, value: Option<&str>, reading: Option<&str>, place: String) -> (String, Kept) {
        let body = Bytes::copy_from_slice(item.get().as_bytes());
        let too_large = u64::try_from(body.len()).unwrap_or(u64::MAX) > MAX_EVENT_BYTES;
        let event = (!too_large).then(|| {
            let other_id = Some(hash(&body, 26));
            self.store.incoming(body.clone(), None, Known { other_id, version: value, reading, ..Known::default() })
        });
        match event.flatten() {
            Some(event) => (event.message_id.clone(), Kept::Event(Box::new(event))),
            None => {
                let why = if too_large { "it is larger than 256 KiB" } else { "it is no JSON object" };
                (format!("refused\n{}", hash(&body, 32)), Kept::Refused { body, place, why })
            }
        }
    }

    /// Tries until it is done. What comes in between ends this from outside.
    async fn patiently<T, F>(&self, mut call: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, BrokerError>>,
    {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(error) => {
                    tracing::warn!(integration = %self.store.integration.name, %error, cause = %error.source, "a page can't be stored; it waits");
                    self.report_store(Some(problem("StoreFailed", &format!("{error}: {}", error.source))));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether half of the time is over for which something is remembered.
fn is_fading(seen: Timestamp, memory: Duration, now: Timestamp) -> bool {
    let age = now.duration_since(seen);
    SignedDuration::try_from(memory / 2).is_ok_and(|half| age > half)
}
