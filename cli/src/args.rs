//! The command line. Secrets are taken from files only: an argument would be seen in the process list.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::send::Signer;

/// Ropeway: SaaS integrations as Kubernetes resources. The same words for files, for a local run and for a cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "ropeway", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What `ropeway` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the Integrations in these files here, without a cluster.
    Dev(DevArgs),
    /// Check manifests: fields, rules, references, expressions, tests.
    Lint(FileArgs),
    /// Run the tests that stand in the Integrations.
    Test(FileArgs),
    /// Show what the operator would make of the Integrations, as YAML.
    Render(FileArgs),
    /// Send events to a webhook, one JSON document a line.
    Send(SendArgs),
    /// Answer for destinations: takes every request, or behaves as a script says.
    Sink(SinkArgs),
    /// Show how Integrations fare, in a cluster or in `ropeway dev`.
    Status(StatusArgs),
    /// Look at dead letters, send them again, remove them; in a cluster or in `ropeway dev`.
    Dlq(crate::dlq::args::DlqArgs),
    /// Show how far a polled source is, or put it somewhere else; in a cluster or in `ropeway dev`.
    Cursor(crate::cursor::args::CursorArgs),
    /// Poll a range of its own, beside the live cursor; in a cluster or in `ropeway dev`.
    Backfill(crate::cursor::args::BackfillArgs),
    /// Let a person consent for a Destination with the grant AuthorizationCode.
    Login(crate::login::LoginArgs),
    /// Show what an Integration in the mode Shadow would have sent, without credentials. Values are redacted.
    Shadow(crate::shadow::ShadowArgs),
}

/// Manifests.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgs {
    /// Files, or folders of .yaml, .yml and .json files.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// How results are written.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `ropeway dev`.
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Files, or folders of .yaml, .yml and .json files. They are read again when they change.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Answer for all Destinations here instead of sending anything away.
    #[arg(long)]
    pub sink: bool,
    /// How the sink behaves.
    #[arg(long, requires = "sink")]
    pub sink_script: Option<PathBuf>,
    /// Send these events, one JSON document a line, wait until all are settled, check that every one is accounted for, and end.
    #[arg(long, requires = "sink_script")]
    pub send: Option<PathBuf>,
    /// Where the result of `--send` is written as JSON.
    #[arg(long, requires = "send")]
    pub json: Option<PathBuf>,
    /// How long `--send` waits for all events to be settled, in seconds.
    #[arg(long, default_value_t = 120)]
    pub deadline: u64,
    /// The address on which webhooks are received; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// A NATS server that runs already; without it one is started.
    #[arg(long)]
    pub nats_url: Option<String>,
    /// The folder for what the local run keeps.
    #[arg(long, default_value = ".ropeway")]
    pub data: PathBuf,
    /// Forget what an earlier run kept.
    #[arg(long)]
    pub fresh: bool,
    /// A private address range (CIDR) that destinations may resolve to.
    #[arg(long = "allow-private-range")]
    pub allowed_private_ranges: Vec<String>,
    /// Planted loss: the sink forgets so many records of each destination that it answered with a 2xx.
    #[arg(long, hide = true, default_value_t = 0)]
    pub plant_sink_loss: u64,
    /// Planted loss: so many events count as sent and are not.
    #[arg(long, hide = true, default_value_t = 0)]
    pub plant_send_loss: usize,
}

/// `ropeway send`.
#[derive(Clone, Debug, clap::Args)]
pub struct SendArgs {
    /// A file of events, one JSON document a line.
    pub file: PathBuf,
    /// The webhook.
    #[arg(long)]
    pub url: String,
    /// A file with the signing secret.
    #[arg(long, group = "proof")]
    pub signing_secret_file: Option<PathBuf>,
    /// Whose way of signing is used with it.
    #[arg(long, value_enum, default_value_t, requires = "signing_secret_file")]
    pub vendor: Signer,
    /// A file with a bearer token.
    #[arg(long, group = "proof")]
    pub bearer_token_file: Option<PathBuf>,
    /// A file with `user:password`.
    #[arg(long, group = "proof")]
    pub basic_file: Option<PathBuf>,
    /// How results are written.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `ropeway sink`.
#[derive(Clone, Debug, clap::Args)]
pub struct SinkArgs {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// How it behaves.
    #[arg(long)]
    pub script: Option<PathBuf>,
    /// Print each request.
    #[arg(long)]
    pub show: bool,
}

/// `ropeway status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// The namespace; the kubeconfig's own where it is not given.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Show the local run that keeps its data in this folder, instead of a cluster.
    #[arg(long)]
    pub dev: Option<PathBuf>,
    /// How results are written.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}
