//! T1 and T2: how fast a full stream is emptied by each variant, and what that costs.

use std::time::Duration;

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    event::{digest, event, record},
    figures::Metric,
    golden::{self, Golden},
    load::OCCURRED_AT,
    process::{Cost, Process},
    results::{Figure, Origin},
    scene::Scene,
    server::Server,
    sink::account::Report,
    variant::{Route, Variant},
    workload::Workload,
};

/// How long a run may take. A worker that needs it has stalled.
const PATIENCE: Duration = Duration::from_secs(300);

/// One run of one variant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    events_per_second: f64,
    cpu_per_event: f64,
    peak_rss: f64,
}

/// The metrics of a sample, with their units.
pub(crate) const METRICS: [Metric<Sample>; 3] = [
    ("events_per_second", "1/s", |sample| sample.events_per_second),
    ("cpu_per_event", "µs", |sample| sample.cpu_per_event),
    ("peak_rss", "MB", |sample| sample.peak_rss),
];

/// Runs every variant that can be measured, in rounds forwards and backwards.
///
/// # Errors
/// When a variant fails or delivers something wrong.
pub async fn measure(workload: Workload, args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let folder = golden::scratch()?;
    let url = sink.takes(0);
    let scene = Scene::new(folder.path(), std::slice::from_ref(&url), workload)?;
    let golden = Golden::fill(&scene, args.events).await?;
    let once = async |place: usize| once(Variant::ALL[place], workload, args, sink, &scene, &golden).await;
    Variant::rounds(workload, args).measure(&METRICS, origin, once).await
}

async fn once(
    variant: Variant,
    workload: Workload,
    args: &RunArgs,
    sink: &Sink,
    scene: &Scene,
    golden: &Golden,
) -> Result<Sample, Error> {
    let folder = golden::scratch()?;
    let server = golden.server(&folder.path().join("nats")).await?;
    sink.begin().await?;
    let url = sink.takes(0);
    let route = Route { server: &server, scene, url: &url, workload };
    let process = variant.launch(route, &args.worker, folder.path())?.start(folder.path())?;
    let (sample, report) = emptied(process, args.events, sink, &server, scene).await?;
    verify(variant, args.events, report)?;
    Ok(sample)
}

/// Waits until a process has emptied the stream, and stops it.
///
/// # Errors
/// When it does not get there.
pub(crate) async fn emptied(
    mut process: Process,
    events: u64,
    sink: &Sink,
    server: &Server,
    scene: &Scene,
) -> Result<(Sample, Report), Error> {
    let records = async |enough: u64| match sink.report().await? {
        report if report.records >= enough => Ok(report),
        report => Err(format!("{report:?}").into()),
    };
    process.until("the first event", PATIENCE, async || records(1).await).await?;
    let before = process.cost()?;
    process.until("the last event", PATIENCE, async || records(events).await).await?;
    let after = process.cost()?;

    let (stream, consumer) = (scene.stream(), scene.consumer());
    let settled = async || match server.unsettled(&stream, consumer.as_str()).await? {
        (0, 0) => Ok(()),
        (pending, unacknowledged) => Err(format!("{pending} pending, {unacknowledged} not acknowledged").into()),
    };
    process.until("the last acknowledgement", Duration::from_secs(20), settled).await?;
    let report = sink.report().await?;
    process.stop().await;
    Ok((sample(report, before, after), report))
}

/// Nothing is lost, nothing came twice, and every byte is as it should be.
fn verify(variant: Variant, events: u64, report: Report) -> Result<(), Error> {
    let bytes = if variant.is_bare() { event } else { record };
    let right = (0..events).fold(0_u64, |sum, number| sum.wrapping_add(digest(&bytes(number, OCCURRED_AT))));
    let Report { requests: _, records, duplicates, unreadable, digest, elapsed: _ } = report;
    if (records, duplicates, unreadable, digest) == (events, 0, 0, right) {
        return Ok(());
    }
    let found = format!("{report:?}, and not {events} records with the digest {right}");
    Err(Error::Delivery { variant: variant.name(), found })
}

#[allow(clippy::cast_precision_loss)] // Counts and times of one run are far below 2^52.
fn sample(report: Report, before: Cost, after: Cost) -> Sample {
    let records = report.records as f64;
    Sample {
        events_per_second: records / Duration::from_nanos(report.elapsed).as_secs_f64(),
        cpu_per_event: (after.cpu - before.cpu).as_secs_f64() * 1e6 / records,
        peak_rss: after.peak_rss as f64 / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_repeated_and_a_changed_record_each_spoil_a_run() {
        let right = (0..3).map(|number| digest(&record(number, OCCURRED_AT))).fold(0, u64::wrapping_add);
        let report = Report { records: 3, digest: right, ..Report::default() };
        assert!(verify(Variant::Ropeway, 3, report).is_ok());
        assert!(verify(Variant::Floor, 3, report).is_err());
        assert!(verify(Variant::Ropeway, 4, report).is_err());
        assert!(verify(Variant::Ropeway, 3, Report { duplicates: 1, ..report }).is_err());
        assert!(verify(Variant::Ropeway, 3, Report { digest: right ^ 1, ..report }).is_err());
    }

    #[test]
    fn a_sample_is_per_second_and_per_event() {
        let report = Report { records: 1_000, elapsed: 500_000_000, ..Report::default() };
        let after = Cost { cpu: Duration::from_millis(40), rss: 0, peak_rss: 12_000_000 };
        let sample = sample(report, Cost { cpu: Duration::from_millis(10), ..Cost::default() }, after);
        assert_eq!((sample.events_per_second, sample.peak_rss), (2_000.0, 12.0));
        assert!((sample.cpu_per_event - 30.0).abs() < 1e-9);
    }
}
