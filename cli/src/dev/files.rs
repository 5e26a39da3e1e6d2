//! Batch sources in a local run: read once at the start, and again by their schedule.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use ropeway_crds::{
    schedule::Schedule,
    source::{BatchFile, BatchFrom},
};
use ropeway_worker::{
    intake::batch::{Ending, Job},
    worker,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::DevError;
use crate::manifest::Manifests;

/// With a sink nothing leaves this machine: what would be fetched is read from the file of its name in the folder `demo`
/// beside the manifest.
pub(super) fn redirect(manifests: &mut Manifests) {
    for (integration, _) in &mut manifests.integrations {
        let Some(batch) = &mut integration.spec.source.batch else { continue };
        if batch.from.file.is_none() {
            let shown = batch.from.shown();
            let name = shown.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let file = BatchFile { claim_name: "demo".into(), path: format!("demo/{name}") };
            batch.from = BatchFrom { file: Some(file), ..BatchFrom::default() };
        }
    }
}

/// The folder that stands for every claim: that of the first manifest with a batch source.
pub(super) fn folder(manifests: &Manifests) -> PathBuf {
    let mut of_batch = manifests.integrations.iter().filter(|(it, _)| it.spec.source.batch.is_some());
    let folder = of_batch.next().and_then(|(_, origin)| origin.file.parent().map(Path::to_owned));
    folder.unwrap_or_default()
}

/// Starts the reading of every batch source. It ends when it is told to stop.
///
/// # Errors
/// If a source can't be used as it is configured.
pub(super) fn start(
    prepared: &ropeway_worker::config::Prepared,
    secrets: &ropeway_auth::secret::Secrets,
    client: &async_nats::Client,
    folder: &Path,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, DevError> {
    let mut reading = JoinSet::new();
    for job in worker::batch_jobs(prepared, "dev", secrets, client, folder)? {
        reading.spawn(read(Arc::new(job), stop.clone()));
    }
    Ok(reading)
}

async fn read(job: Arc<Job>, stop: CancellationToken) {
    // It was checked when the manifests were.
    let Ok(schedule) = Schedule::parse(&job.spec.schedule, job.spec.time_zone.as_deref()) else { return };
    loop {
        match job.run(&stop).await {
            Ending::Done(run) => {
                let counts = run.counts;
                eprintln!("{}: {}; {} rows, {} of them refused", run.object, run.message, counts.rows, counts.refused);
            }
            Ending::Failed(message, _) | Ending::Interrupted(message) | Ending::Busy(message) => eprintln!("{message}"),
        }
        let Some(next) = schedule.next(Timestamp::now()).filter(|_| !job.spec.suspend.unwrap_or_default()) else {
            return;
        };
        let wait = next.duration_since(Timestamp::now()).unsigned_abs();
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}
