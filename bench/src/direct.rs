//! R1: what a `request` source adds to calling the vendor directly: verification, mapping, limits and circuit.

use std::time::Duration;

use crate::{
    Error,
    args::RunArgs,
    call::{Content, latency},
    control::Sink,
    figures::Metric,
    golden,
    lanes::waiting,
    paced::{Latency, Pace},
    process::free_port,
    results::{Figure, Origin},
    rounds::Rounds,
    scene::Scene,
    server::Server,
    variant::launch_worker_at,
    workload::Workload,
};

/// Calls a second.
const RATE: u32 = 500;

/// The metrics of a run.
const METRICS: [Metric<Latency>; 2] =
    [("latency_p50", "ms", |sample| sample.p50), ("latency_p99", "ms", |sample| sample.p99)];

/// Calls the vendor directly and by a `request` source, in turns.
///
/// # Errors
/// When a call is not answered with a 200.
pub async fn measure(args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let pace = Pace { rate: RATE, seconds: args.seconds };
    let once = async |place: usize| {
        sink.begin().await?;
        match place {
            0 => latency(&sink.takes(0), Content::Record, pace, golden::scratch()?.path()).await,
            _ => by_worker(pace, args, sink).await,
        }
    };
    Rounds::of(Workload::R1, args.pairs, &["direct", "ropeway"]).measure(&METRICS, origin, once).await
}

async fn by_worker(pace: Pace, args: &RunArgs, sink: &Sink) -> Result<Latency, Error> {
    let folder = golden::scratch()?;
    let scene = Scene::new(folder.path(), &[sink.takes(0)], Workload::R1)?;
    let server = Server::start(&folder.path().join("nats")).await?;
    scene.apply(&server).await?;
    let port = free_port()?;
    let mut worker = launch_worker_at(port, &server, &scene, &args.worker, folder.path())?.start(folder.path())?;
    let (jetstream, stream, consumer) = (server.jetstream().await?, scene.stream(), scene.consumer());
    let asks = async || waiting(&jetstream, &stream, consumer.as_str()).await;
    worker.until("a pull of the worker", Duration::from_secs(20), asks).await?;
    let found = latency(&format!("http://127.0.0.1:{port}/hooks/0"), Content::Event, pace, folder.path()).await?;
    worker.check()?;
    Ok(found)
}
