//! Several events that are stored all or none (ADR-50, an atomic batch).

use async_nats::HeaderMap;
use bytes::Bytes;
use ropeway_crds::{
    headers as h,
    names::{ShortUid, events_subject},
};
use serde::Deserialize;

use super::{
    jetstream::{Broker, BrokerError, failed},
    publish::Stored,
};

/// The server refuses a whole batch when it knows the id of any of its messages.
const HAS_DUPLICATES: u64 = 10_201;

/// The server's answer to a batch.
#[derive(Deserialize)]
struct Answer {
    error: Option<Refusal>,
    count: Option<usize>,
}

/// Why the server refuses.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{description} ({err_code})")]
struct Refusal {
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// The server stored another number of messages than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the server confirms {confirmed:?} of {sent} events")]
struct Unequal {
    confirmed: Option<usize>,
    sent: usize,
}

impl Broker {
    /// Stores these events in their order, all or none, and waits until they are safe. Where the stream knows one of them
    /// already, they are stored one by one: those that it knows are then the repeats.
    ///
    /// # Errors
    /// If it is not confirmed. Nothing was stored then, unless the confirmation was lost.
    pub async fn store_together(
        &self,
        uid: &ShortUid,
        events: Vec<(HeaderMap, Bytes)>,
    ) -> Result<Vec<Stored>, BrokerError> {
        let sent = events.len();
        if sent < 2 {
            return self.store_events(uid, events).await;
        }
        let (subject, batch) = (events_subject(uid), ulid::Ulid::generate().to_string());
        let mut answer = None;
        for (index, (headers, body)) in events.iter().enumerate() {
            let mut headers = headers.clone();
            headers.insert(h::BATCH_ID, batch.as_str());
            headers.insert(h::BATCH_SEQUENCE, (index + 1).to_string());
            if index + 1 < sent {
                let publish = self.client.publish_with_headers(subject.clone(), headers, body.clone()).await;
                publish.map_err(failed("store events together"))?;
            } else {
                headers.insert(h::BATCH_COMMIT, "1");
                let request = self.client.request_with_headers(subject.clone(), headers, body.clone()).await;
                answer = Some(request.map_err(failed("store events together"))?);
            }
        }
        let payload = answer.map(|answer| answer.payload).unwrap_or_default();
        let answer: Answer = serde_json::from_slice(&payload).map_err(failed("store events together"))?;
        match answer {
            Answer { error: None, count } if count == Some(sent) => Ok(vec![Stored { duplicate: false }; sent]),
            Answer { error: Some(refusal), .. } if refusal.err_code == HAS_DUPLICATES => {
                self.store_events(uid, events).await
            }
            Answer { error: Some(refusal), .. } => Err(failed("store events together")(refusal)),
            Answer { error: None, count } => Err(failed("store events together")(Unequal { confirmed: count, sent })),
        }
    }
}
