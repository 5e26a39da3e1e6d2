//! What a source has stored already, in the stream of de-duplication keys. It outlasts the window in which the events
//! stream itself drops repeats.

use std::{collections::BTreeMap, time::Duration};

use async_nats::HeaderMap;
use jiff::Timestamp;
use ropeway_crds::{
    headers as h,
    names::{LaneId, SOURCE, ShortUid},
};

use super::jetstream::{Broker, BrokerError, failed};

/// How many keys are asked after in one request; the server takes a thousand.
const AT_A_TIME: usize = 500;

impl Broker {
    /// When each of these keys was remembered last, in their order; none where it was not.
    ///
    /// # Errors
    /// If the stream can't be read.
    pub async fn seen(&self, uid: &ShortUid, keys: &[String]) -> Result<Vec<Option<Timestamp>>, BrokerError> {
        let lane = LaneId::new(uid, SOURCE);
        let stream = self.names.seen_stream();
        let subjects: Vec<String> = keys.iter().map(|key| self.names.seen(uid, &lane, key)).collect();
        let mut found = BTreeMap::new();
        for subjects in subjects.chunks(AT_A_TIME) {
            let values = ropeway_nats::last_values(&self.client, &stream, subjects).await;
            for (subject, body) in values.map_err(failed("read what was stored already"))? {
                let second = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
                let time = second.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default();
                found.insert(subject.to_string(), time);
            }
        }
        Ok(subjects.iter().map(|subject| found.get(subject).copied()).collect())
    }

    /// Remembers keys for a while, whether they were remembered already or not.
    ///
    /// # Errors
    /// If any is not confirmed.
    pub async fn remember(
        &self,
        uid: &ShortUid,
        keys: &[String],
        memory: Duration,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        let lane = LaneId::new(uid, SOURCE);
        let what = || failed("remember what was stored");
        for keys in keys.chunks(AT_A_TIME) {
            let mut confirmations = Vec::with_capacity(keys.len());
            for key in keys {
                let mut headers = HeaderMap::new();
                headers.insert(h::TTL, format!("{}s", memory.as_secs().max(1)));
                let (subject, body) = (self.names.seen(uid, &lane, key), now.as_second().to_string());
                let publish = self.context.publish_with_headers(subject, headers, body.into()).await;
                confirmations.push(publish.map_err(what())?);
            }
            for confirmation in confirmations {
                confirmation.await.map_err(what())?;
            }
        }
        Ok(())
    }
}
