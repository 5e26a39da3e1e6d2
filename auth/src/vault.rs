//! Secrets in Azure Key Vault: read by an identity, kept in memory, and read again now and then.
//!
//! Whoever needs a value takes the one that was read last; reading goes on beside it. A vault is never asked for a delivery.

mod held;
mod read;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;
use ropeway_crds::azure::{AzureIdentity, VaultSecret};
use secrecy::SecretString;
use tokio::sync::Mutex as AsyncMutex;

use self::{
    held::{Held, Need},
    read::Reader,
};
use crate::keyring::Keyring;

/// Why a secret can't be used. No text holds a value or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VaultError {
    /// What kind of trouble it is.
    pub trouble: VaultTrouble,
    /// What happened, and what helps.
    pub message: String,
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultTrouble {
    /// It stays so until somebody changes something.
    Refused,
    /// It passes; the vault may have said when to come back.
    Passes(Option<Duration>),
    /// The vault is at an address where requests may not go.
    Address,
}

impl VaultError {
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { trouble: VaultTrouble::Refused, message: message.into() }
    }

    pub(crate) fn passes(message: impl Into<String>, after: Option<Duration>) -> Self {
        Self { trouble: VaultTrouble::Passes(after), message: message.into() }
    }
}

/// What one identity reads.
#[derive(Debug)]
pub struct Vault {
    reader: Reader,
    entries: Mutex<BTreeMap<VaultSecret, Arc<Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    held: Mutex<Held>,
    /// Held by the one who reads.
    reading: AsyncMutex<()>,
}

impl Entry {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault {
    pub(crate) fn new(identity: AzureIdentity, keyring: &Keyring) -> Self {
        Self { reader: Reader::new(identity, keyring), entries: Mutex::default() }
    }

    /// A value as it was read last. If it is time to read it again, that begins.
    ///
    /// # Errors
    /// If it could not be read, or not yet.
    pub fn value(self: &Arc<Self>, secret: &VaultSecret) -> Result<SecretString, VaultError> {
        let need = self.entry(secret).held().need(Instant::now());
        let value = match need {
            Need::None(value) => return Ok(value),
            Need::Not(error) => return Err(error),
            Need::Soon(value) => Ok(value),
            Need::Now => Err(VaultError::passes("Key Vault is being asked for the first time", None)),
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (vault, secret) = (Arc::clone(self), secret.clone());
            runtime.spawn(async move { vault.look(&secret).await });
        }
        value
    }

    /// Waits until each has been read once, or could not be read. They are read side by side: a vault that does not answer
    /// costs its deadline once.
    pub async fn ready(&self, wanted: &[VaultSecret]) {
        let missing = |secret: &&VaultSecret| matches!(self.entry(secret).held().need(Instant::now()), Need::Now);
        join_all(wanted.iter().filter(missing).map(|secret| self.look(secret))).await;
    }

    /// Reads values again that somebody refused, unless they were read just now. Says whether one has changed.
    pub async fn renew(&self, wanted: &[VaultSecret]) -> bool {
        join_all(wanted.iter().map(|secret| self.renew_one(secret))).await.contains(&true)
    }

    async fn renew_one(&self, secret: &VaultSecret) -> bool {
        let entry = self.entry(secret);
        let before = entry.held().changes();
        let _alone = entry.reading.lock().await;
        // Somebody may have read it while this one waited; then it is too young.
        let may = entry.held().may_renew(Instant::now());
        if may {
            self.read(secret, &entry).await;
        }
        let after = entry.held().changes();
        after != before
    }

    /// Reads a value if that is needed; several who want that read it once.
    async fn look(&self, secret: &VaultSecret) {
        let entry = self.entry(secret);
        let is_first = matches!(entry.held().need(Instant::now()), Need::Now);
        let _alone = match (is_first, entry.reading.try_lock()) {
            (_, Ok(alone)) => alone,
            (true, Err(_)) => entry.reading.lock().await,
            (false, Err(_)) => return,
        };
        if matches!(entry.held().need(Instant::now()), Need::Now | Need::Soon(_)) {
            self.read(secret, &entry).await;
        }
    }

    async fn read(&self, secret: &VaultSecret, entry: &Entry) {
        let read = self.reader.read(secret).await;
        let now = Instant::now();
        match read {
            Ok(value) => entry.held().got(value, now, rand::random()),
            Err(error) => {
                let host = secret.parts().map_or("", |parts| parts.host);
                tracing::warn!(vault = host, %error, "a secret could not be read from Key Vault");
                entry.held().failed(error, now, rand::random());
            }
        }
    }

    fn entry(&self, secret: &VaultSecret) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(entries.entry(secret.clone()).or_default())
    }
}
