//! Requests that were not sent, since nothing is sent in the mode Shadow: kept for a look, the last hundred of each lane.

use async_nats::HeaderMap;
use bytes::Bytes;
use ropeway_crds::{
    headers as h,
    names::{LaneId, ShortUid},
};

use super::jetstream::{Broker, BrokerError, failed};
use ropeway_auth::http::Request;

/// A request that was not sent, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Method and address without its query, or the subject.
    pub target: String,
    /// Its headers; of those that hold a secret only the names.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Kept {
    /// What of a request may be kept.
    pub fn of(request: &Request) -> Self {
        let address = request.uri.to_string();
        let address = address.split('?').next().unwrap_or_default();
        let shown = request.headers.iter().map(|(name, value)| {
            let secret = value.is_sensitive() || name == "webhook-signature";
            let value = if secret { "<redacted>" } else { value.to_str().unwrap_or("<binary>") };
            (name.to_string(), value.to_owned())
        });
        Self { target: format!("{} {address}", request.method), headers: shown.collect(), body: request.body.clone() }
    }
}

impl Broker {
    /// Keeps a request that was not sent.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn keep_shadow(&self, integration: &ShortUid, lane: &LaneId, kept: Kept) -> Result<(), BrokerError> {
        let Kept { target, headers: shown, body } = kept;
        let mut headers = HeaderMap::new();
        headers.insert(h::SHADOW_TARGET, target);
        for (name, value) in shown {
            headers.insert(format!("{}{name}", h::SHADOW_HEADER_PREFIX), value);
        }
        let subject = self.names.shadow(integration, lane);
        let publish = self.context.publish_with_headers(subject, headers, body).await;
        publish.map_err(failed("keep a request"))?.await.map_err(failed("keep a request"))?;
        Ok(())
    }
}
