//! How far polling is. The record is untrusted: what it holds is cut to what a status may hold.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    condition::bounded,
    poll::{Backfill, LastRun, PollRecord, Run},
    status::{BackfillStatus, RunStatus, SourceStatus},
};

use super::super::delivery::whole;

/// What a poller says.
pub(super) fn polled(record: &PollRecord) -> SourceStatus {
    SourceStatus {
        cursor: record.cursor.as_deref().map(bounded),
        last_poll_time: record.last_start.map(whole_seconds),
        next_poll_time: record.next.map(whole_seconds),
        last_run: record.last_run.as_ref().map(ended),
        backfill: record.backfill.as_ref().map(backfill),
        ..SourceStatus::default()
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

fn ended(run: &LastRun) -> RunStatus {
    let LastRun { started, ended, pages, items, stored, repeated, refused, outcome, message } = run;
    RunStatus {
        start_time: Some(whole_seconds(*started)),
        completion_time: Some(whole_seconds(*ended)),
        pages: Some(whole(*pages)),
        items: Some(whole(*items)),
        stored: whole(*stored),
        repeated: whole(*repeated),
        refused: whole(*refused),
        outcome: bounded(outcome),
        message: message.as_deref().map(bounded),
        ..RunStatus::default()
    }
}

fn under_way(run: &Run) -> RunStatus {
    let Run { started, pages, items, stored, repeated, refused, .. } = run;
    RunStatus {
        start_time: Some(whole_seconds(*started)),
        completion_time: None,
        pages: Some(whole(*pages)),
        items: Some(whole(*items)),
        stored: whole(*stored),
        repeated: whole(*repeated),
        refused: whole(*refused),
        outcome: "Running".into(),
        ..RunStatus::default()
    }
}

/// Times of a status are whole seconds.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
