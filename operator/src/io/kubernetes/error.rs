//! How calls to the API server fail.

use std::fmt;

use super::DEADLINE;

/// What a failed call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A permission is missing.
    Forbidden,
    /// The object or its namespace is gone.
    NotFound,
    /// Somebody else wrote in between.
    Conflict,
    /// The API server refuses the object as it is.
    Invalid,
    /// No answer in time.
    Timeout,
    /// The API server can't be reached or failed.
    Unavailable,
}

impl Class {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Invalid => "Invalid",
            Self::Timeout => "Timeout",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// A call to the API server, as error texts name it.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) verb: &'static str,
    pub(super) kind: String,
    pub(super) name: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.verb, self.kind, self.name)
    }
}

/// A call to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// It answered with an error, or could not be reached.
    #[error("failed to {call}")]
    Failed {
        /// What was tried.
        call: Call,
        /// What it means.
        class: Class,
        /// What went wrong.
        #[source]
        source: Box<kube::Error>,
    },
    /// It did not answer in time.
    #[error("failed to {call} within {} s", DEADLINE.as_secs())]
    TimedOut {
        /// What was tried.
        call: Call,
    },
}

impl KubeError {
    /// What it means.
    pub fn class(&self) -> Class {
        match self {
            Self::Failed { class, .. } => *class,
            Self::TimedOut { .. } => Class::Timeout,
        }
    }

    /// What was tried, in a word.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Failed { call, .. } | Self::TimedOut { call } => call.verb,
        }
    }

    /// The call and what the API server said to it, in one line.
    pub fn summary(&self) -> String {
        match self {
            Self::Failed { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => format!("{self}: {}", status.message),
                other => format!("{self}: {other}"),
            },
            Self::TimedOut { .. } => self.to_string(),
        }
    }
}

/// What an error of the client means.
pub(super) fn classify(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => Class::Forbidden,
            404 | 410 => Class::NotFound,
            409 => Class::Conflict,
            400 | 413 | 422 => Class::Invalid,
            408 | 504 => Class::Timeout,
            _ => Class::Unavailable,
        },
        _ => Class::Unavailable,
    }
}
