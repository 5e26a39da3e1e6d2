//! What is read becomes safe: rows that can be no event in the dead letters, the others in the stream, and then the record
//! that says so.

use jiff::Timestamp;
use ropeway_crds::{
    batch_run::{MOST_REFUSED_ROWS, Outcome},
    condition::bounded,
    names::events_stream,
};
use tokio::time::sleep;

use super::{
    Again,
    ledger::pause,
    portion::{Portion, Refusal},
    read::Intake,
    run::{Halt, Run, sum},
};
use crate::{
    fault::{self, Step},
    intake::store::Incoming as Event,
    io::publish::Stored,
};

/// From this fill of the events stream on, in percent, rows are stored one by one: a row that is refused for lack of room
/// must not be overtaken by the next.
const NEARLY_FULL: u64 = 90;

/// Fewer rows say nothing about the share of those that are refused.
const FEWEST_ROWS: u64 = 100;

/// What has to be safe before reading goes on.
#[derive(Clone, Copy)]
enum Work<'a> {
    Store(&'a [Event]),
    Refuse(&'a Refusal),
}

impl Run<'_> {
    /// Stores a portion, and then records that it is stored.
    pub(super) async fn settle(&mut self, intake: &mut Intake) -> Result<(), Halt> {
        let Portion { events, refused, end, digest, .. } = std::mem::take(&mut intake.portion);
        let Some(end) = end else { return Ok(()) };
        fault::reached(Step::RowsRead);
        let (rows, refusals) = ((events.len() + refused.len()) as u64, refused.len() as u64);
        let mut lines = Vec::new();
        for refusal in &refused {
            self.until_safe(Work::Refuse(refusal)).await?;
            lines.push(refusal.line);
        }
        fault::reached(Step::RowsRefused);
        let (stored, repeated) = self.store(events).await?;
        fault::reached(Step::RowsStored);
        let Some(reading) = &mut self.ledger.record.reading else { return Ok(()) };
        (reading.offset, reading.row, reading.line, reading.digest) = (end.offset, end.row, end.line, digest);
        reading.columns = intake.rows.columns().to_vec();
        let counts = &mut reading.counts;
        counts.rows += rows;
        counts.refused += refusals;
        counts.stored += stored;
        counts.repeated += repeated;
        let counts = *counts;
        let run = &mut self.ledger.record.run;
        (run.counts, run.outcome) = (sum(self.before, counts), Outcome::Running);
        run.refused_lines.extend(lines);
        run.refused_lines.truncate(MOST_REFUSED_ROWS);
        self.ledger.write().await?;
        fault::reached(Step::RowsRecorded);
        let most = u64::try_from(self.job.spec.max_refused_percent.unwrap_or(50)).unwrap_or(0);
        if counts.rows >= FEWEST_ROWS && counts.refused.saturating_mul(100) > counts.rows.saturating_mul(most) {
            let message = format!(
                "{} of {} rows can be no event, more than maxRefusedPercent {most}: is this the file that is meant? See the dead letters of _source",
                counts.refused, counts.rows
            );
            return Err(Halt::Failed(message, Again::Never));
        }
        Ok(())
    }

    /// Stores events, and says how many were new and how many the stream had.
    async fn store(&mut self, events: Vec<Event>) -> Result<(u64, u64), Halt> {
        let stream = events_stream(&self.job.uid);
        let mut left = events;
        let (mut stored, mut repeated) = (0, 0);
        while !left.is_empty() {
            let full = self.job.store.broker.fill(&stream).await.ok().flatten();
            let many = if full.is_some_and(|full| full >= NEARLY_FULL) { 1 } else { left.len() };
            let rest = left.split_off(many);
            let answers = self.until_safe(Work::Store(&left)).await?;
            let known = answers.iter().filter(|answer| answer.duplicate).count() as u64;
            repeated += known;
            stored += answers.len() as u64 - known;
            left = rest;
        }
        Ok((stored, repeated))
    }

    /// Does something until it is confirmed, however long that takes. Nothing is skipped, and the status says that it waits.
    async fn until_safe(&mut self, work: Work<'_>) -> Result<Vec<Stored>, Halt> {
        let mut tries = 0;
        loop {
            let store = &self.job.store;
            let done = match work {
                Work::Store(events) => store.all(events.to_vec()).await,
                Work::Refuse(Refusal { bytes, place, why, line: _ }) => {
                    store.refuse(bytes.clone(), place, why, Timestamp::now()).await.map(|()| Vec::new())
                }
            };
            let error = match done {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            tries += 1;
            tracing::warn!(%error, cause = %error.source, tries, "rows can't be stored now; tried again");
            let run = &mut self.ledger.record.run;
            run.outcome = Outcome::Waiting;
            run.message = bounded(&format!(
                "rows wait until they can be stored: {error}: {}; a full stream empties as its events are delivered, see spec.storage.maxBytes",
                error.source
            ));
            self.ledger.renew().await?;
            self.heed().await?;
            let waited = self.stop.run_until_cancelled(sleep(pause(tries, rand::random()))).await;
            waited.ok_or_else(|| Halt::Stopped("it was told to stop while rows waited".into()))?;
        }
    }
}
