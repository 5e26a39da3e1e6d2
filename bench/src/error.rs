//! What can go wrong while measuring. A wrong measurement is an error too: nothing is reported that was not checked.

use std::{error::Error as _, path::Path};

/// A boxed error of a library.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("failed to {what} {path}")]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("failed to start {program}")]
    Start {
        /// The program.
        program: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A program ended by itself.
    #[error("{program} ended; the end of its output:\n{tail}")]
    Ended {
        /// The program.
        program: String,
        /// Its last lines.
        tail: String,
    },
    /// NATS or the sink could not be asked.
    #[error("failed to {what}")]
    Call {
        /// What was attempted.
        what: &'static str,
        /// What went wrong.
        #[source]
        source: Source,
    },
    /// The process may not have as many connections.
    #[error("{wanted} open files are needed and not allowed; raise the hard limit: ulimit -Hn {wanted}")]
    Limit {
        /// How many are needed.
        wanted: u64,
    },
    /// The manifests of a workload are wrong.
    #[error("the manifests of a workload are wrong: {0}")]
    Manifest(String),
    /// Something did not come in time.
    #[error("{what} did not come in time; last seen: {last}")]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// What was seen instead.
        last: String,
    },
    /// What arrived is not what should have arrived, so the figures are worth nothing.
    #[error("{variant} delivered wrongly: {found}")]
    Delivery {
        /// Who delivered.
        variant: &'static str,
        /// What is wrong.
        found: String,
    },
}

impl Error {
    /// The error and its causes in one line.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

/// Names the attempt on a file.
pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::File { what, path, source }
}

/// Names the attempt on NATS or the sink.
pub(crate) fn call<E: Into<Source>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Call { what, source: source.into() }
}
