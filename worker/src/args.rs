//! The command line. Nothing secret is taken here: it would be seen in the process list.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

/// The Ropeway worker: runs the lanes of the Integrations in its configuration. It is started by the operator.
#[derive(Clone, Debug, Parser)]
#[command(name = "ropeway-worker", version)]
pub struct Args {
    /// The configuration that the operator made.
    #[arg(long, default_value = "/etc/ropeway/config.json")]
    pub config: PathBuf,
    /// The folder of mounted Secrets, as <secret>/<key>.
    #[arg(long, default_value = "/var/run/ropeway/secrets")]
    pub secrets: PathBuf,
    /// The folder of mounted ConfigMaps, as <config map>/<key>.
    #[arg(long, default_value = "/var/run/ropeway/config-maps")]
    pub config_maps: PathBuf,
    /// The folder of the mounted NATS Secret.
    #[arg(long, default_value = "/var/run/ropeway/nats")]
    pub nats_credentials: PathBuf,
    /// Where NATS is, if the NATS Secret does not say.
    #[arg(long, env = "ROPEWAY_NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,
    /// The address on which events are received.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The address for health checks and metrics.
    #[arg(long, default_value = "0.0.0.0:8081")]
    pub listen_admin: SocketAddr,
    /// The name of this worker in heartbeats: that of its pod.
    #[arg(long, env = "POD_NAME")]
    pub worker_name: String,
    /// Something else than running lanes.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Something else than running lanes.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Reads the files of a batch source once, and ends: 0 if everything is read and stored, 1 if another try may help, 3 if
    /// another run is at work, 4 if another try would end the same way.
    Batch {
        /// The folder in which the claim of `spec.source.batch.from.file` is mounted.
        #[arg(long, default_value = "/var/run/ropeway/claim")]
        claim: PathBuf,
    },
}
