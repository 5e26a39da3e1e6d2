//! Stage apply: a [`Plan`] comes in, [`Applied`] goes out. Streams first, then the wish, then the workers; each step may be
//! the last one before a crash and all of them may be done again.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::ResourceExt;

use crate::{
    integration::plan::{Plan, meta},
    io::{
        jetstream::NatsError,
        kubernetes::{KubeError, Kubernetes},
    },
};

mod expose;
mod streams;
mod trim;

pub use expose::apply_exposure;
pub use streams::{RemovedLane, StreamsApplied, apply_streams, ensure_wish, recorded_lanes, remove_from_record};

/// Something could not be brought to what the plan says.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The user's stream does not exist.
    #[error("there is no stream {stream:?}")]
    SourceMissing {
        /// Its name.
        stream: String,
    },
    /// The time at which a stream of the user's is to be begun can't be used.
    #[error("spec.source.stream.startTime: {why}")]
    StartTime {
        /// Why, with the remedy.
        why: &'static str,
    },
    /// A record was written by others again and again while it was to be changed.
    #[error("failed to change the trim record: others write it all the time")]
    Contended,
    /// A request to NATS failed.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The cluster has no such kind.
    #[error("{field}: the cluster has no {kind}")]
    KindMissing {
        /// The field that asks for it.
        field: &'static str,
        /// The kind, as a CRD is named.
        kind: String,
    },
    /// The Ingress or HTTPRoute could not be written or removed.
    #[error("{field} can't be brought to what it says")]
    Expose {
        /// The field that asks for it.
        field: &'static str,
        /// What went wrong.
        #[source]
        source: KubeError,
    },
    /// A request to the API server failed.
    #[error(transparent)]
    Kubernetes(#[from] KubeError),
}

/// Writes the objects of a plan. Answers the Deployment as it is now.
///
/// # Errors
/// The first write that failed.
pub async fn apply_children(kubernetes: &Kubernetes, plan: &Plan) -> Result<Deployment, ApplyError> {
    let namespace = &plan.identity.namespace;
    kubernetes.apply(namespace, &plan.config_map).await?;
    if let Some(service) = &plan.service {
        kubernetes.apply(namespace, service).await?;
    }
    let deployment = kubernetes.apply(namespace, &plan.deployment).await?;
    // Last: whatever it starts finds streams, a wish and lanes.
    if let Some(cron_job) = &plan.cron_job {
        kubernetes.apply(namespace, cron_job).await?;
    }
    Ok(deployment)
}

/// Removes the configurations that no worker runs with any more.
///
/// # Errors
/// The first call that failed.
pub async fn prune_config_maps(kubernetes: &Kubernetes, plan: &Plan) -> Result<(), ApplyError> {
    let namespace = &plan.identity.namespace;
    let labels = format!("{}={}", meta::UID_LABEL, plan.identity.uid);
    let found = kubernetes.list::<ConfigMap>(namespace, &labels).await?;
    for name in superseded(found.iter().map(ResourceExt::name_any), &plan.config_map.name_any()) {
        kubernetes.delete_owned::<ConfigMap>(namespace, &name, &plan.identity.uid).await?;
    }
    Ok(())
}

/// Which of these left the plan.
fn superseded(found: impl Iterator<Item = String>, current: &str) -> Vec<String> {
    found.filter(|name| name != current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_left_the_plan_is_pruned() {
        let found = ["ropeway-a-1", "ropeway-a-2"].map(str::to_owned);
        assert_eq!(superseded(found.into_iter(), "ropeway-a-2"), ["ropeway-a-1"]);
    }
}
