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
    results::{Figure, Origin, Subject},
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
    let measurable = |variant: &Variant| variant.measurable(&args.worker).is_ok();
    let mut samples: Vec<(Variant, Vec<Latency>)> =
        Variant::ALL.into_iter().filter(measurable).map(|variant| (variant, Vec::new())).collect();
    for round in 0..args.pairs {
        for place in 0..samples.len() {
            let place = if round % 2 == 1 { samples.len() - 1 - place } else { place };
            let (variant, taken) = &mut samples[place];
            let sample = once(*variant, args, sink).await?;
            println!("T5 {} {}: {sample:.2?}", round + 1, variant.name());
            taken.push(sample);
        }
    }
    let mut figures = Vec::new();
    for (metric, unit, of) in METRICS {
        let floor: Vec<f64> = samples[0].1.iter().map(of).collect();
        for variant in Variant::ALL {
            let subject = Subject {
                workload: Workload::T5,
                variant: variant.name(),
                metric,
                unit,
                baseline: Variant::Floor.name(),
            };
            figures.push(match samples.iter().find(|(known, _)| *known == variant) {
                Some((_, taken)) => origin.figure(subject, &taken.iter().map(of).collect::<Vec<f64>>(), &floor),
                None => origin.not_measured(subject, variant.measurable(&args.worker).err()),
            });
        }
    }
    Ok(figures)
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
