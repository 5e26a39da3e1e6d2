//! O1: what lanes cost that have nothing to do.

use std::time::Duration;

use crate::{
    Error,
    args::RunArgs,
    figures::Metric,
    lanes::Lanes,
    results::{Figure, Origin},
    rounds::Rounds,
    workload::Workload,
};

/// Whatever a worker does once after its start is over then.
const SETTLE: Duration = Duration::from_secs(5);

/// What a worker and its server cost while nothing happens.
#[derive(Clone, Copy, Debug)]
struct Sample {
    rss: f64,
    cpu: f64,
    server_rss: f64,
    server_cpu: f64,
}

/// The metrics of a sample, with their units.
const METRICS: [Metric<Sample>; 4] = [
    ("rss", "MB", |sample| sample.rss),
    ("cpu_share", "% of a core", |sample| sample.cpu),
    ("server_rss", "MB", |sample| sample.server_rss),
    ("server_cpu_share", "% of a core", |sample| sample.server_cpu),
];

/// Watches a worker with one lane, and one with many.
///
/// # Errors
/// When a worker does not open its lanes.
pub async fn measure(args: &RunArgs, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let many = format!("{} lanes", args.lanes);
    let once = async |place: usize| once(if place == 0 { 1 } else { args.lanes }, args).await;
    Rounds::of(Workload::O1, args.pairs, &["1 lane", &many]).measure(&METRICS, origin, once).await
}

async fn once(lanes: usize, args: &RunArgs) -> Result<Sample, Error> {
    // Nothing is ever sent there.
    let urls: Vec<String> = (0..lanes).map(|lane| format!("http://127.0.0.1:9/take/{lane}")).collect();
    let mut lanes = Lanes::open(&urls, Workload::O1, &args.worker).await?;
    tokio::time::sleep(SETTLE).await;
    let before = (lanes.worker.cost()?, lanes.server.process.cost()?);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let after = (lanes.worker.cost()?, lanes.server.process.cost()?);
    #[allow(clippy::cast_precision_loss)] // Bytes of memory are far below 2^52.
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let share = |cpu: Duration| cpu.as_secs_f64() / Duration::from_secs(args.seconds).as_secs_f64() * 100.0;
    Ok(Sample {
        rss: megabytes(after.0.rss),
        cpu: share(after.0.cpu - before.0.cpu),
        server_rss: megabytes(after.1.rss),
        server_cpu: share(after.1.cpu - before.1.cpu),
    })
}
