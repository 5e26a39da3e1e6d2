//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as Arguments, Parser, Subcommand};

use crate::{call::Content, workload::Workload};

/// Measures Ropeway's worker against a bare loop and against workers written by hand.
#[derive(Clone, Debug, Parser)]
#[command(name = "ropeway-bench")]
pub struct Args {
    /// What this process is.
    #[command(subcommand)]
    pub task: Task,
}

/// What a process of this program is.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Conducts the workloads and writes the results.
    Run(RunArgs),
    /// Prints a results file as the table of `docs/benchmarks.md`.
    Show(ShowArgs),
    /// The bare loop that everything is compared with.
    Floor(FloorArgs),
    /// The destination: answers everything and keeps account of it.
    Sink(SinkArgs),
    /// Fills an events stream.
    Load(LoadArgs),
    /// Calls an address.
    Call(CallArgs),
    /// Those who mean no good.
    Abuse(AbuseArgs),
}

/// How the workloads are conducted.
#[derive(Clone, Debug, Arguments)]
pub struct RunArgs {
    /// The workloads.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    pub workloads: Vec<Workload>,
    /// Rounds. Each has every variant once, in turns forwards and backwards.
    #[arg(long, default_value_t = 5)]
    pub pairs: usize,
    /// Events of a run of T1 and T2; a multiple of 100.
    #[arg(long, default_value_t = 100_000)]
    pub events: u64,
    /// Lanes of O1; a multiple of 25.
    #[arg(long, default_value_t = 1_000)]
    pub lanes: usize,
    /// Seconds over which O1 and each phase of T5, F4, I1 and R1 are observed.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// The worker that is measured.
    #[arg(long, default_value = "target/measured/ropeway-worker")]
    pub worker: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench/results/latest.json")]
    pub out: PathBuf,
}

/// What is shown.
#[derive(Clone, Debug, Arguments)]
pub struct ShowArgs {
    /// The results.
    #[arg(default_value = "bench/results/latest.json")]
    pub results: PathBuf,
}

/// The bare loop.
#[derive(Clone, Debug, Arguments)]
pub struct FloorArgs {
    /// Where NATS is.
    #[arg(long)]
    pub nats_url: String,
    /// The events stream.
    #[arg(long)]
    pub stream: String,
    /// The lane's consumer on it.
    #[arg(long)]
    pub consumer: String,
    /// Where events go.
    #[arg(long)]
    pub url: String,
    /// Requests at a time.
    #[arg(long)]
    pub in_flight: usize,
    /// Events of a request; with more than one the body is a JSON array.
    #[arg(long)]
    pub batch: usize,
}

/// The destination.
#[derive(Clone, Debug, Arguments)]
pub struct SinkArgs {
    /// The port of the loopback that it listens on.
    #[arg(long)]
    pub port: u16,
}

/// What a stream is filled with.
#[derive(Clone, Debug, Arguments)]
pub struct LoadArgs {
    /// Where NATS is.
    #[arg(long)]
    pub nats_url: String,
    /// The subjects of the events streams; each gets every event.
    #[arg(long, required = true, value_delimiter = ',')]
    pub subjects: Vec<String>,
    /// How many events.
    #[arg(long)]
    pub events: u64,
    /// Events a second, whatever becomes of the earlier ones. Without it, as fast as the server confirms.
    #[arg(long)]
    pub rate: Option<u32>,
}

/// Who calls an address.
#[derive(Clone, Debug, Arguments)]
pub struct CallArgs {
    /// The address.
    #[arg(long)]
    pub url: String,
    /// How many calls.
    #[arg(long)]
    pub calls: u64,
    /// Calls a second, whatever becomes of the earlier ones.
    #[arg(long)]
    pub rate: u32,
    /// What is sent.
    #[arg(long, value_enum)]
    pub content: Content,
    /// Where the latencies go.
    #[arg(long)]
    pub out: PathBuf,
}

/// Those who mean no good.
#[derive(Clone, Debug, Arguments)]
pub struct AbuseArgs {
    /// Where the worker listens.
    #[arg(long)]
    pub host: SocketAddr,
    /// Connections that do nothing.
    #[arg(long)]
    pub idle: u32,
    /// Senders whose bodies never end.
    #[arg(long)]
    pub slow: u32,
    /// Senders whose heads never end.
    #[arg(long)]
    pub floods: u32,
    /// The file that says that all are there.
    #[arg(long)]
    pub ready: PathBuf,
}
