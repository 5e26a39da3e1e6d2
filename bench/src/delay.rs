//! T5: how long an event takes from when it is due until it is at its destination, at a rate that every variant can keep.

use std::time::Duration;

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    figures::Metric,
    golden,
    lanes::waiting,
    paced::{Latency, Pace, latency},
    results::{Figure, Origin},
    scene::Scene,
    server::Server,
    variant::{Route, Variant},
    workload::Workload,
};

/// Events a second.
const RATE: u32 = 2_000;

/// The metrics of a run.
const METRICS: [Metric<Latency>; 2] =
    [("latency_p50", "ms", |sample| sample.p50), ("latency_p99", "ms", |sample| sample.p99)];

/// Runs every variant that can be measured, in rounds forwards and backwards.
///
/// # Errors
/// When a variant fails or loses an event.
pub async fn measure(args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let once = async |place: usize| once(Variant::ALL[place], args, sink).await;
    Variant::rounds(Workload::T5, args).measure(&METRICS, origin, once).await
}

async fn once(variant: Variant, args: &RunArgs, sink: &Sink) -> Result<Latency, Error> {
    let folder = golden::scratch()?;
    let url = sink.takes(0);
    let scene = Scene::new(folder.path(), std::slice::from_ref(&url), Workload::T5)?;
    let server = Server::start(&folder.path().join("nats")).await?;
    scene.apply(&server).await?;
    let route = Route { server: &server, scene: &scene, url: &url, workload: Workload::T5 };
    let mut process = variant.launch(route, &args.worker, folder.path())?.start(folder.path())?;
    let (jetstream, stream, consumer) = (server.jetstream().await?, scene.stream(), scene.consumer());
    let asks = async || waiting(&jetstream, &stream, consumer.as_str()).await;
    process.until("a pull of the variant", Duration::from_secs(20), asks).await?;
    let pace = Pace { rate: RATE, seconds: args.seconds };
    latency(pace, 0..1, (sink, &server, &scene), &mut process, folder.path()).await
}
