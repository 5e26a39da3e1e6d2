//! `ropeway dlq`: looks at dead letters, sends them again to the destination that failed, removes them. Each command finds
//! its place, fetches, decides, and writes last.

pub mod args;
pub mod place;
pub mod show;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use ropeway_operator::offline::{Action, Census, NatsError, Progress, Selector, WorkError};
use ropeway_worker::shutdown;
use serde_json::{Value, json};

use self::{
    args::{Choice, DlqArgs, DlqCommand, Filters, ListArgs, PurgeArgs, ResendArgs, ShowArgs, StatsArgs, Target},
    place::{Place, PlaceError, find},
};
use crate::args::Output;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

/// The exit code of a command that was told to stop, as a shell has it for Ctrl-C.
const STOPPED: u8 = 130;

/// A command can't be done.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The dead letters can't be found.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The streams can't be asked.
    #[error("failed to read the dead letters of {integration:?}")]
    Nats {
        /// The Integration.
        integration: String,
        /// What went wrong.
        #[source]
        source: NatsError,
    },
    /// There is no such destination, and nothing is left of one.
    #[error("the Integration {integration:?} has no destination {name:?} and no dead letters of one; it has {known}")]
    NoDestination {
        /// The Integration.
        integration: String,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no such entry.
    #[error("the Integration {integration:?} has no dead letter {sequence}; `ropeway dlq ls {integration}` lists them")]
    NoEntry {
        /// The Integration.
        integration: String,
        /// The sequence.
        sequence: u64,
    },
    /// Nothing says which entries are meant.
    #[error(
        "say which dead letters: give --destination, --reason, --code, --id, --since or --until, or --all for every one"
    )]
    NoChoice,
    /// Nobody can be asked.
    #[error("{count} dead letters are meant; add --yes to {verb}, or --dry-run to see which")]
    NotConfirmed {
        /// How many.
        count: u64,
        /// What would be done.
        verb: &'static str,
    },
    /// The destination was removed.
    #[error(
        "the Integration {integration:?} has no lane to {destination:?} any more, so nothing would take its dead letters; \
         choose others with --destination, add the destination again, or remove them with `ropeway dlq purge`"
    )]
    LaneGone {
        /// The Integration.
        integration: String,
        /// The destination.
        destination: String,
    },
    /// It stopped on its way.
    #[error("stopped after {done} of {count}; those are done and the rest is where it was: run the same command again")]
    Stopped {
        /// How many were done.
        done: u64,
        /// How many were meant.
        count: u64,
        /// What went wrong.
        #[source]
        source: NatsError,
    },
    /// The result can't be written.
    #[error("failed to write the result")]
    Output(#[from] std::io::Error),
}

/// `ropeway dlq`.
///
/// # Errors
/// See [`DlqError`].
pub async fn run(args: DlqArgs) -> Result<ExitCode, DlqError> {
    let target = args.command.target().clone();
    // What is missing on the command line is said before anything is asked.
    if let DlqCommand::Resend(ResendArgs { choice, .. }) | DlqCommand::Purge(PurgeArgs { choice }) = &args.command
        && !choice.all
        && choice.filters.selector(&target).is_everything()
    {
        return Err(DlqError::NoChoice);
    }
    let place = find(&target).await?;
    let command = Run { place, target };
    command.destination_is_there().await?;
    match args.command {
        DlqCommand::Ls(args) => command.ls(&args).await,
        DlqCommand::Show(args) => command.show(&args).await,
        DlqCommand::Stats(args) => command.stats(&args).await,
        DlqCommand::Resend(args) => command.change(&args.choice, Action::Resend(args.rate)).await,
        DlqCommand::Purge(args) => command.change(&args.choice, Action::Purge).await,
    }
}

struct Run {
    place: Place,
    target: Target,
}

impl Run {
    fn nats(&self) -> impl FnOnce(NatsError) -> DlqError {
        let integration = self.target.integration.clone();
        move |source| DlqError::Nats { integration, source }
    }

    async fn census(&self, selector: &Selector) -> Result<Census, DlqError> {
        self.place.letters.census(selector).await.map_err(self.nats())
    }

    /// A destination that was removed may have left dead letters.
    async fn destination_is_there(&self) -> Result<(), DlqError> {
        let Some(name) = &self.target.destination else { return Ok(()) };
        if self.place.destinations.contains(name) {
            return Ok(());
        }
        let left = self.census(&Filters::default().selector(&self.target)).await?;
        match left.total() {
            0 => Err(DlqError::NoDestination {
                integration: self.target.integration.clone(),
                name: name.clone(),
                known: self.place.destinations.join(", "),
            }),
            _ => Ok(()),
        }
    }

    async fn ls(&self, args: &ListArgs) -> Result<ExitCode, DlqError> {
        let selector = args.filters.selector(&self.target);
        let most = usize::try_from(args.limit).unwrap_or(usize::MAX);
        let page = self.place.letters.page(&selector, args.after, most).await.map_err(self.nats())?;
        let mut out = std::io::stdout();
        match self.target.output {
            Output::Json => writeln!(out, "{}", show::page_json(&self.target.integration, &page))?,
            Output::Text => {
                writeln!(out, "{}", show::page(&page))?;
                if let Some(next) = page.next {
                    let more = page.remaining.map_or("more".to_owned(), |remaining| format!("{remaining} more"));
                    writeln!(out, "\n{more}: {}", args.next_page(next))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, args: &ShowArgs) -> Result<ExitCode, DlqError> {
        let integration = &self.target.integration;
        let entry = self.place.letters.entry(args.sequence).await.map_err(self.nats())?;
        let missing = || DlqError::NoEntry { integration: integration.clone(), sequence: args.sequence };
        let entry = entry.ok_or_else(missing)?;
        let text = match self.target.output {
            Output::Json => show::entry_json(integration, &entry, args.reveal).map_err(std::io::Error::other)?,
            Output::Text => show::entry(&entry, args.reveal),
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn stats(&self, args: &StatsArgs) -> Result<ExitCode, DlqError> {
        let census = self.census(&args.filters.selector(&self.target)).await?;
        let mut out = std::io::stdout();
        match self.target.output {
            Output::Json => {
                let mut document = show::census_json(&census);
                document.insert("integration".into(), json!(self.target.integration));
                writeln!(out, "{}", Value::Object(document))?;
            }
            Output::Text => writeln!(out, "{}", show::census(&census))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// `resend` and `purge`.
    async fn change(&self, choice: &Choice, action: Action) -> Result<ExitCode, DlqError> {
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
            if !self.place.letters.is_taken(destination).await.map_err(self.nats())? {
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
