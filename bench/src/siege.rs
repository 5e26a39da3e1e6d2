//! I1: what healthy senders notice while others hold ten thousand connections that do nothing, send bodies that never end and
//! heads that never end; and what that costs in memory.

use std::{path::Path, time::Duration};

use crate::{
    Error,
    args::RunArgs,
    call::{Content, latency},
    control::Sink,
    figures::Metric,
    golden,
    lanes::waiting,
    paced::{Latency, Pace, WARM_UP},
    process::{Launch, Process, SURROUNDINGS, free_port},
    results::{Figure, Origin},
    rounds::Rounds,
    scene::Scene,
    server::Server,
    variant::launch_worker_at,
    workload::Workload,
};

/// Events a second of the healthy senders.
const RATE: u32 = 200;

/// Connections that do nothing.
const IDLE: u32 = 10_000;

/// Senders whose bodies never end.
const SLOW: u32 = 200;

/// Senders whose heads never end.
const FLOODS: u32 = 50;

/// One run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    latency: Latency,
    peak_rss: f64,
}

/// The metrics of a run.
const METRICS: [Metric<Sample>; 3] = [
    ("latency_p50", "ms", |sample| sample.latency.p50),
    ("latency_p99", "ms", |sample| sample.latency.p99),
    ("peak_rss", "MB", |sample| sample.peak_rss),
];

const NAMES: [&str; 2] = ["calm", "abused"];

/// Runs with and without those who mean no good.
///
/// # Errors
/// When a healthy sender is not answered with a 200, or an event does not reach its destination.
pub async fn measure(args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let rounds = Rounds::of(Workload::I1, args.pairs, &NAMES);
    rounds.measure(&METRICS, origin, async |place: usize| once(NAMES[place], args, sink).await).await
}

async fn once(variant: &str, args: &RunArgs, sink: &Sink) -> Result<Sample, Error> {
    let folder = golden::scratch()?;
    let scene = Scene::new(folder.path(), &[sink.takes(0)], Workload::I1)?;
    let server = Server::start(&folder.path().join("nats")).await?;
    scene.apply(&server).await?;
    let port = free_port()?;
    let mut worker = launch_worker_at(port, &server, &scene, &args.worker, folder.path())?.start(folder.path())?;
    let (jetstream, stream, consumer) = (server.jetstream().await?, scene.stream(), scene.consumer());
    let asks = async || waiting(&jetstream, &stream, consumer.as_str()).await;
    worker.until("a pull of the worker", Duration::from_secs(20), asks).await?;
    sink.begin().await?;
    let abuse = if variant == NAMES[1] { Some(besiege(port, folder.path()).await?) } else { None };
    let url = format!("http://127.0.0.1:{port}/hooks/0");
    let latency = latency(&url, Content::Event, Pace { rate: RATE, seconds: args.seconds }, folder.path()).await?;
    // Those who mean no good were all there until now.
    if let Some(mut abuse) = abuse {
        abuse.check()?;
    }
    let peak = worker.cost()?.peak_rss;
    let events = u64::from(RATE) * (args.seconds + WARM_UP);
    let delivered = async || match sink.report().await?.records {
        records if records == events => Ok(()),
        records => Err(format!("{records} of {events} events at the destination").into()),
    };
    worker.until("every event", Duration::from_secs(30), delivered).await?;
    #[allow(clippy::cast_precision_loss)] // Bytes of memory are far below 2^52.
    Ok(Sample { latency, peak_rss: peak as f64 / 1e6 })
}

/// Starts those who mean no good and waits until they are all there.
async fn besiege(port: u16, folder: &Path) -> Result<Process, Error> {
    let ready = folder.join("besieged");
    let numbers = [("--idle", IDLE), ("--slow", SLOW), ("--floods", FLOODS)];
    let numbers = numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]);
    let launch = Launch::own("abuse", SURROUNDINGS)?.arguments(["--host", &format!("127.0.0.1:{port}")]);
    let launch = launch.arguments(numbers).arguments(["--ready".into(), ready.clone().into_os_string()]);
    let mut process = launch.start(folder)?;
    let is_there = async || if ready.exists() { Ok(()) } else { Err("not all are connected".into()) };
    process.until("ten thousand connections", Duration::from_secs(60), is_there).await?;
    Ok(process)
}
