//! What came in through the source.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    status::{BackfillStatus, RunStatus, SourceStatus},
};

use super::Known;
use crate::io::reports::{Observations, Regression};

mod batch;
mod poll;

/// What is known of the source; what stands there already stays where nothing newer is known.
pub(super) fn status(known: &Known<'_>, observations: &Observations, earlier: Option<SourceStatus>) -> SourceStatus {
    let earlier = earlier.unwrap_or_default();
    let received = observations.figures.last_received.map(Time);
    let last_received_time = received.max(earlier.last_received_time.clone());
    if let Some(record) = &observations.figures.poll {
        return SourceStatus { last_received_time, ..poll::polled(record) };
    }
    let last_run = observations.batch.as_ref().map(|record| batch::run(record, known.now)).or(earlier.last_run.clone());
    let next_run_time = batch::next_run(known).map(Time);
    SourceStatus { last_received_time, last_run, next_run_time, ..earlier }
}

/// The part of it that is told at once: not how many, but what became of it.
pub(super) fn without_figures(source: &SourceStatus) -> SourceStatus {
    let plain = |run: &RunStatus| RunStatus {
        // An API may be polled every second; a batch's runs are few.
        start_time: run.start_time.clone().filter(|_| run.rows.is_some()),
        outcome: run.outcome.clone(),
        ..RunStatus::default()
    };
    SourceStatus {
        last_run: source.last_run.as_ref().map(plain),
        next_run_time: source.next_run_time.clone(),
        // A person asked for it and waits.
        backfill: source
            .backfill
            .as_ref()
            .map(|backfill| BackfillStatus { run: backfill.run.as_ref().map(plain), ..backfill.clone() }),
        ..SourceStatus::default()
    }
}

/// What is wrong with a stream of the user's that ends before what was read of it.
pub(super) fn regressed(known: &Known<'_>) -> Option<Finding> {
    let Regression { read, last } = known.observations?.figures.regressed?;
    let stream = known.plan?.jetstream.source_stream();
    let message = format!(
        "the stream {stream} ends at {last}, but {read} were read: it lost its tail or was put back; what it stores up to {read} is not read"
    );
    Some(Finding::fails(ConditionType::SourceReady, Reason::StreamRegressed, message))
}

/// What is wrong with the last run of a batch.
pub(super) fn failing(known: &Known<'_>) -> Option<Finding> {
    batch::failing(known)
}
