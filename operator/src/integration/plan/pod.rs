//! The pod that workers run in, be it for ever or for one reading. It passes Pod Security `restricted` and can't talk to the
//! API server.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector,
        PodSecurityContext, PodSpec, ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretVolumeSource,
        SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use ropeway_auth::azure::TOKEN_FILE;
use ropeway_crds::names;

use super::Settings;
use crate::integration::resolve::{Mounts, Resolved};

/// Name of the Secret with a namespace's NATS credentials.
pub const NATS_SECRET: &str = "ropeway-nats";

const CONFIG_FOLDER: &str = "/etc/ropeway";
const SECRETS_FOLDER: &str = "/var/run/ropeway/secrets";
const CONFIG_MAPS_FOLDER: &str = "/var/run/ropeway/config-maps";
const NATS_FOLDER: &str = "/var/run/ropeway/nats";
pub(super) const INTAKE_PORT: i32 = 8080;
pub(super) const ADMIN_PORT: i32 = 8081;

/// Name of the volume with the configuration.
pub(super) const CONFIG_VOLUME: &str = "config";

const AZURE_VOLUME: &str = "azure-identity-token";

/// Distroless' `nonroot`.
const USER: i64 = 65532;

/// Workers finish what they have in hand: one delivery takes at most 2 m, but the common one 15 s, and what is not done
/// is given back.
const GRACE_SECONDS: i64 = 45;

/// The pod. `special` holds what its container has beside what all have.
pub(super) fn spec(resolved: &Resolved, settings: &Settings, config_map: &str, special: Container) -> PodSpec {
    let template = resolved.template.clone();
    let (volumes, mounts) = volumes(config_map, &resolved.mounts);
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
        containers: vec![container(settings, template.resources, mounts, special)],
        volumes: Some(volumes),
        node_selector: template.node_selector.filter(|labels| !labels.is_empty()),
        tolerations: template.tolerations.filter(|tolerations| !tolerations.is_empty()),
        affinity: template.affinity,
        topology_spread_constraints: template.topology_spread_constraints.filter(|constraints| !constraints.is_empty()),
        service_account_name: template.service_account_name,
        ..PodSpec::default()
    }
}

fn container(
    settings: &Settings,
    resources: Option<ResourceRequirements>,
    mounts: Vec<VolumeMount>,
    special: Container,
) -> Container {
    let arguments = [
        format!("--config={CONFIG_FOLDER}/{}", super::config_map::KEY),
        format!("--secrets={SECRETS_FOLDER}"),
        format!("--config-maps={CONFIG_MAPS_FOLDER}"),
        format!("--nats-credentials={NATS_FOLDER}"),
        format!("--nats-url={}", settings.nats_url),
        format!("--listen=0.0.0.0:{INTAKE_PORT}"),
        format!("--listen-admin=0.0.0.0:{ADMIN_PORT}"),
        "--worker-name=$(POD_NAME)".to_owned(),
    ];
    Container {
        name: "worker".into(),
        image: Some(settings.worker_image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec!["ropeway-worker".into()]),
        args: Some(arguments.into_iter().chain(special.args.clone().unwrap_or_default()).collect()),
        env: Some(vec![EnvVar {
            name: "POD_NAME".into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector { field_path: "metadata.name".into(), api_version: None }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        resources: Some(resources.unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts.into_iter().chain(special.volume_mounts.clone().unwrap_or_default()).collect()),
        ..special
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

/// A missing Secret or ConfigMap stops its lane and not the pod, so each is optional.
fn volumes(config_map: &str, needed: &Mounts) -> (Vec<Volume>, Vec<VolumeMount>) {
    let Mounts { secrets, config_maps, azure_token } = needed;
    let mount = |name: &str, path: String| VolumeMount {
        name: name.into(),
        mount_path: path,
        read_only: Some(true),
        ..VolumeMount::default()
    };
    // By name and not by place in the list, so that another one changes nothing for this one.
    let named = |kind: &str, name: &str| format!("{kind}-{}", names::hash(name.as_bytes(), 10));
    let config = Volume {
        name: CONFIG_VOLUME.into(),
        config_map: Some(ConfigMapVolumeSource { name: config_map.into(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let mut volumes = vec![config, secret("nats", NATS_SECRET, None)];
    let mut mounts = vec![mount(CONFIG_VOLUME, CONFIG_FOLDER.into()), mount("nats", NATS_FOLDER.into())];
    for (name, keys) in secrets {
        let volume = named("secret", name);
        volumes.push(secret(&volume, name, Some(items(keys))));
        mounts.push(mount(&volume, format!("{SECRETS_FOLDER}/{name}")));
    }
    for (name, keys) in config_maps {
        let volume = named("config-map", name);
        let source = ConfigMapVolumeSource {
            name: name.clone(),
            optional: Some(true),
            items: Some(items(keys)),
            default_mode: None,
        };
        volumes.push(Volume { name: volume.clone(), config_map: Some(source), ..Volume::default() });
        mounts.push(mount(&volume, format!("{CONFIG_MAPS_FOLDER}/{name}")));
    }
    if let Some((folder, file)) = TOKEN_FILE.rsplit_once('/').filter(|_| *azure_token) {
        volumes.push(azure(file));
        mounts.push(mount(AZURE_VOLUME, folder.into()));
    }
    (volumes, mounts)
}

/// A token of the service account that Entra ID takes and the API server does not. The webhook of AKS finds it there and adds
/// no other.
fn azure(file: &str) -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some("api://AzureADTokenExchange".into()),
        expiration_seconds: Some(3600),
        path: file.into(),
    };
    let projection = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let projected = ProjectedVolumeSource { sources: Some(vec![projection]), default_mode: None };
    Volume { name: AZURE_VOLUME.into(), projected: Some(projected), ..Volume::default() }
}

fn secret(volume: &str, name: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    let source = SecretVolumeSource { secret_name: Some(name.into()), optional: Some(true), items, default_mode: None };
    Volume { name: volume.into(), secret: Some(source), ..Volume::default() }
}

fn items(keys: &BTreeSet<String>) -> Vec<KeyToPath> {
    keys.iter().map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None }).collect()
}
