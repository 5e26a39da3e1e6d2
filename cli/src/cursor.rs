//! `ropeway cursor` and `ropeway backfill`: how far a polled source is, and where it goes on. Everything is one record in
//! the KV bucket, which is changed only if it is still as it was read; whoever polls sees the change at its next page.

pub mod args;
mod show;

use std::{io::Write, process::ExitCode};

use jiff::Timestamp;
use ropeway_crds::{
    names::poll_key,
    poll::{Backfill, PollRecord},
};
use ropeway_operator::offline::{NatsError, Written};

use self::args::{BackfillArgs, CursorArgs, CursorCommand};
use crate::{
    args::Output,
    dlq::{
        args::Target,
        place::{Place, PlaceError, find},
    },
};

/// How often a change is tried again that somebody else was faster than.
const TRIES: usize = 20;

/// A command can't be done.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The streams can't be found.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The record can't be read or written.
    #[error("failed to read or write how far the polling of {integration:?} is")]
    Nats {
        /// The Integration.
        integration: String,
        /// What went wrong.
        #[source]
        source: NatsError,
    },
    /// Nobody has polled yet.
    #[error("the Integration {0:?} was never polled: it has no source.poll, or no worker of it has run yet")]
    NeverPolled(String),
    /// The record makes no sense.
    #[error("how far the polling of {integration:?} is can't be understood")]
    Unreadable {
        /// The Integration.
        integration: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// There is no cursor to set.
    #[error("the Integration {0:?} has no source.poll.cursor: every run reads everything")]
    NoCursor(String),
    /// The value is none.
    #[error("{value:?} is not {expected}, as source.poll.cursor.format says")]
    Value {
        /// What was given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// The range ends before it begins.
    #[error("--to {to:?} comes before --from {from:?}")]
    Range {
        /// Its begin.
        from: String,
        /// Its end.
        to: String,
    },
    /// Another one is under way.
    #[error(
        "a backfill from {from:?} is under way; see `ropeway cursor show {integration}`, or give --replace to take its place"
    )]
    UnderWay {
        /// The Integration.
        integration: String,
        /// Where it began.
        from: String,
    },
    /// Others were faster every time.
    #[error("others write how far the polling is all the time; run the command again")]
    Contended,
    /// The result can't be written.
    #[error("failed to write the result")]
    Output(#[from] std::io::Error),
}

/// `ropeway cursor`.
///
/// # Errors
/// See [`CursorError`].
pub async fn run(args: CursorArgs) -> Result<ExitCode, CursorError> {
    let (target, change): (Target, Option<Option<String>>) = match args.command {
        CursorCommand::Show(args) => (args.target, None),
        CursorCommand::Set(args) => (args.target.clone(), Some(Some(args.value))),
        CursorCommand::Clear(args) => (args.target, Some(None)),
    };
    let place = find(&target).await?;
    let record = match change {
        None => read(&place, &target.integration).await?.0,
        Some(value) => {
            change_record(&place, &target.integration, |record| set(record, &target.integration, value.clone())).await?
        }
    };
    print(&target, &record)
}

/// `ropeway backfill`.
///
/// # Errors
/// See [`CursorError`].
pub async fn backfill(args: BackfillArgs) -> Result<ExitCode, CursorError> {
    let place = find(&args.target).await?;
    let id = ulid::Ulid::generate().to_string();
    let asked = Timestamp::now();
    let record = change_record(&place, &args.target.integration, |record| ask(record, &args, &id, asked)).await?;
    print(&args.target, &record)
}

fn print(target: &Target, record: &PollRecord) -> Result<ExitCode, CursorError> {
    let mut out = std::io::stdout();
    match target.output {
        Output::Json => writeln!(out, "{}", show::json(&target.integration, record))?,
        Output::Text => write!(out, "{}", show::text(record))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the cursor somewhere else. Pure.
fn set(record: &mut PollRecord, integration: &str, value: Option<String>) -> Result<(), CursorError> {
    check(record, integration, value.as_deref())?;
    record.set_cursor(value);
    Ok(())
}

/// Asks for a run over a range. Pure.
fn ask(record: &mut PollRecord, args: &BackfillArgs, id: &str, asked: Timestamp) -> Result<(), CursorError> {
    let BackfillArgs { target: Target { integration, .. }, from, to, replace } = args;
    check(record, integration, Some(from))?;
    check(record, integration, to.as_deref())?;
    let format = record.format.unwrap_or_default();
    if let Some(to) = to.as_ref().filter(|to| format.compare(to, from).is_lt()) {
        return Err(CursorError::Range { from: from.clone(), to: to.clone() });
    }
    if let Some(other) = record.backfill.as_ref().filter(|other| other.result.is_none() && !replace) {
        return Err(CursorError::UnderWay { integration: integration.clone(), from: other.from.clone() });
    }
    record.backfill =
        Some(Backfill { id: id.to_owned(), from: from.clone(), to: to.clone(), asked, run: None, result: None });
    Ok(())
}

fn check(record: &PollRecord, integration: &str, value: Option<&str>) -> Result<(), CursorError> {
    let format = record.format.ok_or_else(|| CursorError::NoCursor(integration.to_owned()))?;
    match value {
        Some(value) if !format.is_value(value) => {
            Err(CursorError::Value { value: value.to_owned(), expected: format.expected() })
        }
        _ => Ok(()),
    }
}

async fn read(place: &Place, integration: &str) -> Result<(PollRecord, u64), CursorError> {
    let entry = place.jetstream.entry(&place.names.state_bucket(), &poll_key(&place.integration)).await;
    let entry = entry.map_err(|source| CursorError::Nats { integration: integration.to_owned(), source })?;
    let entry = entry.ok_or_else(|| CursorError::NeverPolled(integration.to_owned()))?;
    let record = serde_json::from_slice(&entry.value)
        .map_err(|source| CursorError::Unreadable { integration: integration.to_owned(), source })?;
    Ok((record, entry.revision))
}

async fn change_record(
    place: &Place,
    integration: &str,
    change: impl Fn(&mut PollRecord) -> Result<(), CursorError>,
) -> Result<PollRecord, CursorError> {
    for _ in 0..TRIES {
        let (mut record, revision) = read(place, integration).await?;
        change(&mut record)?;
        let (bucket, key) = (place.names.state_bucket(), poll_key(&place.integration));
        let written = place.jetstream.put_entry(&bucket, &key, &record, Some(revision)).await;
        match written.map_err(|source| CursorError::Nats { integration: integration.to_owned(), source })? {
            Written::Stored => return Ok(record),
            Written::Outrun => {}
        }
    }
    Err(CursorError::Contended)
}
