//! The CronJob of a batch source. Its Jobs run in the same pod as the workers do, with another command.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{
            CronJob, CronJobSpec, JobSpec, JobTemplateSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyRule,
        },
        core::v1::{Container, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume, VolumeMount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use ropeway_crds::{integration::State, names, source::BatchSource};

use super::{
    Settings, meta,
    pod::{self, CONFIG_VOLUME},
};
use crate::integration::resolve::Resolved;

/// The label with the Integration's UID on the pods of its Jobs. They don't carry the label by which a Deployment finds its
/// pods: they are no workers and must not be counted as such.
const JOB_LABEL: &str = "ropeway.dev/batch-of";

const CLAIM_FOLDER: &str = "/var/run/ropeway/claim";
const CLAIM_VOLUME: &str = "claim";

/// A run that failed is tried again so often, with pauses of ten seconds, twenty, …: each goes on where the last one ended.
const MOST_TRIES: i32 = 5;

/// Exit codes after which another try would end the same way: another run is at work, or somebody has to change something.
const HOPELESS: [i32; 2] = [3, 4];

/// The CronJob of an Integration with a batch source.
pub fn cron_job(resolved: &Resolved, batch: &BatchSource, settings: &Settings, config_map: &str) -> CronJob {
    let identity = &resolved.identity;
    let starting = batch.starting_deadline.map_or(3600, |deadline| deadline.std().as_secs());
    CronJob {
        metadata: meta::child(identity, names::child(&identity.name)),
        spec: Some(CronJobSpec {
            schedule: batch.schedule.clone(),
            time_zone: Some(batch.time_zone.clone().unwrap_or_else(|| "Etc/UTC".into())),
            concurrency_policy: Some("Forbid".into()),
            suspend: Some(batch.suspend.unwrap_or_default() || resolved.state == State::Stopped),
            starting_deadline_seconds: i64::try_from(starting).ok(),
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(3),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(resolved)), ..ObjectMeta::default() }),
                spec: Some(job(resolved, batch, settings, config_map)),
            },
        }),
        status: None,
    }
}

fn labels(resolved: &Resolved) -> BTreeMap<String, String> {
    let mut labels = meta::labels(&resolved.identity);
    labels.remove(meta::UID_LABEL);
    labels.insert(JOB_LABEL.into(), resolved.identity.uid.clone());
    labels
}

fn job(resolved: &Resolved, batch: &BatchSource, settings: &Settings, config_map: &str) -> JobSpec {
    let template = &resolved.template;
    let mut of_pod = template.labels.clone().unwrap_or_default();
    of_pod.extend(labels(resolved));
    of_pod.remove(meta::UID_LABEL);
    let annotations = template.annotations.clone().filter(|annotations| !annotations.is_empty());
    let claim = batch.from.file.as_ref().map(|file| file.claim_name.clone());
    let mut pod = pod::spec(resolved, settings, config_map, reading(claim.as_ref()));
    pod.restart_policy = Some("Never".into());
    let volumes = pod.volumes.get_or_insert_default();
    for volume in volumes.iter_mut().filter(|volume| volume.name == CONFIG_VOLUME) {
        // A Job that was made before a change of the spec names a configuration that may be gone. Its pod must end with a
        // word on that and not wait for ever, since no other run would begin meanwhile.
        if let Some(map) = &mut volume.config_map {
            map.optional = Some(true);
        }
    }
    volumes.extend(claim.map(|claim_name| Volume {
        name: CLAIM_VOLUME.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: Some(true) }),
        ..Volume::default()
    }));
    JobSpec {
        backoff_limit: Some(MOST_TRIES),
        pod_failure_policy: Some(PodFailurePolicy { rules: vec![ends_at_once()] }),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(of_pod), annotations, ..ObjectMeta::default() }),
            spec: Some(pod),
        },
        ..JobSpec::default()
    }
}

fn ends_at_once() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some("worker".into()),
            operator: "In".into(),
            values: HOPELESS.into(),
        }),
        ..PodFailurePolicyRule::default()
    }
}

/// What a container has that reads, beside what all have.
fn reading(claim: Option<&String>) -> Container {
    let mount = VolumeMount {
        name: CLAIM_VOLUME.into(),
        mount_path: CLAIM_FOLDER.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        args: Some(["batch".to_owned(), format!("--claim={CLAIM_FOLDER}")].into()),
        volume_mounts: claim.map(|_| vec![mount]),
        ..Container::default()
    }
}
