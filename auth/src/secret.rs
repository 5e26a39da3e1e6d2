//! Mounted secrets, read again when they change. The kubelet swaps a whole folder at once, so a short cache by file is
//! all that is needed: a rotated value is in use two seconds after it appears.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ropeway_crds::{
    azure::VaultSecret,
    secret_ref::{ConfigMapKeyRef, SecretKeyRef, SecretSource, SecretValue, ValueSource},
};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::vault::{Vault, VaultError};

mod made;

pub use made::Made;

/// How long a value is used before its file is looked at again.
const FRESH: Duration = Duration::from_secs(2);

/// A Secret key that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file is not there: the Secret does not exist, lacks the key, or has not reached the pod yet.
    #[error("the Secret {name} with the key {key} is missing")]
    Missing {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is empty. An empty signing secret would accept forgeries, an empty token none.
    #[error("the key {key} of the Secret {name} is empty")]
    Empty {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is no text.
    #[error("the key {key} of the Secret {name} is not UTF-8 text")]
    NotText {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// A secret of Key Vault can't be used.
    #[error(transparent)]
    Vault(VaultError),
    /// The key of a ConfigMap can't be used.
    #[error("the key {key} of the ConfigMap {name} {problem}")]
    Setting {
        /// Name of the ConfigMap.
        name: String,
        /// The key.
        key: String,
        /// Why.
        problem: &'static str,
    },
}

/// The bytes of one key.
pub type Secret = Arc<SecretSlice<u8>>;

type Cached = (Instant, Secret);

/// All Secrets that are mounted below one folder, as `<folder>/<secret>/<key>`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    folder: PathBuf,
    cache: Arc<Mutex<BTreeMap<SecretKeyRef, Cached>>>,
    /// ConfigMaps are mounted and read in the same way.
    config_maps: Option<Arc<Secrets>>,
    /// Where what is in Key Vault is read, and what stands for the identity that reads it.
    vault: Option<(String, Arc<Vault>)>,
    /// All of them, where none is mounted.
    held: Option<Arc<BTreeMap<SecretKeyRef, Secret>>>,
}

impl Secrets {
    /// The Secrets below a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// Secrets and ConfigMaps that were read otherwise.
    pub fn held(secrets: BTreeMap<SecretKeyRef, Vec<u8>>, config_maps: BTreeMap<SecretKeyRef, Vec<u8>>) -> Self {
        let of = |values: BTreeMap<SecretKeyRef, Vec<u8>>| {
            let values = values.into_iter().map(|(key, value)| (key, Arc::new(SecretSlice::from(value))));
            Self { held: Some(Arc::new(values.collect())), ..Self::default() }
        };
        Self { config_maps: Some(Arc::new(of(config_maps))), ..of(secrets) }
    }

    /// The same, with ConfigMaps below another folder, as `<folder>/<config map>/<key>`.
    #[must_use]
    pub fn with_config_maps(self, folder: impl Into<PathBuf>) -> Self {
        Self { config_maps: Some(Arc::new(Self::new(folder))), ..self }
    }

    pub(crate) fn with_vault(self, identity: String, vault: Arc<Vault>) -> Self {
        Self { vault: Some((identity, vault)), ..self }
    }

    /// What stands for the identity that reads what is in Key Vault.
    pub(crate) fn vault_identity(&self) -> Option<&str> {
        self.vault.as_ref().map(|(identity, _)| identity.as_str())
    }

    /// Waits until what is in Key Vault has been read once, or can't be read.
    pub async fn ready(&self, wanted: &[VaultSecret]) {
        if let Some((_, vault)) = &self.vault {
            vault.ready(wanted).await;
        }
    }

    /// Reads again what is in Key Vault, after it was refused somewhere. Says whether anything has changed.
    pub async fn renew(&self, wanted: &[VaultSecret]) -> bool {
        match &self.vault {
            Some((_, vault)) => vault.renew(wanted).await,
            None => false,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What stands for all that are held; empty where they are mounted.
    pub fn fingerprint(&self) -> String {
        let of = |secrets: &Self| {
            let values = secrets.held.iter().flat_map(|held| held.values());
            let joined: Vec<u8> = values.flat_map(|value| [value.expose_secret(), b"\n"].concat()).collect();
            ropeway_crds::names::hash(&joined, 16)
        };
        format!("{} {}", of(self), self.config_maps.as_deref().map(of).unwrap_or_default())
    }

    /// The bytes of one key, at most two seconds old.
    ///
    /// # Errors
    /// If it is missing or empty.
    pub fn bytes(&self, key: &SecretKeyRef) -> Result<Secret, SecretError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, value)) = cache.get(key).filter(|(read, _)| read.elapsed() < FRESH) {
            let _ = read;
            return Ok(Arc::clone(value));
        }
        let (name, entry) = (key.name.clone(), key.key.clone());
        if let Some(held) = &self.held {
            return match held.get(key) {
                None => Err(SecretError::Missing { name, key: entry }),
                Some(value) if value.expose_secret().is_empty() => Err(SecretError::Empty { name, key: entry }),
                Some(value) => Ok(Arc::clone(value)),
            };
        }
        let Ok(bytes) = std::fs::read(self.folder.join(&key.name).join(&key.key)) else {
            cache.remove(key);
            return Err(SecretError::Missing { name, key: entry });
        };
        if bytes.is_empty() {
            return Err(SecretError::Empty { name, key: entry });
        }
        let value = Arc::new(SecretSlice::from(bytes));
        cache.insert(key.clone(), (Instant::now(), Arc::clone(&value)));
        Ok(value)
    }

    /// One key as text, without one line break at the end, which editors and `echo` add.
    ///
    /// # Errors
    /// If it is missing, empty or no text.
    pub fn text(&self, key: &SecretKeyRef) -> Result<SecretString, SecretError> {
        let bytes = self.bytes(key)?;
        let text = std::str::from_utf8(bytes.expose_secret())
            .map_err(|_| SecretError::NotText { name: key.name.clone(), key: key.key.clone() })?;
        let text = without_break(text);
        if text.is_empty() {
            return Err(SecretError::Empty { name: key.name.clone(), key: key.key.clone() });
        }
        Ok(text.to_owned().into())
    }

    /// A secret value, wherever it comes from.
    ///
    /// # Errors
    /// If it is missing, empty or no text.
    pub fn secret(&self, value: &SecretValue) -> Result<SecretString, SecretError> {
        match &value.value_from {
            SecretSource::SecretKeyRef(key) => self.text(key),
            SecretSource::AzureKeyVault(secret) => self.vaulted(secret),
        }
    }

    /// A value in Key Vault, as it was read last.
    ///
    /// # Errors
    /// If it could not be read, or not yet.
    pub fn vaulted(&self, secret: &VaultSecret) -> Result<SecretString, SecretError> {
        let Some((_, vault)) = &self.vault else {
            return Err(SecretError::Vault(VaultError::refused("azureKeyVault needs keyVaultIdentity beside it")));
        };
        let value = vault.value(secret).map_err(SecretError::Vault)?;
        Ok(without_break(value.expose_secret()).to_owned().into())
    }

    /// A value that need not be secret: as it is written, or as it stands in a Secret or a ConfigMap now.
    ///
    /// # Errors
    /// If the key that it comes from is missing, empty or no text.
    pub fn value(&self, written: Option<&str>, from: Option<&ValueSource>) -> Result<String, SecretError> {
        let Some(ValueSource { secret_key_ref, config_map_key_ref, azure_key_vault }) = from else {
            return Ok(written.unwrap_or_default().to_owned());
        };
        match (secret_key_ref, config_map_key_ref, azure_key_vault) {
            (Some(key), ..) => self.text(key).map(|text| text.expose_secret().to_owned()),
            (None, Some(key), _) => self.setting(key),
            (None, None, Some(secret)) => self.vaulted(secret).map(|text| text.expose_secret().to_owned()),
            (None, None, None) => Ok(String::new()),
        }
    }

    /// The text of a ConfigMap's key, at most two seconds old.
    ///
    /// # Errors
    /// If it is missing, empty or no text.
    pub fn setting(&self, key: &ConfigMapKeyRef) -> Result<String, SecretError> {
        let ConfigMapKeyRef { name, key } = key.clone();
        let unusable = |problem| SecretError::Setting { name: name.clone(), key: key.clone(), problem };
        let mounted = self.config_maps.as_ref().ok_or_else(|| unusable("is missing"))?;
        let found = mounted.text(&SecretKeyRef { name: name.clone(), key: key.clone() });
        found.map(|text| text.expose_secret().to_owned()).map_err(|error| {
            unusable(match error {
                SecretError::Empty { .. } => "is empty",
                SecretError::NotText { .. } => "is not UTF-8 text",
                SecretError::Missing { .. } | SecretError::Setting { .. } | SecretError::Vault(_) => "is missing",
            })
        })
    }
}

/// A text without one line break at its end.
fn without_break(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

#[cfg(test)]
mod tests;
