//! What a process proves itself with, and where it may go: Secrets, tokens and addresses, handed on together.

use std::sync::Arc;

use ropeway_crds::auth::{Auth, Tls};

use crate::{address::AddressPolicy, credentials::Credentials, http::HttpDoor, secret::Secrets, tokens::Tokens};

/// Secrets, tokens and addresses.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Secrets that are at hand.
    pub secrets: Secrets,
    /// Addresses that requests may go to.
    pub addresses: Arc<AddressPolicy>,
    tokens: Tokens,
}

impl Keyring {
    /// A keyring without tokens yet.
    pub fn new(secrets: Secrets, addresses: Arc<AddressPolicy>) -> Self {
        Self { secrets, addresses, tokens: Tokens::default() }
    }

    /// A door with these certificates.
    pub fn door(&self, tls: Option<Tls>) -> HttpDoor {
        HttpDoor::new(tls, self.secrets.clone(), Arc::clone(&self.addresses))
    }

    /// What is put on requests by this description.
    pub fn credentials(&self, auth: &Auth) -> Credentials {
        let source = auth.oauth2.as_ref().map(|oauth2| self.tokens.source(oauth2, self));
        Credentials::new(auth.clone(), self.secrets.clone(), source)
    }
}
