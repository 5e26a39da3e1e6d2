//! `ropeway dev` without `--send`: runs until it is told to stop, reads the files again when they change, and shows how
//! the Integrations fare.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use ropeway_worker::shutdown;

use super::{Dev, DevError, Running};
use crate::{
    args::DevArgs,
    manifest::{files, load},
    stage::{Staged, stage},
};

/// `ropeway dev` without `--send`: runs until it is told to stop, and reads the files again when they change.
///
/// # Errors
/// See [`DevError`]. Later faults in the files are shown, and the last good ones go on.
pub async fn watch(args: DevArgs) -> Result<(), DevError> {
    let stop = shutdown::on_signal();
    let mut dev = Dev::start(args.clone()).await?;
    let mut running = dev.run().await?;
    greet(&running);
    let mut seen = newest(&args.paths);
    let mut shown = String::new();
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_some() {
        let changed = newest(&args.paths);
        if changed != seen {
            seen = changed;
            running = reload(&dev, running).await?;
        }
        let line = dev.look(&running).await.map(crate::table::line)?;
        if line != shown {
            eprintln!("{line}");
            shown = line;
        }
    }
    running.end().await;
    Ok(())
}

/// Puts changed files into effect. Files that are wrong leave the worker as it is.
async fn reload(dev: &Dev, running: Running) -> Result<Running, DevError> {
    // Checked first, so that a worker is only ended for one that can take its place.
    let check = load(&dev.args.paths).and_then(|manifests| stage(&manifests, &crate::check::settings()));
    if let Err(faults) = check {
        eprintln!("the files have problems; what was in effect stays so");
        faults.iter().for_each(|fault| eprintln!("  {fault}"));
        return Ok(running);
    }
    running.end().await;
    let running = dev.run().await?;
    eprintln!("the changed files are in effect");
    Ok(running)
}

fn greet(running: &Running) {
    for Staged { plan, integration } in &running.staged {
        let source = &integration.spec.source;
        match (&source.webhook, &source.poll) {
            _ if source.request.is_some() => {
                let path = source.request.as_ref().map_or("", |request| request.path.as_str());
                eprintln!("{}: send requests to http://{}{path}", plan.identity.name, running.address);
            }
            (Some(webhook), _) => {
                eprintln!("{}: send events to http://{}{}", plan.identity.name, running.address, webhook.path)
            }
            (None, Some(poll)) => eprintln!("{}: polls {}", plan.identity.name, poll.request.url),
            (None, None) if plan.cron_job.is_some() => eprintln!("{}: reads its file", plan.identity.name),
            (None, None) => eprintln!("{}: reads the stream {}", plan.identity.name, plan.jetstream.source_stream()),
        }
    }
}

/// When any of the files was last changed.
fn newest(paths: &[PathBuf]) -> Vec<(PathBuf, Option<SystemTime>)> {
    let changed = |path: PathBuf| {
        let time = std::fs::metadata(&path).and_then(|data| data.modified()).ok();
        (path, time)
    };
    files(paths).unwrap_or_default().into_iter().map(changed).collect()
}
