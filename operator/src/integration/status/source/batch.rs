//! How far reading a batch is. The record is untrusted: numbers may be anything, texts may be long.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    batch_run::{BatchRecord, MOST_REFUSED_ROWS, Outcome},
    condition::{ConditionType, Finding, Reason, bounded},
    integration::State,
    schedule::Schedule,
    status::RunStatus,
};

use super::super::{Known, delivery::whole};

/// A run that has not renewed its record for so many seconds is told as interrupted.
const SILENT_SECONDS: i64 = 60;

/// A run that has been silent for so many seconds, with none that goes on, is a failure: its Job gave up or can't start.
const GONE_SECONDS: i64 = 900;

/// When the schedule starts a run next.
pub(super) fn next_run(known: &Known<'_>) -> Option<Timestamp> {
    let batch = known.integration.spec.source.batch.as_ref()?;
    let sleeps = batch.suspend.unwrap_or_default() || known.integration.spec.state() == State::Stopped;
    let schedule = Schedule::parse(&batch.schedule, batch.time_zone.as_deref()).ok().filter(|_| !sleeps)?;
    schedule.next(known.now)
}

/// A run as the record tells it. The record is untrusted: numbers may be anything, texts may be long.
pub(super) fn run(record: &BatchRecord, now: Timestamp) -> RunStatus {
    let run = &record.run;
    let (outcome, message) = match silence(record, now) {
        Some(seconds) if seconds >= SILENT_SECONDS => {
            let message = "its reader does not report any more; the next run goes on where this one ended".to_owned();
            (Outcome::Interrupted, message)
        }
        _ => (run.outcome, bounded(&run.message)),
    };
    RunStatus {
        start_time: run.started.map(Time),
        completion_time: run.ended.map(Time),
        object: Some(bounded(&run.object)),
        rows: Some(whole(run.counts.rows)),
        stored: whole(run.counts.stored),
        repeated: whole(run.counts.repeated),
        refused: whole(run.counts.refused),
        refused_lines: run.refused_lines.iter().take(MOST_REFUSED_ROWS).copied().map(whole).collect(),
        outcome: outcome.as_str().to_owned(),
        message: Some(message),
        ..RunStatus::default()
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

#[cfg(test)]
mod tests {
    use ropeway_crds::{Integration, batch_run::BatchRun, status::SourceStatus};
    use serde_json::json;

    use super::{
        super::{status, without_figures},
        *,
    };
    use crate::io::reports::Observations;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn integration(state: &str) -> Integration {
        serde_json::from_value(json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": { "name": "i" },
            "spec": {
                "state": state, "destinations": [],
                "source": { "batch": {
                    "schedule": "*/10 * * * *", "from": { "http": { "url": "https://a.example/x" } },
                    "format": { "ndjson": {} },
                } },
            },
        }))
        .unwrap()
    }

    fn told(outcome: Outcome, renewed: i64, ended: Option<i64>) -> (SourceStatus, Option<Finding>) {
        let run = BatchRun { outcome, message: "m".into(), ended: ended.map(time), ..BatchRun::default() };
        let record = BatchRecord { renewed: Some(time(renewed)), run, ..BatchRecord::default() };
        let observations = Observations { batch: Some(record), ..Observations::default() };
        let integration = integration("Running");
        let known = Known {
            integration: &integration,
            findings: &[],
            plan: None,
            fault: None,
            observations: Some(&observations),
            deployment: None,
            route: None,
            leaving: 0,
            going: None,
            now: time(0),
        };
        (status(&known, &observations, None), failing(&known))
    }

    #[test]
    fn a_run_whose_reader_is_silent_is_not_told_as_running() {
        for (outcome, renewed, ended, wanted, fails) in [
            (Outcome::Running, -5, None, "Running", false),
            (Outcome::Waiting, -59, None, "Waiting", false),
            (Outcome::Running, -60, None, "Interrupted", false),
            (Outcome::Running, -900, None, "Interrupted", true),
            (Outcome::Complete, -9000, Some(-9000), "Complete", false),
            (Outcome::Unchanged, -9000, Some(-9000), "Unchanged", false),
            (Outcome::Interrupted, -9000, Some(-9000), "Interrupted", false),
            (Outcome::Failed, -9000, Some(-9000), "Failed", true),
        ] {
            let (status, finding) = told(outcome, renewed, ended);
            assert_eq!(status.last_run.unwrap().outcome, wanted, "{outcome:?} {renewed}");
            assert_eq!(finding.is_some(), fails, "{outcome:?} {renewed}: {finding:?}");
        }
    }

    #[test]
    fn the_next_run_is_told_unless_nothing_starts_one() {
        let (status, _) = told(Outcome::Complete, -1, Some(-1));
        assert_eq!(status.next_run_time.map(|next| next.0), Some(time(600)));
        let integration = integration("Stopped");
        let known = Known {
            integration: &integration,
            findings: &[],
            plan: None,
            fault: None,
            observations: None,
            deployment: None,
            route: None,
            leaving: 0,
            going: None,
            now: time(0),
        };
        assert_eq!(next_run(&known), None);
    }

    #[test]
    fn outcomes_are_told_at_once_and_counts_are_not() {
        let source = |outcome: &str, rows| SourceStatus {
            last_run: Some(RunStatus { outcome: outcome.into(), rows: Some(rows), ..RunStatus::default() }),
            ..SourceStatus::default()
        };
        assert_eq!(without_figures(&source("Running", 1)), without_figures(&source("Running", 2)));
        assert_ne!(without_figures(&source("Running", 1)), without_figures(&source("Waiting", 1)));
    }
}
