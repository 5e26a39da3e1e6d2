//! What can go wrong while something real is started, with what it takes to find out why.

use std::{fmt, io, path::PathBuf, time::Duration};

/// A failure of the harness; its text says what was attempted and, where a program is involved, what that one said.
///
/// Its debug form is the text with all causes, since that is what a failed `expect` of a test prints.
#[derive(thiserror::Error)]
pub enum Error {
    /// A program is neither in `KUBEBUILDER_ASSETS` nor in `.tools/` nor in `PATH`.
    #[error("{program} is missing; run `{remedy}`")]
    MissingProgram {
        /// The program's file name.
        program: String,
        /// The command that installs it.
        remedy: String,
    },
    /// What was asked for needs the super-user.
    #[error(
        "a node needs root for its namespaces and mounts; run the tests as root or name a cluster in CLUSTER_KUBECONFIG"
    )]
    NotRoot,
    /// A file or folder could not be read, written or removed.
    #[error("failed to {action} {}", path.display())]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A scene could not be set, with what the product said.
    #[error("the scene could not be set: {0}")]
    Scene(String),
    /// There is no port to listen on.
    #[error("failed to find a port")]
    Port(#[source] io::Error),
    /// A program could not be started.
    #[error("failed to start {program}")]
    Start {
        /// Its name in this harness.
        program: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A program that should be running has ended.
    #[error("{program} ended ({status}); its log {} ends with:\n{tail}", log.display())]
    Ended {
        /// Its name in this harness.
        program: String,
        /// How it ended.
        status: String,
        /// Where its output went.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A command that should succeed has failed.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("{what}: not seen within {patience:?}; last: {last}")]
    Deadline {
        /// The condition.
        what: String,
        /// How long it was awaited.
        patience: Duration,
        /// What was seen last instead.
        last: String,
    },
    /// The same, with the end of the log of the program that was awaited.
    #[error("{deadline}\nthe log {} ends with:\n{tail}", log.display())]
    DeadlineOf {
        /// The condition and its deadline.
        deadline: Box<Error>,
        /// Where the program's output went.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A certificate could not be made.
    #[error("failed to make the certificate of {subject}")]
    Certificate {
        /// Whom it should name.
        subject: String,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// The kubeconfig that the harness wrote could not be used.
    #[error("failed to read the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// A client for the API server could not be made.
    #[error("failed to make a Kubernetes client")]
    Client(#[source] Box<kube::Error>),
    /// A client of the nats-server could not connect.
    #[error("failed to connect to {url}")]
    Nats {
        /// The server's address.
        url: String,
        /// The reason.
        #[source]
        source: async_nats::ConnectError,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(out, "\n  because: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Names the file in an error of the file system.
pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { action, path, source }
}
