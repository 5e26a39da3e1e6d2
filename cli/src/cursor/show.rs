//! How far a polled source is, in words and as JSON.

use std::fmt::Write;

use jiff::Timestamp;
use ropeway_crds::poll::{LastRun, PollRecord, Run};
use serde_json::{Value, json};

/// For people.
pub(super) fn text(record: &PollRecord) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<10}{value}");
    };
    line("cursor", record.cursor.clone().unwrap_or_else(|| "none".into()));
    if let Some(problem) = &record.problem {
        line("problem", format!("{}: {}", problem.reason, problem.message));
    }
    line("next run", record.next.map_or_else(|| "not known yet".into(), whole));
    if let Some(run) = &record.run {
        line("running", under_way(run));
    }
    if let Some(run) = &record.last_run {
        line("last run", ended(run));
    }
    if let Some(backfill) = &record.backfill {
        let to = backfill.to.as_deref().map(|to| format!(" to {to}")).unwrap_or_default();
        let how = match (&backfill.result, &backfill.run) {
            (Some(result), _) => ended(result),
            (None, Some(run)) => under_way(run),
            (None, None) => "waits for the poller".into(),
        };
        line("backfill", format!("from {}{to}: {how}", backfill.from));
    }
    text
}

/// For programs.
pub(super) fn json(integration: &str, record: &PollRecord) -> Value {
    let PollRecord { cursor, problem, next, run, last_run, backfill, last_start, last_success, .. } = record;
    json!({
        "integration": integration, "cursor": cursor, "problem": problem, "next": next, "lastStart": last_start,
        "lastSuccess": last_success, "run": run.as_ref().map(progress), "lastRun": last_run,
        "backfill": backfill.as_ref().map(|backfill| json!({
            "id": backfill.id, "from": backfill.from, "to": backfill.to, "asked": backfill.asked,
            "run": backfill.run.as_ref().map(progress), "result": backfill.result,
        })),
    })
}

/// A run without its place, which may hold what an API gave for us alone.
fn progress(run: &Run) -> Value {
    let Run { started, from, pages, items, stored, repeated, refused, .. } = run;
    json!({
        "started": started, "from": from, "pages": pages, "items": items, "stored": stored, "repeated": repeated,
        "refused": refused,
    })
}

fn under_way(run: &Run) -> String {
    let Run { started, pages, items, stored, repeated, refused, .. } = run;
    format!(
        "since {}, {pages} pages, {items} items: {stored} stored, {repeated} repeated, {refused} refused",
        whole(*started)
    )
}

fn ended(run: &LastRun) -> String {
    let LastRun { started: _, ended, pages, items, stored, repeated, refused, outcome, message } = run;
    let message = message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
    format!(
        "{outcome} at {}, {pages} pages, {items} items: {stored} stored, {repeated} repeated, {refused} refused{message}",
        whole(*ended)
    )
}

fn whole(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
