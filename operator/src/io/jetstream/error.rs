//! How requests to NATS fail.

use std::error::Error;

use ropeway_nats::ConnectError;

/// The cluster can't answer just now.
const CLUSTER_NOT_AVAILABLE: u64 = 10008;

/// What a failed request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsClass {
    /// NATS or JetStream can't be reached; trying again may help.
    Unavailable,
    /// The credentials or an entry of the Secret are wrong.
    Unauthorized,
    /// JetStream answered with an error.
    Refused,
}

/// A request to NATS failed.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// There was no answer that makes sense.
    #[error("failed to {call}")]
    Unanswered {
        /// What was tried.
        call: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// JetStream answered with an error.
    #[error("failed to {call}: {description}")]
    Refused {
        /// What was tried.
        call: String,
        /// The server's `err_code`.
        code: u64,
        /// The server's words, with its codes.
        description: String,
    },
}

impl NatsError {
    /// What it means.
    pub fn class(&self) -> NatsClass {
        match self {
            Self::Connect(ConnectError::Unreachable { .. }) | Self::Unanswered { .. } => NatsClass::Unavailable,
            Self::Connect(ConnectError::Unauthorized { .. } | ConnectError::Entry { .. }) => NatsClass::Unauthorized,
            Self::Refused { code: CLUSTER_NOT_AVAILABLE, .. } => NatsClass::Unavailable,
            Self::Refused { .. } => NatsClass::Refused,
        }
    }
}
