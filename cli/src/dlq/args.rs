//! The command line of `ropeway dlq`.

use std::{num::NonZeroU32, path::PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use ropeway_crds::duration::Duration as Span;
use ropeway_operator::offline::Selector;

use crate::args::Output;

/// `ropeway dlq`.
#[derive(Clone, Debug, clap::Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What can be done with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, the oldest first.
    Ls(ListArgs),
    /// Show one dead letter: its history, headers and body. Values are redacted.
    Show(ShowArgs),
    /// Count dead letters by destination and reason.
    Stats(StatsArgs),
    /// Send dead letters again, each to the one destination that failed.
    Resend(ResendArgs),
    /// Remove dead letters for good.
    Purge(PurgeArgs),
}

/// Whose dead letters, and where they are.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The Integration.
    pub integration: String,
    /// Only those of this destination.
    #[arg(long, short)]
    pub destination: Option<String>,
    /// The namespace in the cluster; the kubeconfig's own where it is not given.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Where NATS is, seen from here. The Integration is then that of the cluster in the kubeconfig.
    #[arg(long, env = "ROPEWAY_NATS_URL")]
    pub nats_url: Option<String>,
    /// A folder with the entries of the Secret `ropeway-nats` as files.
    #[arg(long)]
    pub nats_credentials: Option<PathBuf>,
    /// The folder of the local run; `.ropeway` where neither this nor anything of a cluster is given.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// How results are written.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Which of them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filters {
    /// Only those with this reason, such as Rejected or Exhausted. May be repeated.
    #[arg(long = "reason", value_delimiter = ',')]
    pub reasons: Vec<String>,
    /// Only those whose last answer had this HTTP status. May be repeated.
    #[arg(long = "code", value_delimiter = ',')]
    pub codes: Vec<u16>,
    /// Only the event or the delivery with this id. May be repeated.
    #[arg(long = "id")]
    pub ids: Vec<String>,
    /// Only those written since this time (RFC 3339), or in this time before now (such as 2h).
    #[arg(long, value_parser = moment)]
    pub since: Option<Moment>,
    /// Only those written before this time (RFC 3339), or longer ago than this (such as 30m).
    #[arg(long, value_parser = moment)]
    pub until: Option<Moment>,
}

/// A time as it was written, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// As it was written.
    pub text: String,
    /// The time.
    pub time: Timestamp,
}

/// `ropeway dlq ls`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Which.
    #[command(flatten)]
    pub filters: Filters,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Begin behind this sequence.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
}

/// `ropeway dlq show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Its sequence, as `ls` shows it.
    pub sequence: u64,
    /// Show the values too. They are what the sender sent: personal data, perhaps secrets.
    #[arg(long)]
    pub reveal: bool,
}

/// `ropeway dlq stats`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatsArgs {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Which.
    #[command(flatten)]
    pub filters: Filters,
}

/// What `resend` and `purge` have in common.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Which.
    #[command(flatten)]
    pub filters: Filters,
    /// Every one of them.
    #[arg(long)]
    pub all: bool,
    /// Only say how many it would be.
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// `ropeway dlq resend`.
#[derive(Clone, Debug, clap::Args)]
pub struct ResendArgs {
    /// Which.
    #[command(flatten)]
    pub choice: Choice,
    /// At most so many a second.
    #[arg(long, default_value = "100")]
    pub rate: NonZeroU32,
}

/// `ropeway dlq purge`.
#[derive(Clone, Debug, clap::Args)]
pub struct PurgeArgs {
    /// Which.
    #[command(flatten)]
    pub choice: Choice,
}

impl DlqCommand {
    /// Whose dead letters.
    pub fn target(&self) -> &Target {
        match self {
            Self::Ls(args) => &args.target,
            Self::Show(args) => &args.target,
            Self::Stats(args) => &args.target,
            Self::Resend(args) => &args.choice.target,
            Self::Purge(args) => &args.choice.target,
        }
    }
}

impl Filters {
    /// The same as a selector.
    pub fn selector(&self, target: &Target) -> Selector {
        Selector {
            destination: target.destination.clone(),
            reasons: self.reasons.iter().cloned().collect(),
            codes: self.codes.iter().copied().collect(),
            ids: self.ids.iter().cloned().collect(),
            since: self.since.as_ref().map(|moment| moment.time),
            until: self.until.as_ref().map(|moment| moment.time),
        }
    }
}

impl ListArgs {
    /// The command that shows the page behind this sequence.
    pub fn next_page(&self, after: u64) -> String {
        let Target { integration, destination, namespace, nats_url, nats_credentials, data, output: _ } = &self.target;
        let Filters { reasons, codes, ids, since, until } = &self.filters;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut command = format!("ropeway dlq ls {}", quoted(integration));
        let mut add = |option: &str, value: &str| command.push_str(&format!(" --{option} {}", quoted(value)));
        destination.iter().for_each(|value| add("destination", value));
        namespace.iter().for_each(|value| add("namespace", value));
        nats_url.iter().for_each(|value| add("nats-url", value));
        path(nats_credentials).iter().for_each(|value| add("nats-credentials", value));
        path(data).iter().for_each(|value| add("data", value));
        reasons.iter().for_each(|value| add("reason", value));
        codes.iter().for_each(|value| add("code", &value.to_string()));
        ids.iter().for_each(|value| add("id", value));
        since.iter().for_each(|value| add("since", &value.text));
        until.iter().for_each(|value| add("until", &value.text));
        add("limit", &self.limit.to_string());
        add("after", &after.to_string());
        command
    }
}

/// Reads a time, or a duration before now.
fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Moment { text: text.to_owned(), time });
    }
    let refused = "write a time such as 2026-01-31T12:00:00Z, or a duration such as 30m or 2h";
    let span: Span = text.parse().map_err(|_| refused.to_owned())?;
    let time = Timestamp::now().checked_sub(span.std()).map_err(|_| refused.to_owned())?;
    Ok(Moment { text: text.to_owned(), time })
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn list(line: &[&str]) -> ListArgs {
        let args = Args::try_parse_from([&["ropeway", "dlq", "ls", "signups"], line].concat()).unwrap();
        match args.command {
            Command::Dlq(DlqArgs { command: DlqCommand::Ls(args) }) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_for_the_next_page_is_the_same_with_another_place_to_begin() {
        let args =
            list(&["--id", "it's 1", "--reason", "Rejected,Poison", "--since", "2h", "--data", "a b", "--code", "422"]);
        let next = args.next_page(17);
        let expected = "ropeway dlq ls signups --data 'a b' --reason Rejected --reason Poison --code 422 \
                        --id 'it'\\''s 1' --since 2h --limit 50 --after 17";
        assert_eq!(next, expected);
    }

    #[test]
    fn times_are_written_as_such_or_as_durations() {
        let now = Timestamp::now();
        let since = moment("2h").unwrap().time;
        assert!((now.as_second() - since.as_second() - 7_200).abs() <= 1);
        assert_eq!(moment("1970-01-01T00:00:00Z").unwrap().time, Timestamp::UNIX_EPOCH);
        assert!(moment("yesterday").unwrap_err().contains("such as 30m"));
    }

    #[test]
    fn every_command_of_the_runbook_is_one() {
        let runbook = include_str!("../../../docs/dead-letters.md");
        let blocks = runbook.lines().filter_map(|line| line.strip_prefix("    "));
        let inline = runbook.split('`').skip(1).step_by(2);
        let commands = blocks.chain(inline).map(|line| line.split(": `").last().unwrap_or(line));
        let commands: Vec<&str> =
            commands.filter(|line| line.starts_with("ropeway dlq ") && line.contains("signups")).collect();
        assert!(commands.len() >= 9, "{commands:?}");
        for command in commands {
            let parsed = Args::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {parsed:?}");
        }
    }

    #[test]
    fn a_page_has_at_least_one_entry_and_a_rate_is_not_zero() {
        for wrong in [&["ls", "signups", "--limit", "0"][..], &["resend", "signups", "--all", "--rate", "0"]] {
            assert!(Args::try_parse_from([&["ropeway", "dlq"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
