//! The command lines of `ropeway cursor` and `ropeway backfill`.

use clap::Subcommand;

use crate::dlq::args::Target;

/// `ropeway cursor`.
#[derive(Clone, Debug, clap::Args)]
pub struct CursorArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CursorCommand,
}

/// What can be done with a cursor.
#[derive(Clone, Debug, Subcommand)]
pub enum CursorCommand {
    /// Show the committed cursor, the last run, the run and the backfill under way.
    Show(ShowArgs),
    /// Put the cursor to a value: the next run asks from there, and what it reads are events again.
    Set(SetArgs),
    /// Take the cursor away: the next run begins at `cursor.initial`, or with everything.
    Clear(ShowArgs),
}

/// `ropeway cursor show` and `clear`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
}

/// `ropeway cursor set`.
#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// The value, as `cursor.format` says.
    #[arg(allow_hyphen_values = true)]
    pub value: String,
}

/// `ropeway backfill`.
#[derive(Clone, Debug, clap::Args)]
pub struct BackfillArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Where the range begins, as `cursor.format` says.
    #[arg(long, allow_hyphen_values = true)]
    pub from: String,
    /// Where it ends; rows with this very value belong to it. Default: no end.
    #[arg(long, allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Take the place of a backfill that is under way.
    #[arg(long)]
    pub replace: bool,
}
