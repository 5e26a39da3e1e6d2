//! Where files are: what is there, in which version, and its bytes from some place on.

use std::path::PathBuf;

use bytes::Bytes;
use futures::stream::BoxStream;
use ropeway_auth::{credentials::CredentialError, http::SendFailure, keyring::Keyring};
use ropeway_crds::{auth::Auth, source::BatchFrom};

use crate::authenticate::Authenticator;

mod file;
mod http;
mod objects;

/// A file or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name for people, without query or credential.
    pub object: String,
    /// Its version, where that is known before it is opened.
    pub version: Option<String>,
    /// Its size, where that is known before it is opened.
    pub size: Option<u64>,
    /// What its place calls it.
    key: String,
}

/// What is asked of a file.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Bytes that are not needed, provided that it still has the version below.
    pub offset: u64,
    /// The version that is known.
    pub version: Option<&'a str>,
    /// Whether nothing is wanted where that is still the version.
    pub unless_unchanged: Unchanged,
}

/// Whether an unchanged file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// It is.
    Wanted,
    /// It is not.
    Unwanted,
}

/// A file that was opened.
pub enum Opened {
    /// It has not changed.
    Unchanged,
    /// It comes.
    Stream(Incoming),
}

/// A file as it comes.
pub struct Incoming {
    /// Its version, where somebody says so.
    pub version: Option<String>,
    /// Where in the file the first chunk begins.
    pub at: u64,
    /// Its bytes.
    pub chunks: BoxStream<'static, Result<Bytes, ReadError>>,
}

/// A file can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It may work later.
    #[error("{0}")]
    Later(String),
    /// It will not work until somebody changes something.
    #[error("{0}")]
    Refused(String),
}

/// Where files are.
#[derive(Debug)]
pub struct From {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Http(Box<http::Http>),
    Objects(Box<objects::Objects>),
    File(file::File),
}

impl From {
    /// The place that a spec names. `prove` makes of its credentials what proves us, `folder` is where the claim is mounted.
    ///
    /// # Errors
    /// If the spec can't be used.
    pub fn new(
        from: &BatchFrom,
        keyring: &Keyring,
        prove: impl FnOnce(&Auth) -> Authenticator,
        folder: PathBuf,
    ) -> Result<Self, ReadError> {
        let BatchFrom { http, object_store, file } = from;
        let shown = from.shown();
        let place = match (http, object_store, file) {
            (Some(http), None, None) => Place::Http(Box::new(http::Http::new(http, shown, keyring, prove)?)),
            (None, Some(store), None) => Place::Objects(Box::new(objects::Objects::new(store, keyring)?)),
            (None, None, Some(file)) => Place::File(file::File::new(file, folder)?),
            _ => return Err(ReadError::Refused("spec.source.batch.from: give exactly one".into())),
        };
        Ok(Self { place })
    }

    /// Whether there may be many files, of which each is read once in each version.
    pub fn is_listing(&self) -> bool {
        matches!(&self.place, Place::Objects(objects) if objects.is_listing())
    }

    /// What is there, in the order in which it is read.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub async fn find(&self) -> Result<Vec<Found>, ReadError> {
        match &self.place {
            Place::Http(http) => Ok(vec![http.found()]),
            Place::Objects(objects) => objects.find().await,
            Place::File(file) => Ok(vec![file.find().await?]),
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn open(&self, found: &Found, ask: Ask<'_>) -> Result<Opened, ReadError> {
        match &self.place {
            Place::Http(http) => http.open(ask).await,
            Place::Objects(objects) => objects.open(found, ask).await,
            Place::File(file) => file.open(found, ask).await,
        }
    }
}

impl std::convert::From<SendFailure> for ReadError {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::Address(refused) => Self::Refused(refused.to_string()),
            SendFailure::Configuration(message) => Self::Refused(message),
            SendFailure::Transport(message) => Self::Later(message),
        }
    }
}

/// What keeps credentials from being put on a request passes when a Secret is mended, so it is no reason to give up.
fn unusable(error: CredentialError) -> ReadError {
    ReadError::Later(error.to_string())
}
