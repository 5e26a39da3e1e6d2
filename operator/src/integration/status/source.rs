//! What came in through the source.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    condition::bounded,
    poll::{Backfill, LastRun, PollRecord, Run},
    status::{BackfillStatus, PollRun, SourceStatus},
};

use crate::io::reports::Observations;

/// What is known of the source; what stands there already stays where nothing newer is known.
pub(super) fn status(observations: &Observations, earlier: Option<SourceStatus>) -> SourceStatus {
    let earlier = earlier.unwrap_or_default();
    let received = observations.figures.last_received.map(Time);
    let last_received_time = received.max(earlier.last_received_time.clone());
    match &observations.figures.poll {
        Some(record) => SourceStatus { last_received_time, ..polled(record) },
        None => SourceStatus { last_received_time, ..earlier },
    }
}

/// How far polling is. The record is untrusted: what it holds is cut to what a status may hold.
fn polled(record: &PollRecord) -> SourceStatus {
    SourceStatus {
        last_received_time: None,
        cursor: record.cursor.as_deref().map(bounded),
        last_poll_time: record.last_start.map(whole_seconds),
        next_poll_time: record.next.map(whole_seconds),
        last_run: record.last_run.as_ref().map(ended),
        backfill: record.backfill.as_ref().map(backfill),
    }
}

fn backfill(backfill: &Backfill) -> BackfillStatus {
    let Backfill { id: _, from, to, asked: _, run, result } = backfill;
    BackfillStatus {
        from: bounded(from),
        to: to.as_deref().map(bounded),
        run: result.as_ref().map(ended).or_else(|| run.as_ref().map(under_way)),
    }
}

fn ended(run: &LastRun) -> PollRun {
    let LastRun { started, ended, pages, items, stored, repeated, refused, outcome, message: _ } = run;
    PollRun {
        start_time: Some(whole_seconds(*started)),
        completion_time: Some(whole_seconds(*ended)),
        pages: number(*pages),
        items: number(*items),
        stored: number(*stored),
        repeated: number(*repeated),
        refused: number(*refused),
        outcome: bounded(outcome),
    }
}

fn under_way(run: &Run) -> PollRun {
    let Run { started, pages, items, stored, repeated, refused, .. } = run;
    PollRun {
        start_time: Some(whole_seconds(*started)),
        completion_time: None,
        pages: number(*pages),
        items: number(*items),
        stored: number(*stored),
        repeated: number(*repeated),
        refused: number(*refused),
        outcome: "Running".into(),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Times of a status are whole seconds.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
