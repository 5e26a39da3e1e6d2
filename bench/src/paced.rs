//! Latency in an open loop: events come when they are due, whatever became of the earlier ones, and their latency counts
//! from then. So a stall is paid by every event that came during it, and not by one.

use std::{ops::Range, path::Path, time::Duration};

use crate::{
    Error,
    control::Sink,
    figures::percentile,
    process::{Launch, Process, SURROUNDINGS},
    scene::Scene,
    server::Server,
};

/// The events of the first seconds find connections closed and code cold; they do not count.
pub const WARM_UP: u64 = 2;

/// How events come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Events a second of each Integration.
    pub rate: u32,
    /// For how long, beside the warm-up.
    pub seconds: u64,
}

/// The latencies of one run in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// What one event in a hundred exceeds.
    pub p99: f64,
}

/// Sends events at this pace and waits until each has reached each of these destinations.
///
/// # Errors
/// When one does not arrive.
pub async fn latency(
    pace: Pace,
    destinations: Range<usize>,
    (sink, server, scene): (&Sink, &Server, &Scene),
    process: &mut Process,
    folder: &Path,
) -> Result<Latency, Error> {
    sink.begin().await?;
    let Pace { rate, seconds } = pace;
    let events = u64::from(rate) * (seconds + WARM_UP);
    let load = Launch::own("load", SURROUNDINGS)?.arguments(["--nats-url", &server.url]);
    let load = load.arguments(["--events", &events.to_string(), "--rate", &rate.to_string()]);
    load.arguments(["--subjects", &scene.subjects().join(",")]).start(folder)?.finish().await?;
    let arrived = async || {
        let mut latencies = sink.latencies().await?;
        latencies.resize_with(latencies.len().max(destinations.end), Vec::new);
        let of: Vec<Vec<u64>> = latencies.drain(destinations.clone()).collect();
        match of.iter().find(|of| of.len() as u64 != events) {
            None => Ok(of),
            Some(of) => Err(format!("{} of {events} events at one of the destinations", of.len()).into()),
        }
    };
    let latencies = process.until("every event", Duration::from_secs(30), arrived).await?;
    let warm_up = usize::try_from(u64::from(rate) * WARM_UP).unwrap_or(usize::MAX);
    #[allow(clippy::cast_precision_loss)] // Microseconds of one run are far below 2^52.
    let milliseconds = |latency: &u64| *latency as f64 / 1_000.0;
    let counted: Vec<f64> = latencies.iter().flat_map(|of| of.iter().skip(warm_up).map(milliseconds)).collect();
    let at = |share| percentile(&counted, share).unwrap_or_default();
    Ok(Latency { p50: at(0.5), p99: at(0.99) })
}
