//! What becomes of the record with each thing that happens: the state machine of polling. Pure; time and jitter are
//! arguments. The committed cursor moves when a whole run is done, and the position when a page is stored, so that
//! whatever dies between two writes repeats a page at most.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    condition::bounded,
    poll::{Backfill, LastRun, PollRecord, Position, Run, Validators},
    report::Problem,
};

use super::plan::Plan;

/// From this many failures in a row on, what passes by itself is reported.
const REPORTED_FROM: u32 = 3;

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The longest pause that an API may ask for.
pub const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Which of the two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that the schedule starts.
    Live,
    /// The one that a person asked for.
    Backfill,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait(Timestamp),
    /// A run begins.
    Begin(Which),
    /// The next page of a run is asked for.
    Page(Which),
}

/// What a page brought, once all of it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// Items on it.
    pub items: u64,
    /// Those that became events.
    pub stored: u64,
    /// Those that were known already.
    pub repeated: u64,
    /// Those that can be no event.
    pub refused: u64,
    /// The highest value of the cursor on it.
    pub highest: Option<String>,
    /// The page after it.
    pub next: Option<Position>,
    /// What stands for it, or for the page after it: the same again means a circle.
    pub mark: String,
    /// What it was marked with.
    pub validators: Option<Validators>,
}

/// Brings a record to what the worker was told. Another spec begins its run again.
pub fn adopt(record: &mut PollRecord, plan: &Plan, now: Timestamp) {
    record.since.get_or_insert(now);
    if record.spec == plan.spec {
        return;
    }
    record.spec.clone_from(&plan.spec);
    record.format = plan.poll.cursor.as_ref().map(|_| plan.format());
    record.run = None;
    record.validators = None;
    record.not_before = None;
    record.failures = 0;
    record.problem = None;
    // What failed under another spec is tried again at once.
    record.last_run = record.last_run.take().filter(is_complete);
    if let Some(backfill) = &mut record.backfill {
        backfill.run = None;
    }
}

/// What is to be done next.
pub fn step(record: &PollRecord, plan: &Plan, now: Timestamp) -> Step {
    if let Some(wait) = record.not_before.filter(|until| *until > now) {
        return Step::Wait(wait);
    }
    if record.run.is_some() {
        return Step::Page(Which::Live);
    }
    let next = next_start(record, plan, now);
    if next <= now {
        return Step::Begin(Which::Live);
    }
    match &record.backfill {
        Some(Backfill { result: None, run: Some(_), .. }) => Step::Page(Which::Backfill),
        Some(Backfill { result: None, run: None, .. }) => Step::Begin(Which::Backfill),
        _ => Step::Wait(next),
    }
}

/// When the next run starts. One that ended early is made up for as soon as its pause is over.
pub fn next_start(record: &PollRecord, plan: &Plan, now: Timestamp) -> Timestamp {
    if record.last_run.as_ref().is_some_and(|last| !is_complete(last)) {
        return record.not_before.unwrap_or(now);
    }
    plan.when.next(record.last_start, record.since.unwrap_or(now), now)
}

/// Begins a run.
pub fn begin(record: &mut PollRecord, plan: &Plan, which: Which, now: Timestamp) {
    match (which, &mut record.backfill) {
        (Which::Live, _) => {
            let from = plan.from(record.cursor.as_deref(), record.floor.as_deref());
            record.run = Some(Run { started: now, from, ..Run::default() });
            record.last_start = Some(now);
        }
        (Which::Backfill, Some(backfill)) => {
            backfill.run = Some(Run { started: now, from: Some(backfill.from.clone()), ..Run::default() });
        }
        (Which::Backfill, None) => {}
    }
}

/// The run that is under way.
pub fn current(record: &PollRecord, which: Which) -> Option<&Run> {
    match which {
        Which::Live => record.run.as_ref(),
        Which::Backfill => record.backfill.as_ref()?.run.as_ref(),
    }
}

fn current_mut(record: &mut PollRecord, which: Which) -> Option<&mut Run> {
    match which {
        Which::Live => record.run.as_mut(),
        Which::Backfill => record.backfill.as_mut()?.run.as_mut(),
    }
}

/// A page is stored: on to the next, or the run is done. Answers what ends it early instead.
pub fn advance(
    record: &mut PollRecord,
    plan: &Plan,
    which: Which,
    facts: PageFacts,
    now: Timestamp,
) -> Option<Problem> {
    let PageFacts { items, stored, repeated, refused, highest, next, mark, validators } = facts;
    record.failures = 0;
    record.not_before = None;
    record.problem = None;
    let run = current_mut(record, which)?;
    run.pages += 1;
    run.items += items;
    run.stored += stored;
    run.repeated += repeated;
    run.refused += refused;
    run.highest = plan.format().later(run.highest.take(), highest);
    let Some(next) = next else {
        let validators = validators.filter(|_| run.pages == 1);
        complete(record, plan, which, validators, "Complete", now);
        return None;
    };
    if run.mark.as_ref() == Some(&mark) {
        let message =
            format!("page {} leads to a page that was read before: the pages go round in a circle", run.pages);
        return Some(problem("PollPagination", &message));
    }
    if run.pages >= plan.max_pages {
        let message = format!("there are more than {} pages; raise spec.source.poll.maxPages", plan.max_pages);
        return Some(problem("PollPagination", &message));
    }
    // One page is kept in mind, a later one each time that the number of pages has doubled: every circle comes by it.
    if run.pages.is_power_of_two() {
        run.mark = Some(mark);
    }
    run.position = next;
    None
}

/// Nothing has changed since the last run.
pub fn not_modified(record: &mut PollRecord, plan: &Plan, which: Which, now: Timestamp) {
    let validators = record.validators.clone();
    record.failures = 0;
    record.not_before = None;
    record.problem = None;
    complete(record, plan, which, validators, "NotModified", now);
}

fn complete(
    record: &mut PollRecord,
    plan: &Plan,
    which: Which,
    validators: Option<Validators>,
    outcome: &str,
    now: Timestamp,
) {
    let Some(run) = current(record, which).cloned() else { return };
    if which == Which::Live {
        let highest = run.highest.clone().map(|highest| plan.format().not_ahead(highest, now));
        record.cursor = plan.format().later(record.cursor.take(), highest);
        record.validators = validators;
        record.last_success = Some(now);
    }
    end(record, which, &run, outcome, None, now);
}

/// Something that passes by itself: the run goes on at its page after a pause, at least as long as the API asks for.
pub fn retry(record: &mut PollRecord, wish: Option<Duration>, trouble: Problem, now: Timestamp, jitter: f64) {
    record.failures = record.failures.saturating_add(1);
    let pause = pause(record.failures, jitter).max(wish.unwrap_or_default().min(LONGEST_WISH));
    record.not_before = later(now, pause);
    if record.failures >= REPORTED_FROM {
        record.problem = Some(trouble);
    }
}

/// The run ends early. The next one begins after a pause, whatever the schedule says.
pub fn fail(record: &mut PollRecord, which: Which, why: Problem, now: Timestamp, jitter: f64) {
    let Some(run) = current(record, which).cloned() else { return };
    end(record, which, &run, &why.reason, Some(why.message.clone()), now);
    if which == Which::Live {
        record.failures = record.failures.saturating_add(1);
        record.not_before = later(now, pause(record.failures, jitter));
        record.problem = Some(why);
    }
}

/// The place of a run was refused: it begins again, once. Answers what ends it instead.
pub fn restart(record: &mut PollRecord, which: Which, why: Problem) -> Option<Problem> {
    let run = current_mut(record, which)?;
    if run.restarts > 0 {
        return Some(why);
    }
    *run = Run { started: run.started, from: run.from.take(), restarts: run.restarts + 1, ..Run::default() };
    None
}

fn end(record: &mut PollRecord, which: Which, run: &Run, outcome: &str, message: Option<String>, now: Timestamp) {
    let Run { started, pages, items, stored, repeated, refused, .. } = *run;
    let ended =
        LastRun { started, ended: now, pages, items, stored, repeated, refused, outcome: outcome.to_owned(), message };
    match (which, &mut record.backfill) {
        (Which::Live, _) => {
            record.run = None;
            record.last_run = Some(ended);
        }
        (Which::Backfill, Some(backfill)) => {
            backfill.run = None;
            backfill.result = Some(ended);
        }
        (Which::Backfill, None) => {}
    }
}

fn is_complete(last: &LastRun) -> bool {
    ["Complete", "NotModified"].contains(&last.outcome.as_str())
}

/// One second, doubled with each failure up to five minutes, less up to half of it.
fn pause(failures: u32, jitter: f64) -> Duration {
    let seconds = 1u64 << failures.saturating_sub(1).min(16);
    Duration::from_secs(seconds).min(LONGEST_PAUSE).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

fn later(now: Timestamp, pause: Duration) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from(pause).ok()?).ok()
}

/// A problem in words that may be shown anywhere.
pub fn problem(reason: &str, message: &str) -> Problem {
    Problem { reason: reason.to_owned(), message: bounded(message) }
}

#[cfg(test)]
mod tests;
