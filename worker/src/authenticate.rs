//! How the worker proves who it is, wherever it asks: deliveries, polled APIs, files. What is refused is renewed by whoever can.
//! A worker reaches nothing of Kubernetes; what it wishes of the operator stands in the bucket.

use ropeway_auth::{
    credentials::{Credentials, Proof, Renewal},
    keyring::Keyring,
};
use ropeway_crds::{account::TokenWish, auth::Auth, names::token_key, worker_config::TokenOf};

use crate::io::jetstream::Broker;

/// What is told of whoever waits for another token.
pub const WISHED: &str = "the access token is refused; the operator is asked for another one";

/// Credentials, and who renews them.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Credentials,
    /// Where the operator keeps the access token: by which key another one is asked for.
    wishes: Option<(Broker, String)>,
}

/// What follows from a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The answer stands.
    Finally,
    /// The request can be proved anew, and sent once more.
    Renewed,
    /// The operator was asked for another access token; see [`WISHED`].
    Wished,
}

impl Authenticator {
    /// By these credentials; `token_of` says whose access token it is, where the operator keeps it.
    pub fn new(auth: &Auth, token_of: Option<&TokenOf>, keyring: &Keyring, broker: &Broker) -> Self {
        Self {
            credentials: keyring.credentials_of(auth, token_of.map(|it| it.destination.as_str())),
            wishes: token_of.map(|it| (broker.clone(), token_key(&it.account))),
        }
    }

    /// What is put on requests.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Gives up what a request was proved with after a 401, and gets or wishes for something else where there is such.
    pub async fn refused(&self, proof: &Proof) -> Refused {
        match (self.credentials.refused(proof), &self.wishes) {
            (Renewal::Own, _) => Refused::Renewed,
            (Renewal::Vault, _) if self.credentials.renew().await => Refused::Renewed,
            (Renewal::Broker(refused), Some((broker, key))) => {
                // Whoever can't be asked now is asked with the next refusal.
                if let Err(error) = broker.tell(key, &TokenWish { refused }).await {
                    tracing::warn!(%error, cause = %error.source, "the operator could not be asked for another access token");
                }
                Refused::Wished
            }
            (Renewal::None | Renewal::Vault | Renewal::Broker(_), _) => Refused::Finally,
        }
    }
}
