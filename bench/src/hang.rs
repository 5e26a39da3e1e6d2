//! F4: what 99 destinations notice when the hundredth hangs.

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    figures::Metric,
    lanes::Lanes,
    paced::{Latency, Pace, latency},
    results::{Figure, Origin},
    rounds::Rounds,
    workload::Workload,
};

/// How many destinations there are; number 0 is the one that hangs.
const DESTINATIONS: usize = 100;

/// Events a second of each Integration, each of which goes to a quarter of the destinations: 1 000 deliveries a second.
const RATE: u32 = 10;

/// The metrics of a run.
const METRICS: [Metric<Latency>; 2] =
    [("latency_p50_of_99", "ms", |sample| sample.p50), ("latency_p99_of_99", "ms", |sample| sample.p99)];

/// Runs with and without a destination that hangs.
///
/// # Errors
/// When an event does not reach one of the 99.
pub async fn measure(args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let once = async |place: usize| {
        let first = if place == 0 { sink.takes(0) } else { sink.hangs(0) };
        once(first, args, sink).await
    };
    Rounds::of(Workload::F4, args.pairs, &["all well", "one hangs"]).measure(&METRICS, origin, once).await
}

async fn once(first: String, args: &RunArgs, sink: &Sink) -> Result<Latency, Error> {
    let mut urls = vec![first];
    urls.extend((1..DESTINATIONS).map(|destination| sink.takes(destination)));
    let Lanes { mut worker, server, scene, folder } = Lanes::open(&urls, Workload::F4, &args.worker).await?;
    let pace = Pace { rate: RATE, seconds: args.seconds };
    latency(pace, 1..DESTINATIONS, (sink, &server, &scene), &mut worker, folder.path()).await
}
