//! The Deployment of an Integration's workers.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Container, ContainerPort, HTTPGetAction, PodTemplateSpec, Probe},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use ropeway_crds::names;

use super::{
    Settings, meta,
    pod::{self, ADMIN_PORT, INTAKE_PORT},
};
use crate::integration::resolve::Resolved;

pub use super::pod::NATS_SECRET;

/// Name of the port that takes events.
pub const INTAKE_PORT_NAME: &str = "http";

const ADMIN_PORT_NAME: &str = "admin";

/// The Deployment of an Integration's workers.
pub fn deployment(resolved: &Resolved, settings: &Settings, config_map: &str) -> Deployment {
    let Resolved { identity, replicas, template, .. } = resolved;
    let mut labels = template.labels.clone().unwrap_or_default();
    labels.extend(meta::labels(identity));
    let annotations = template.annotations.clone().filter(|annotations| !annotations.is_empty());
    Deployment {
        metadata: meta::child(identity, names::child(&identity.name)),
        spec: Some(DeploymentSpec {
            replicas: Some(*replicas),
            selector: LabelSelector { match_labels: Some(meta::selector(identity)), match_expressions: None },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(2),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() }),
                spec: Some(pod::spec(resolved, settings, config_map, serving())),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// What a worker has that serves, beside what every pod of ours has.
fn serving() -> Container {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    Container {
        ports: Some(vec![port(INTAKE_PORT_NAME, INTAKE_PORT), port(ADMIN_PORT_NAME, ADMIN_PORT)]),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 3, 3)),
        ..Container::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ADMIN_PORT_NAME.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
