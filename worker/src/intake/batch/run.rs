//! One run: takes the record, reads what is there, and says what became of it.

use jiff::Timestamp;
use ropeway_crds::{
    batch_run::{BatchRun, Outcome, ReadObject, RowCounts},
    condition::bounded,
    integration::State,
    source::OnUnchanged,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Again, Ending, Job,
    from::{Found, ReadError},
    ledger::{Ledger, pause},
    rows::FileFault,
};

/// So often in a row opening or reading may fail without a row in between.
const MOST_FAILURES: u32 = 5;

/// Why a run ends before its time.
#[derive(Debug)]
pub(super) enum Halt {
    /// Another run reads.
    Busy(String),
    /// Another run has taken the record.
    Lost,
    /// It was told to stop.
    Stopped(String),
    /// It can't go on.
    Failed(String, Again),
    /// Reading failed; it may be tried again at once.
    Broken(String),
}

impl From<ReadError> for Halt {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Later(message) => Self::Broken(message),
            ReadError::Refused(message) => Self::Failed(message, Again::Never),
        }
    }
}

impl From<FileFault> for Halt {
    fn from(fault: FileFault) -> Self {
        Self::Failed(fault.to_string(), Again::Never)
    }
}

/// What came of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was read to its end.
    Read,
    /// It was read before and has not changed.
    Unchanged,
}

/// A run that goes on.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) ledger: Ledger,
    pub(super) stop: &'a CancellationToken,
    /// What became of the rows of earlier objects.
    pub(super) before: RowCounts,
}

pub(super) async fn run(job: &Job, stop: &CancellationToken) -> Ending {
    let ledger = match Ledger::take(&job.store.broker, &job.uid, &job.holder, stop).await {
        Ok(ledger) => ledger,
        Err(Halt::Busy(other)) => return Ending::Busy(format!("{other} reads this source already")),
        Err(_) => return Ending::Interrupted("it was told to stop before it began".into()),
    };
    let mut run = Run { job, ledger, stop, before: RowCounts::default() };
    let came = run.all().await;
    run.end(came).await
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(Came, usize), Halt> {
        let (started, object) = (Some(Timestamp::now()), self.job.spec.from.shown());
        // What is read on keeps what was told of its beginning.
        let goes_on = self.ledger.record.reading.as_ref().is_some_and(|reading| !reading.whole);
        let told = std::mem::take(&mut self.ledger.record.run.refused_lines);
        self.ledger.record.run = BatchRun {
            started,
            message: "the file is being opened".into(),
            object: bounded(&object),
            refused_lines: if goes_on { told } else { Vec::new() },
            ..BatchRun::default()
        };
        self.ledger.write().await?;
        self.heed().await?;
        let found = self.find().await?;
        let mut read = 0;
        for object in &found {
            if self.object(object).await? == Came::Read {
                read += 1;
                if let Some(reading) = &self.ledger.record.reading {
                    self.before = sum(self.before, reading.counts);
                }
            }
        }
        Ok((if read == 0 { Came::Unchanged } else { Came::Read }, read))
    }

    async fn find(&mut self) -> Result<Vec<Found>, Halt> {
        let mut failures = 0;
        loop {
            match self.job.from.find().await.map_err(Halt::from) {
                Ok(found) => return Ok(found),
                Err(Halt::Broken(message)) => self.pause(&mut failures, message).await?,
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Reads one object, from where it has to be and as often as the connection breaks.
    async fn object(&mut self, found: &Found) -> Result<Came, Halt> {
        let version = found.version.clone().unwrap_or_default();
        let known = ReadObject { object: found.object.clone(), version, shape: self.job.shape() };
        let remembers = self.job.from.is_listing();
        let skips = remembers && self.job.spec.on_unchanged.unwrap_or_default() == OnUnchanged::Skip;
        if skips && self.ledger.was_read(&known).await? {
            return Ok(Came::Unchanged);
        }
        let mut failures = 0;
        loop {
            let before = self.settled();
            match self.attempt(found).await {
                Ok(came) => {
                    if remembers {
                        self.ledger.remember(&known).await?;
                    }
                    return Ok(came);
                }
                Err(Halt::Broken(message)) => {
                    if self.settled() != before {
                        failures = 0;
                    }
                    self.pause(&mut failures, message).await?;
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    fn settled(&self) -> Option<(u64, u64)> {
        self.ledger.record.reading.as_ref().map(|reading| (reading.number, reading.row))
    }

    async fn pause(&mut self, failures: &mut u32, message: String) -> Result<(), Halt> {
        *failures += 1;
        tracing::warn!(failures = *failures, cause = message, "reading failed");
        if *failures >= MOST_FAILURES {
            return Err(Halt::Failed(message, Again::Later));
        }
        self.ledger.record.run.message = bounded(&format!("tried again soon: {message}"));
        self.ledger.renew().await?;
        let waited = self.stop.run_until_cancelled(sleep(pause(*failures, rand::random()))).await;
        waited.ok_or_else(|| Halt::Stopped("it was told to stop".into()))
    }

    /// Whether it may go on: without a wish nothing is done, and what is stopped reads nothing.
    pub(super) async fn heed(&self) -> Result<(), Halt> {
        loop {
            match self.job.store.broker.wish(&self.job.uid).await {
                Ok(Some(wish)) if wish.state == State::Stopped => {
                    return Err(Halt::Stopped("spec.state is Stopped".into()));
                }
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, cause = %error.source, "the wished state could not be read"),
            }
            let waited = self.stop.run_until_cancelled(sleep(pause(1, rand::random()))).await;
            waited.ok_or_else(|| Halt::Stopped("it was told to stop".into()))?;
        }
    }

    async fn end(mut self, came: Result<(Came, usize), Halt>) -> Ending {
        let (outcome, message) = match &came {
            Ok((Came::Read, 1)) => (Outcome::Complete, "everything was read and stored".to_owned()),
            Ok((Came::Read, read)) => (Outcome::Complete, format!("{read} objects were read and stored")),
            Ok((Came::Unchanged, _)) => (Outcome::Unchanged, "nothing has changed since it was read".to_owned()),
            Err(Halt::Stopped(message)) => {
                (Outcome::Interrupted, format!("{message}; the next run goes on where this one ended"))
            }
            Err(Halt::Failed(message, _) | Halt::Broken(message)) => (Outcome::Failed, message.clone()),
            Err(Halt::Lost | Halt::Busy(_)) => {
                return Ending::Busy("another run has taken over this source".into());
            }
        };
        let run = &mut self.ledger.record.run;
        (run.outcome, run.message, run.ended) = (outcome, bounded(&message), Some(Timestamp::now()));
        if outcome == Outcome::Unchanged {
            (run.counts, run.refused_lines) = (RowCounts::default(), Vec::new());
        }
        // Whoever comes next finds a record that nobody renews.
        if self.ledger.write().await.is_err() {
            tracing::warn!("the end of the run could not be recorded");
        }
        match came {
            Ok(_) => Ending::Done(self.ledger.record.run),
            Err(Halt::Failed(message, again)) => Ending::Failed(message, again),
            Err(_) => Ending::Interrupted(message),
        }
    }
}

pub(super) fn sum(one: RowCounts, other: RowCounts) -> RowCounts {
    RowCounts {
        rows: one.rows + other.rows,
        stored: one.stored + other.stored,
        repeated: one.repeated + other.repeated,
        refused: one.refused + other.refused,
    }
}
