//! The batch source: a Job that reads a file row by row into the events stream, and ends.
//!
//! ```text
//! from ─▶ unpack ─▶ rows ─▶ portion ─▶ refuse, store ─▶ ledger
//! bytes   bytes     Row     events     JetStream        what is stored up to where
//! ```
//!
//! The order of writes is always: rows that can be no event into the dead letters, events into the stream, all of that
//! confirmed, and then the record that says so. A reader that dies in between leaves the next one to read the last portion
//! again; the ids of its rows are the same, so the stream drops what it has.

use std::path::PathBuf;

use ropeway_auth::keyring::Keyring;
use ropeway_crds::{
    auth::Auth,
    batch_run::BatchRun,
    names::{ShortUid, hash},
    source::BatchSource,
    worker_config::{MAX_EVENT_BYTES, TokenOf},
};
use tokio_util::sync::CancellationToken;

use self::from::{From, ReadError};
use super::store::Store;
use crate::authenticate::Authenticator;

pub mod from;
mod ledger;
mod portion;
mod read;
pub mod rows;
mod run;
mod settle;
pub mod start;
pub mod unpack;

/// The Job may be tried again.
pub const EXIT_AGAIN: u8 = 1;

/// Another Job works on the same source; this one had nothing to do.
pub const EXIT_BUSY: u8 = 3;

/// Trying again would end the same way.
pub const EXIT_FAILED: u8 = 4;

/// One run of a batch source.
#[derive(Debug)]
pub struct Job {
    /// The Integration.
    pub uid: ShortUid,
    /// What is read.
    pub spec: BatchSource,
    /// Who reads: the pod's name and something that no other run has.
    holder: String,
    from: From,
    store: Store,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Everything is read and stored, or nothing had changed.
    Done(BatchRun),
    /// It was told to stop; the next run goes on where it ended.
    Interrupted(String),
    /// Another one is at work.
    Busy(String),
    /// It could not go on.
    Failed(String, Again),
}

/// Whether something may come of another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It may.
    Later,
    /// It will not, until somebody changes something.
    Never,
}

impl Job {
    /// A run by this worker. `folder` is where the claim is mounted.
    ///
    /// # Errors
    /// If the source can't be used as it is configured.
    pub fn new(
        worker: &str,
        spec: &BatchSource,
        store: Store,
        token_of: Option<&TokenOf>,
        keyring: &Keyring,
        folder: PathBuf,
    ) -> Result<Self, ReadError> {
        let prove = |auth: &Auth| Authenticator::new(auth, token_of, keyring, &store.broker);
        Ok(Self {
            uid: store.uid.clone(),
            spec: spec.clone(),
            holder: format!("{worker}/{}", ulid::Ulid::generate()),
            from: From::new(&spec.from, keyring, prove, folder)?,
            store,
        })
    }

    /// Reads until everything is stored, or until it is told to stop.
    pub async fn run(&self, stop: &CancellationToken) -> Ending {
        run::run(self, stop).await
    }

    /// The longest row, in bytes.
    fn longest_row(&self) -> usize {
        let wished = self.spec.max_row_bytes.map_or(MAX_EVENT_BYTES, |size| size.bytes());
        usize::try_from(wished.min(MAX_EVENT_BYTES)).unwrap_or(usize::MAX)
    }

    /// What stands for the way in which bytes become rows: places in a file mean something in one way only.
    fn shape(&self) -> String {
        let way = serde_json::json!([self.spec.format, self.spec.compression.unwrap_or_default()]);
        hash(way.to_string().as_bytes(), 10)
    }
}

impl Ending {
    /// The program's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Done(_) => 0,
            Self::Interrupted(_) | Self::Failed(_, Again::Later) => EXIT_AGAIN,
            Self::Busy(_) => EXIT_BUSY,
            Self::Failed(_, Again::Never) => EXIT_FAILED,
        }
    }
}
