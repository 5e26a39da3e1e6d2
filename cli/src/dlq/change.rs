//! `resend` and `purge`: what is meant is counted first, then somebody is asked, then it is done.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use ropeway_crds::names::SOURCE;
use ropeway_operator::offline::{Action, Census, Progress, Selector, WorkError};
use ropeway_worker::shutdown;
use serde_json::{Value, json};

use super::{DlqError, Run, args::Choice, show};
use crate::args::Output;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

/// The exit code of a command that was told to stop, as a shell has it for Ctrl-C.
const STOPPED: u8 = 130;

impl Run {
    /// `resend` and `purge`.
    pub(super) async fn change(&self, choice: &Choice, action: Action) -> Result<ExitCode, DlqError> {
        let selector = choice.filters.selector(&self.target);
        let census = self.census(&selector).await?;
        if let Action::Resend(_) = action {
            self.lanes_are_there(&census).await?;
        }
        let progress = match choice.dry_run {
            true => Progress::default(),
            false => {
                confirm(action, census.total(), choice.yes)?;
                self.work(&selector, action, census.total()).await?
            }
        };
        self.tell_result(choice, action, &census, progress)?;
        Ok(if choice.dry_run || progress.complete { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
    }

    async fn lanes_are_there(&self, census: &Census) -> Result<(), DlqError> {
        for destination in census.counts.keys().map(|(destination, _)| destination) {
            if destination == SOURCE {
                return Err(DlqError::NoEvent { integration: self.target.integration.clone() });
            }
            // One that has just left the spec may still have its consumers, which are about to go.
            let is_wished = self.place.destinations.contains(destination);
            if !is_wished || !self.place.letters.is_taken(destination).await.map_err(self.nats())? {
                let integration = self.target.integration.clone();
                return Err(DlqError::LaneGone { integration, destination: destination.clone() });
            }
        }
        Ok(())
    }

    async fn work(&self, selector: &Selector, action: Action, count: u64) -> Result<Progress, DlqError> {
        let stop = shutdown::on_signal();
        let mut told = Instant::now();
        let tell = |progress: Progress| {
            if told.elapsed() >= TELL {
                told = Instant::now();
                eprintln!("{} of {count} {}", progress.done, done(action));
            }
        };
        self.place.letters.work(selector, action, &stop, tell).await.map_err(|error| match error {
            WorkError::LaneGone { destination, .. } => {
                DlqError::LaneGone { integration: self.target.integration.clone(), destination }
            }
            WorkError::Nats { progress, source } => DlqError::Stopped { done: progress.done, count, source },
        })
    }

    fn tell_result(
        &self,
        choice: &Choice,
        action: Action,
        census: &Census,
        progress: Progress,
    ) -> Result<(), DlqError> {
        let mut out = std::io::stdout();
        let (selected, done) = (census.total(), done(action));
        match self.target.output {
            Output::Json => {
                let mut document = show::census_json(census);
                let word = if action == Action::Purge { "purge" } else { "resend" };
                for (name, value) in [
                    ("integration", json!(self.target.integration)),
                    ("action", json!(word)),
                    ("dryRun", json!(choice.dry_run)),
                    ("done", json!(progress.done)),
                    ("complete", json!(progress.complete)),
                ] {
                    document.insert(name.into(), value);
                }
                writeln!(out, "{}", Value::Object(document))?;
            }
            Output::Text if choice.dry_run => {
                writeln!(
                    out,
                    "{}\n{selected} dead letters would be {done}; nothing was changed",
                    show::census(census)
                )?;
            }
            Output::Text if progress.complete => writeln!(out, "{} dead letters {done}", progress.done)?,
            Output::Text => writeln!(
                out,
                "told to stop: {} of {selected} dead letters {done}, the rest is where it was; run the same command again to \
                 go on",
                progress.done
            )?,
        }
        Ok(())
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Resend(_) => "sent again",
        Action::Purge => "removed",
    }
}

/// Asks whoever sits there. A single entry is sent again without a question; removing always takes one.
fn confirm(action: Action, count: u64, yes: bool) -> Result<(), DlqError> {
    let harmless = match action {
        Action::Resend(_) => count <= 1,
        Action::Purge => count == 0,
    };
    if yes || harmless {
        return Ok(());
    }
    let verb = match action {
        Action::Resend(_) => "send them again",
        Action::Purge => "remove them for good",
    };
    let refused = DlqError::NotConfirmed { count, verb };
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(refused);
    }
    eprint!("{count} dead letters are meant: {verb}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(refused) }
}
