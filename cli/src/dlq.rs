//! `ropeway dlq`: looks at dead letters, sends them again to the destination that failed, removes them. Each command finds
//! its place, fetches, decides, and writes last.

pub mod args;
mod change;
mod error;
pub mod place;
pub mod show;

pub use error::DlqError;

use std::{io::Write, process::ExitCode};

use ropeway_operator::offline::{Action, Census, NatsError, Selector};
use serde_json::{Value, json};

use self::{
    args::{DlqArgs, DlqCommand, Filters, ListArgs, PurgeArgs, ResendArgs, ShowArgs, StatsArgs, Target},
    place::{Place, find},
};
use crate::args::Output;

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
}
