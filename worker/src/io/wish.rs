//! Asking the operator for another access token, where it keeps them. A worker reaches nothing of Kubernetes; what it wishes
//! stands in the bucket.

use ropeway_crds::{
    account::TokenWish,
    names::{ShortUid, token_key},
};

use super::jetstream::Broker;

/// What is told of whoever waits for another token.
pub const WISHED: &str = "the access token is refused; the operator is asked for another one";

/// Asks for another access token of one Destination.
#[derive(Clone, Debug)]
pub struct Wisher {
    broker: Broker,
    key: String,
}

impl Wisher {
    /// For the Destination with this short UID.
    pub fn new(broker: Broker, account: &ShortUid) -> Self {
        Self { broker, key: token_key(account) }
    }

    /// Says which token was refused, by what stands for it. Whoever can't be asked now is asked with the next refusal.
    pub async fn wish(&self, refused: String) {
        if let Err(error) = self.broker.tell(&self.key, &TokenWish { refused }).await {
            tracing::warn!(%error, cause = %error.source, "the operator could not be asked for another access token");
        }
    }
}
