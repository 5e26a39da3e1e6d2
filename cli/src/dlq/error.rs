//! How the commands fail, each with what to do about it.

use ropeway_crds::names::SOURCE;
use ropeway_operator::offline::NatsError;

use super::place::PlaceError;

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
    /// What the source delivered was no event.
    #[error(
        "some of these dead letters of {integration:?} were refused by its source ({SOURCE}): they are no events, so they \
         can't be sent again; correct them where they come from, choose others with --destination, or remove them with \
         `ropeway dlq purge {integration} --destination {SOURCE}`"
    )]
    NoEvent {
        /// The Integration.
        integration: String,
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
