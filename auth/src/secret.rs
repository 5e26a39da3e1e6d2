//! Mounted secrets, read again when they change. The kubelet swaps a whole folder at once, so a short cache by file is
//! all that is needed: a rotated value is in use two seconds after it appears.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ropeway_crds::secret_ref::SecretKeyRef;
use secrecy::SecretSlice;

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
}

/// The bytes of one key.
pub type Secret = Arc<SecretSlice<u8>>;

/// Something that was made of up to `N` secrets, and is made anew when one of them has changed.
pub struct Made<T, const N: usize>(Mutex<Option<Kept<T, N>>>);

/// The secrets, and what was made of them.
type Kept<T, const N: usize> = ([Option<Secret>; N], Arc<T>);

impl<T, const N: usize> Default for Made<T, N> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T, const N: usize> std::fmt::Debug for Made<T, N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Made").finish_non_exhaustive()
    }
}

impl<T, const N: usize> Made<T, N> {
    /// What is made of these secrets.
    ///
    /// # Errors
    /// Those of `make`; what was made before then stays.
    pub fn of<E>(
        &self,
        secrets: [Option<Secret>; N],
        make: impl FnOnce(&[Option<Secret>; N]) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = kept.as_ref().filter(|(of, _)| same(of, &secrets)) {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(make(&secrets)?);
        *kept = Some((secrets, Arc::clone(&made)));
        Ok(made)
    }

    /// What was made last.
    pub fn last(&self) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|(_, made)| Arc::clone(made))
    }
}

fn same<const N: usize>(one: &[Option<Secret>; N], other: &[Option<Secret>; N]) -> bool {
    use secrecy::ExposeSecret;
    one.iter().zip(other).all(|pair| match pair {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.expose_secret() == other.expose_secret(),
        (one, other) => one.is_none() && other.is_none(),
    })
}

type Cached = (Instant, Secret);

/// All Secrets that are mounted below one folder, as `<folder>/<secret>/<key>`.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
    cache: Arc<Mutex<BTreeMap<SecretKeyRef, Cached>>>,
}

impl Secrets {
    /// The Secrets below a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), cache: Arc::default() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
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
    pub fn text(&self, key: &SecretKeyRef) -> Result<secrecy::SecretString, SecretError> {
        use secrecy::ExposeSecret;
        let bytes = self.bytes(key)?;
        let text = std::str::from_utf8(bytes.expose_secret())
            .map_err(|_| SecretError::NotText { name: key.name.clone(), key: key.key.clone() })?;
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() {
            return Err(SecretError::Empty { name: key.name.clone(), key: key.key.clone() });
        }
        Ok(text.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn missing_empty_and_binary_values_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let key = |key: &str| SecretKeyRef { name: "crm".into(), key: key.into() };
        assert!(matches!(secrets.text(&key("token")), Err(SecretError::Missing { .. })));
        std::fs::create_dir(folder.path().join("crm")).unwrap();
        for (name, value) in [("token", &b"s3cret\n"[..]), ("empty", b""), ("blank", b"\n"), ("binary", &[0xff, 0xfe])]
        {
            std::fs::write(folder.path().join("crm").join(name), value).unwrap();
        }
        assert_eq!(secrets.text(&key("token")).unwrap().expose_secret(), "s3cret");
        assert!(matches!(secrets.text(&key("empty")), Err(SecretError::Empty { .. })));
        assert!(matches!(secrets.text(&key("blank")), Err(SecretError::Empty { .. })));
        assert!(matches!(secrets.text(&key("binary")), Err(SecretError::NotText { .. })));
        assert!(!format!("{:?}", secrets).contains("s3cret"));
    }
}
