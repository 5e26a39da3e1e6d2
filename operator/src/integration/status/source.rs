//! What came in through the source.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    batch_run::{BatchRecord, MOST_REFUSED_ROWS, Outcome},
    condition::{ConditionType, Finding, Reason, bounded},
    cron::Cron,
    integration::State,
    status::{BatchRunStatus, SourceStatus},
};

use super::Known;
use crate::io::reports::Observations;

/// A run that has not renewed its record for so many seconds is told as interrupted.
const SILENT_SECONDS: i64 = 60;

/// A run that has been silent for so many seconds, with none that goes on, is a failure: its Job gave up or can't start.
const GONE_SECONDS: i64 = 900;

/// What is known of the source; what stands there already stays where nothing newer is known.
pub(super) fn status(known: &Known<'_>, observations: &Observations, earlier: Option<SourceStatus>) -> SourceStatus {
    let SourceStatus { last_received_time, last_run, next_run_time: _ } = earlier.unwrap_or_default();
    let received = observations.figures.last_received.map(Time);
    SourceStatus {
        last_received_time: received.max(last_received_time),
        last_run: observations.batch.as_ref().map(|record| run(record, known.now)).or(last_run),
        next_run_time: next_run(known).map(Time),
    }
}

/// The part of it that is told at once: not how many, but what became of it.
pub(super) fn without_figures(source: &SourceStatus) -> SourceStatus {
    let plain = |run: &BatchRunStatus| BatchRunStatus {
        start_time: run.start_time.clone(),
        outcome: run.outcome.clone(),
        ..BatchRunStatus::default()
    };
    SourceStatus {
        last_received_time: None,
        last_run: source.last_run.as_ref().map(plain),
        next_run_time: source.next_run_time.clone(),
    }
}

/// When the schedule starts a run next.
fn next_run(known: &Known<'_>) -> Option<Timestamp> {
    let batch = known.integration.spec.source.batch.as_ref()?;
    let sleeps = batch.suspend.unwrap_or_default() || known.integration.spec.state() == State::Stopped;
    let cron = Cron::new(&batch.schedule, batch.time_zone.as_deref()).ok().filter(|_| !sleeps)?;
    cron.next(known.now)
}

/// A run as the record tells it. The record is untrusted: numbers may be anything, texts may be long.
fn run(record: &BatchRecord, now: Timestamp) -> BatchRunStatus {
    let run = &record.run;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (outcome, message) = match silence(record, now) {
        Some(seconds) if seconds >= SILENT_SECONDS => {
            let message = "its reader does not report any more; the next run goes on where this one ended".to_owned();
            (Outcome::Interrupted, message)
        }
        _ => (run.outcome, bounded(&run.message)),
    };
    BatchRunStatus {
        start_time: run.started.map(Time),
        completion_time: run.ended.map(Time),
        object: bounded(&run.object),
        rows: number(run.counts.rows),
        stored: number(run.counts.stored),
        repeated: number(run.counts.repeated),
        refused: number(run.counts.refused),
        refused_lines: run.refused_lines.iter().take(MOST_REFUSED_ROWS).copied().map(number).collect(),
        outcome: outcome.as_str().to_owned(),
        message,
    }
}

/// For how many seconds a run that is under way has not been heard of.
fn silence(record: &BatchRecord, now: Timestamp) -> Option<i64> {
    let renewed = record.renewed.filter(|_| record.run.outcome.is_under_way() && record.run.ended.is_none())?;
    Some(now.as_second().saturating_sub(renewed.as_second()))
}

/// What is wrong with the last run.
pub(super) fn failing(known: &Known<'_>) -> Option<Finding> {
    let record = known.observations?.batch.as_ref()?;
    let fails = |message: String| Finding::fails(ConditionType::SourceReady, Reason::BatchFailing, message);
    if record.run.outcome == Outcome::Failed {
        return Some(fails(format!("the last run failed: {}", bounded(&record.run.message))));
    }
    let seconds = silence(record, known.now).filter(|seconds| *seconds >= GONE_SECONDS)?;
    Some(fails(format!(
        "a run has not reported for {} minutes; look at its Job: kubectl get jobs,pods -l ropeway.dev/batch-of",
        seconds / 60
    )))
}
