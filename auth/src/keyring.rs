//! What a process proves itself with, and where it may go: Secrets, tokens and addresses, handed on together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ropeway_crds::{
    auth::{Auth, Tls},
    azure::{AzureIdentity, AzureSettings},
};

use crate::{
    address::AddressPolicy,
    brokered::Brokered,
    credentials::{Credentials, Source},
    http::HttpDoor,
    secret::Secrets,
    tokens::{TokenSource, Tokens},
    vault::Vault,
};

/// Secrets, tokens and addresses.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Secrets that are at hand.
    pub secrets: Secrets,
    /// Addresses that requests may go to.
    pub addresses: Arc<AddressPolicy>,
    /// What the administrator decided about Azure.
    pub(crate) azure: Arc<AzureSettings>,
    tokens: Tokens,
    /// The vaults that are read, by the identity that does.
    vaults: Arc<Mutex<BTreeMap<String, Arc<Vault>>>>,
}

impl Keyring {
    /// A keyring without tokens yet.
    pub fn new(secrets: Secrets, addresses: Arc<AddressPolicy>) -> Self {
        let (azure, tokens, vaults) = (Arc::default(), Tokens::default(), Arc::default());
        Self { secrets, addresses, azure, tokens, vaults }
    }

    /// The same, with what the administrator decided about Azure.
    #[must_use]
    pub fn with_azure(self, settings: AzureSettings) -> Self {
        Self { azure: Arc::new(settings), ..self }
    }

    /// The same, whose values may come from Key Vault, where this identity reads them.
    #[must_use]
    pub fn with_vault(&self, identity: Option<&AzureIdentity>) -> Self {
        let Some(identity) = identity else { return self.clone() };
        let key = serde_json::to_string(identity).expect("an identity is JSON");
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        // The vault's own keyring must not hold the vault.
        let plain = || Self { vaults: Arc::default(), ..self.clone() };
        let vault = vaults.entry(key.clone()).or_insert_with(|| Arc::new(Vault::new(identity.clone(), &plain())));
        Self { secrets: self.secrets.clone().with_vault(key, Arc::clone(vault)), ..self.clone() }
    }

    /// The tokens of an identity of Entra ID.
    pub(crate) fn identity(&self, identity: &AzureIdentity) -> Arc<TokenSource> {
        self.tokens.identity(identity, self)
    }

    /// A door with these certificates.
    pub fn door(&self, tls: Option<Tls>) -> HttpDoor {
        HttpDoor::new(tls, self.secrets.clone(), Arc::clone(&self.addresses))
    }

    /// What is put on requests by this description.
    pub fn credentials(&self, auth: &Auth) -> Credentials {
        let oauth2 = auth.oauth2.as_ref().map(|oauth2| self.tokens.source(oauth2, self));
        let source = oauth2.or_else(|| auth.azure.as_ref().map(|identity| self.identity(identity))).map(Source::Own);
        Credentials::new(auth.clone(), self.secrets.clone(), source)
    }

    /// The same, where it may be an access token that the operator keeps for the Destination of this name.
    pub fn credentials_of(&self, auth: &Auth, token_of: Option<&str>) -> Credentials {
        let Some(destination) = token_of else { return self.credentials(auth) };
        let source = Source::Brokered(Arc::new(Brokered::new(destination, self.secrets.clone())));
        Credentials::new(auth.clone(), self.secrets.clone(), Some(source))
    }
}
