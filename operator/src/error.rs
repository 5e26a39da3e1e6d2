//! What a reconcile can fail with. The class, not the text, decides when it is tried again and what the metric says.

use std::time::Duration;

use ropeway_crds::condition::{ConditionType, Finding, Reason};

use crate::{
    integration::{apply::ApplyError, visits::backoff},
    io::{
        jetstream::{NatsClass, NatsError},
        kubernetes::{Class, KubeError},
    },
};

/// A reconcile failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read or a write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The namespace is not there.
    #[error("there is no namespace {name:?}")]
    NoNamespace {
        /// Its name.
        name: String,
    },
    /// The thread that checks expressions ended.
    #[error("failed to check the expressions")]
    Compiler(#[source] tokio::task::JoinError),
}

impl From<KubeError> for Error {
    fn from(error: KubeError) -> Self {
        Self::Apply(error.into())
    }
}

impl From<NatsError> for Error {
    fn from(error: NatsError) -> Self {
        Self::Apply(error.into())
    }
}

impl Error {
    /// The metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Apply(ApplyError::Kubernetes(error)) => error.class().as_str(),
            Self::Apply(ApplyError::Nats(error)) => match error.class() {
                NatsClass::Unavailable => "NatsUnavailable",
                NatsClass::Unauthorized => "NatsUnauthorized",
                NatsClass::Refused => "StreamRefused",
            },
            Self::Apply(ApplyError::SourceMissing { .. }) => "StreamNotFound",
            Self::Apply(ApplyError::StartTime { .. }) => "InvalidSpec",
            Self::Apply(ApplyError::Contended) => "Conflict",
            Self::Apply(ApplyError::KindMissing { .. }) => "KindNotFound",
            Self::Apply(ApplyError::Expose { source, .. }) => source.class().as_str(),
            Self::NoNamespace { .. } => "NotFound",
            Self::Compiler(_) => "Compiler",
        }
    }

    /// Whether NATS can't be reached at all.
    pub fn is_nats_down(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Nats(error)) if error.class() != NatsClass::Refused)
    }

    /// When it is tried again after that many failures in a row. `jitter` is at least 0 and below 1.
    pub fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let longest = match self {
            // Somebody else wrote in between: the next try reads anew.
            Self::Apply(ApplyError::Kubernetes(error)) if error.class() == Class::Conflict => {
                Duration::from_millis(300)
            }
            // Its coming back should be felt soon, and asking costs nothing there.
            Self::Apply(
                ApplyError::Nats(_)
                | ApplyError::SourceMissing { .. }
                | ApplyError::KindMissing { .. }
                | ApplyError::StartTime { .. },
            ) => Duration::from_secs(15),
            _ => Duration::MAX,
        };
        backoff(failures, jitter).min(longest)
    }

    /// The condition that it makes false, with what to do about it.
    pub fn finding(&self) -> Finding {
        let (kind, reason, message) = match self {
            Self::Apply(ApplyError::SourceMissing { stream }) => (
                ConditionType::SourceReady,
                Reason::StreamNotFound,
                format!("spec.source.stream.stream: there is no stream {stream:?}; create it or correct the name"),
            ),
            Self::Apply(error @ ApplyError::StartTime { .. }) => {
                (ConditionType::SourceReady, Reason::InvalidSpec, error.to_string())
            }
            Self::Apply(ApplyError::Nats(error)) => (ConditionType::SourceReady, nats_reason(error), error.to_string()),
            Self::Apply(ApplyError::KindMissing { field, kind }) => (
                ConditionType::SourceReady,
                Reason::KindNotFound,
                format!(
                    "{field}: this cluster has no {kind}; install the CRDs of the Gateway API (v1), or use ingress"
                ),
            ),
            Self::Apply(ApplyError::Expose { field, source }) => {
                let message = format!("{field}: {}", source.summary());
                (ConditionType::SourceReady, expose_reason(source.class()), message)
            }
            Self::Apply(ApplyError::Kubernetes(error)) if error.class() == Class::Forbidden => {
                (ConditionType::WorkersAvailable, Reason::Forbidden, error.summary())
            }
            Self::Apply(ApplyError::Kubernetes(error)) => {
                (ConditionType::WorkersAvailable, Reason::Failed, error.summary())
            }
            other => (ConditionType::SourceReady, Reason::Failed, other.to_string()),
        };
        Finding::fails(kind, reason, message)
    }
}

fn expose_reason(class: Class) -> Reason {
    match class {
        Class::Forbidden => Reason::Forbidden,
        Class::Invalid => Reason::ExposeRefused,
        _ => Reason::Failed,
    }
}

fn nats_reason(error: &NatsError) -> Reason {
    match error.class() {
        NatsClass::Unavailable => Reason::NatsUnavailable,
        NatsClass::Unauthorized => Reason::NatsUnauthorized,
        NatsClass::Refused => Reason::StreamRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u64) -> Error {
        NatsError::Refused { call: "create stream x".into(), code, description: "no (error code 10047)".into() }.into()
    }

    #[test]
    fn the_class_decides_reason_label_and_pause() {
        let finding = refused(10047).finding();
        assert_eq!((finding.reason, finding.kind), (Reason::StreamRefused, ConditionType::SourceReady));
        assert!(finding.message.contains("10047"), "{}", finding.message);
        assert_eq!(refused(10008).class(), "NatsUnavailable");
        let missing: Error = ApplyError::SourceMissing { stream: "ORDERS".into() }.into();
        assert_eq!(missing.finding().reason, Reason::StreamNotFound);
        assert!(missing.pause(30, 0.0) <= Duration::from_secs(15));
        assert!(Error::NoNamespace { name: "n".into() }.pause(30, 0.0) > Duration::from_secs(60));
    }
}
