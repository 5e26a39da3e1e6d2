//! Records that leave by no HTTP: into a stream, or nowhere, in the mode Shadow.

use std::time::Duration;

use async_nats::HeaderMap as NatsHeaders;
use ropeway_crds::{
    headers as h,
    names::{LaneId, ShortUid},
};

use super::Deliverer;
use crate::{
    io::shadow::Kept,
    map::Record,
    provider::{self, Failure, Outcome, Verdict},
};

impl Deliverer {
    /// The provider `nats`: a record is delivered when a stream has taken it in.
    pub(super) async fn publish(&self, subject: &str, record: &Record, deadline: Duration) -> Verdict {
        let mut headers = NatsHeaders::new();
        headers.insert(h::MESSAGE_ID, record.key.as_str());
        headers.insert(h::CONTENT_TYPE, "application/json");
        for (name, value) in provider::http::attributes(record) {
            headers.insert(format!("{}{name}", h::CLOUD_EVENT_PREFIX), crate::cloud_event::encode_header(value));
        }
        let publishing = self.broker.publish_record(subject, headers, record.body.clone());
        let message = match tokio::time::timeout(deadline, publishing).await {
            Ok(Ok(())) => return Verdict::plain(Outcome::Delivered),
            Ok(Err(error)) => format!("no stream took the record in: {}", error.source),
            Err(_) => format!("no stream confirmed the record within {}ms", deadline.as_millis()),
        };
        Verdict::plain(Outcome::Retry { after: None, limited: false, failure: Failure::silent(message) })
    }

    /// Keeps what would have been sent, without credentials.
    pub(super) async fn shadow(&self, integration: &ShortUid, records: &[&Record]) -> Verdict {
        let kept = match (&self.config.provider.nats, records) {
            (Some(nats), [record]) => {
                Kept { target: nats.subject.clone(), headers: Vec::new(), body: record.body.clone() }
            }
            _ => match self.request(records) {
                Ok(request) => Kept::of(&request),
                Err(outcome) => return Verdict::plain(outcome),
            },
        };
        let lane = LaneId::new(integration, &self.config.destination);
        match self.broker.keep_shadow(integration, &lane, kept).await {
            Ok(()) => Verdict::plain(Outcome::Delivered),
            Err(error) => Verdict::plain(Outcome::Retry {
                after: None,
                limited: false,
                failure: Failure::silent(format!("{error}: {}", error.source)),
            }),
        }
    }
}
