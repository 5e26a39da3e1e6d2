//! The Deployment of an Integration's workers. Its pods pass Pod Security `restricted` and can't talk to the API server.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
            KeyToPath, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
            SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use ropeway_crds::{names, template::Template};

use super::{Settings, meta};
use crate::integration::resolve::Resolved;

/// Name of the Secret with a namespace's NATS credentials.
pub const NATS_SECRET: &str = "ropeway-nats";

/// Name of the port that takes events.
pub const INTAKE_PORT_NAME: &str = "http";

const CONFIG_FOLDER: &str = "/etc/ropeway";
const SECRETS_FOLDER: &str = "/var/run/ropeway/secrets";
const NATS_FOLDER: &str = "/var/run/ropeway/nats";
const INTAKE_PORT: i32 = 8080;
const ADMIN_PORT: i32 = 8081;
const ADMIN_PORT_NAME: &str = "admin";

/// Distroless' `nonroot`.
const USER: i64 = 65532;

/// Workers finish what they have in hand: one delivery takes at most 2 m, but the common one 15 s, and what is not done
/// is given back.
const GRACE_SECONDS: i64 = 45;

/// The Deployment of an Integration's workers.
pub fn deployment(resolved: &Resolved, settings: &Settings, config_map: &str) -> Deployment {
    let Resolved { identity, secrets, replicas, template, .. } = resolved;
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
                spec: Some(pod(template, settings, config_map, secrets)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod(
    template: &Template,
    settings: &Settings,
    config_map: &str,
    secrets: &BTreeMap<String, BTreeSet<String>>,
) -> PodSpec {
    let template = template.clone();
    let (volumes, mounts) = volumes(config_map, secrets);
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(settings, template.resources, mounts)],
        volumes: Some(volumes),
        node_selector: template.node_selector.filter(|labels| !labels.is_empty()),
        tolerations: template.tolerations.filter(|tolerations| !tolerations.is_empty()),
        affinity: template.affinity,
        topology_spread_constraints: template.topology_spread_constraints.filter(|constraints| !constraints.is_empty()),
        service_account_name: template.service_account_name,
        ..PodSpec::default()
    }
}

fn container(settings: &Settings, resources: Option<ResourceRequirements>, mounts: Vec<VolumeMount>) -> Container {
    let arguments = [
        format!("--config={CONFIG_FOLDER}/{}", super::config_map::KEY),
        format!("--secrets={SECRETS_FOLDER}"),
        format!("--nats-credentials={NATS_FOLDER}"),
        format!("--nats-url={}", settings.nats_url),
        format!("--listen=0.0.0.0:{INTAKE_PORT}"),
        format!("--listen-admin=0.0.0.0:{ADMIN_PORT}"),
        "--worker-name=$(POD_NAME)".to_owned(),
    ];
    let port = |name: &str, number| ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    Container {
        name: "worker".into(),
        image: Some(settings.worker_image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec!["ropeway-worker".into()]),
        args: Some(arguments.into()),
        env: Some(vec![EnvVar {
            name: "POD_NAME".into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector { field_path: "metadata.name".into(), api_version: None }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![port(INTAKE_PORT_NAME, INTAKE_PORT), port(ADMIN_PORT_NAME, ADMIN_PORT)]),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 3, 3)),
        resources: Some(resources.unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts),
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

/// A worker that is idle needs little; one that maps large events needs 16 MiB for each that it has in hand.
fn default_resources() -> ResourceRequirements {
    let quantities = |entries: &[(&str, &str)]| {
        entries.iter().map(|(name, quantity)| ((*name).to_owned(), Quantity((*quantity).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "20m"), ("memory", "64Mi")])),
        limits: Some(quantities(&[("memory", "512Mi")])),
        claims: None,
    }
}

/// A missing Secret stops its lane and not the pod, so every Secret is optional.
fn volumes(config_map: &str, secrets: &BTreeMap<String, BTreeSet<String>>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mount = |name: &str, path: String| VolumeMount {
        name: name.into(),
        mount_path: path,
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let secret = |volume: &str, name: &str, items: Option<Vec<KeyToPath>>| Volume {
        name: volume.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.into()),
            optional: Some(true),
            items,
            default_mode: None,
        }),
        ..Volume::default()
    };
    let config = Volume {
        name: "config".into(),
        config_map: Some(ConfigMapVolumeSource { name: config_map.into(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let mut volumes = vec![config, secret("nats", NATS_SECRET, None)];
    let mut mounts = vec![mount("config", CONFIG_FOLDER.into()), mount("nats", NATS_FOLDER.into())];
    for (name, keys) in secrets {
        // By name and not by place in the list, so that another Secret changes nothing for this one.
        let volume = format!("secret-{}", names::hash(name.as_bytes(), 10));
        let items = keys.iter().map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None }).collect();
        volumes.push(secret(&volume, name, Some(items)));
        mounts.push(mount(&volume, format!("{SECRETS_FOLDER}/{name}")));
    }
    (volumes, mounts)
}
