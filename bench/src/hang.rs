//! F4: what 99 destinations notice when the hundredth hangs. Open loop: events come when they are due, whatever became
//! of the earlier ones, and their latency counts from then.

use std::time::Duration;

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    figures::percentile,
    lanes::Lanes,
    process::{Launch, SURROUNDINGS},
    results::{Figure, Origin, Subject},
    workload::Workload,
};

/// How many destinations there are; number 0 is the one that hangs.
const DESTINATIONS: usize = 100;

/// Events a second of each Integration, each of which goes to a quarter of the destinations: 1 000 deliveries a second.
const RATE: u32 = 10;

/// The latencies of the 99 in one run, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Sample {
    median: f64,
    p99: f64,
}

/// Runs with and without a destination that hangs.
///
/// # Errors
/// When an event does not reach one of the 99.
pub async fn measure(args: &RunArgs, sink: &mut Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    const NAMES: [&str; 2] = ["all well", "one hangs"];
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..args.pairs {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for place in order {
            let first = if place == 0 { sink.takes(0) } else { sink.hangs(0) };
            let sample = once(first, args, sink).await?;
            println!("F4 {} {}: {sample:.2?}", round + 1, NAMES[place]);
            samples[place].push(sample);
        }
    }
    let metrics: [(&str, fn(&Sample) -> f64); 2] =
        [("latency_p50_of_99", |sample| sample.median), ("latency_p99_of_99", |sample| sample.p99)];
    let mut figures = Vec::new();
    for (metric, of) in metrics {
        let values = samples.each_ref().map(|samples| samples.iter().map(of).collect::<Vec<f64>>());
        for (variant, of) in NAMES.iter().zip(&values) {
            let subject = Subject { workload: Workload::F4, variant, metric, unit: "ms", baseline: NAMES[0] };
            figures.push(origin.figure(subject, of, &values[0]));
        }
    }
    Ok(figures)
}

async fn once(first: String, args: &RunArgs, sink: &mut Sink) -> Result<Sample, Error> {
    let mut urls = vec![first];
    urls.extend((1..DESTINATIONS).map(|destination| sink.takes(destination)));
    let mut lanes = Lanes::open(&urls, Workload::F4, &args.worker).await?;
    sink.begin().await?;
    let events = u64::from(RATE) * args.seconds;
    let load = Launch::own("load", SURROUNDINGS)?.arguments(["--nats-url", &lanes.server.url]);
    let load = load.arguments(["--events", &events.to_string(), "--rate", &RATE.to_string()]);
    load.arguments(["--subjects", &lanes.scene.subjects().join(",")]).start(lanes.folder.path())?.finish().await?;
    let all = usize::try_from(events).unwrap_or(usize::MAX);
    let arrived = async || {
        let latencies = sink.latencies().await?;
        let of_99: Vec<Vec<u64>> = latencies.into_iter().skip(1).collect();
        let complete = of_99.len() == DESTINATIONS - 1 && of_99.iter().all(|of| of.len() == all);
        if complete { Ok(of_99.concat()) } else { Err(format!("{} of them have events", of_99.len()).into()) }
    };
    let latencies = lanes.worker.until("every event at the 99", Duration::from_secs(30), arrived).await?;
    #[allow(clippy::cast_precision_loss)] // Microseconds of one run are far below 2^52.
    let milliseconds: Vec<f64> = latencies.into_iter().map(|latency| latency as f64 / 1_000.0).collect();
    let at = |share| percentile(&milliseconds, share).unwrap_or_default();
    Ok(Sample { median: at(0.5), p99: at(0.99) })
}
