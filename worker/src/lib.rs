//! The Ropeway worker: for each Integration it serves, it receives events and takes each of them to its destinations.
//!
//! ```text
//! source ─▶ decode ─▶ map ─▶ batch ─▶ deliver ─▶ decide ─▶ settle ─▶ count
//! Message   Event     Record   portion   Outcome   Settlement
//! ```
//!
//! Every stage is a file of its name. `io/` holds the only NATS client, `deliver/http.rs` the only HTTP client, `intake/`
//! the only way in. Between those doors everything is a plain `fn`.

pub mod account;
pub mod admin;
pub mod args;
pub mod authenticate;
pub mod batch;
pub mod cloud_event;
pub mod config;
pub mod count;
pub mod decide;
pub mod decode;
pub mod deliver;
pub mod fault;
pub mod guard;
pub mod hand;
pub mod heartbeat;
pub mod intake;
pub mod io;
pub mod lane;
pub mod map;
pub mod message;
pub mod metrics;
pub mod order;
pub mod poison;
pub mod provider;
mod raw_json;
pub mod recent;
pub mod settle;
pub mod shutdown;
pub mod sweep;
pub mod telemetry;
mod term;
pub mod trim;
pub mod worker;

use args::{Args, Command};
use tokio_util::sync::CancellationToken;

/// The worker can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration can't be used.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// NATS can't be reached.
    #[error(transparent)]
    Nats(#[from] ropeway_nats::ConnectError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] worker::ListenError),
    /// A batch source can't be read as it is configured.
    #[error(transparent)]
    Batch(#[from] intake::batch::from::ReadError),
    /// There is nothing to read.
    #[error("no Integration of this configuration has a batch source")]
    NoBatch,
}

/// Runs a worker until `stop` is cancelled.
///
/// # Errors
/// If it can't start. Once it runs, trouble is reported in heartbeats and never ends it.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), StartError> {
    let prepared = config::load(&args.config)?;
    let settings = ropeway_nats::Settings::from_folder(&args.nats_url, &args.nats_credentials)?;
    let client = ropeway_nats::connect(&settings, &format!("ropeway-worker {}", args.worker_name)).await?;
    let secrets = ropeway_auth::secret::Secrets::new(&args.secrets).with_config_maps(&args.config_maps);
    let worker = worker::Worker::new(prepared, &args.worker_name, &secrets, client);
    let admin = worker::listen(args.listen_admin).await?;
    let routes = admin::router(worker.gauges(), worker.polls());
    tokio::spawn(async move { axum::serve(admin, routes).await });
    let listener = if worker.has_webhooks() { Some(worker::listen(args.listen).await?) } else { None };
    tracing::info!(worker = %args.worker_name, "the worker runs");
    worker.run(listener, stop).await;
    tracing::info!("the worker has finished what it had in hand");
    Ok(())
}

/// Reads the batch source of the configuration once. Answers the exit code.
///
/// # Errors
/// If it can't begin.
pub async fn batch(args: Args, claim: std::path::PathBuf, stop: CancellationToken) -> Result<u8, StartError> {
    let prepared = config::load(&args.config)?;
    let settings = ropeway_nats::Settings::from_folder(&args.nats_url, &args.nats_credentials)?;
    let client = ropeway_nats::connect(&settings, &format!("ropeway-batch {}", args.worker_name)).await?;
    let secrets = ropeway_auth::secret::Secrets::new(&args.secrets).with_config_maps(&args.config_maps);
    let jobs = worker::batch_jobs(&prepared, &args.worker_name, &secrets, &client, &claim)?;
    let [job] = jobs.as_slice() else { return Err(StartError::NoBatch) };
    let ending = job.run(&stop).await;
    match &ending {
        intake::batch::Ending::Done(run) => {
            let outcome = run.outcome.as_str();
            let counts = run.counts;
            tracing::info!(
                outcome,
                rows = counts.rows,
                stored = counts.stored,
                repeated = counts.repeated,
                refused = counts.refused,
                message = run.message,
                "the run is over"
            );
        }
        other => tracing::error!(ending = ?other, "the run is over"),
    }
    // What was published is acknowledged; this lets the server hear of the end.
    let _ = client.drain().await;
    Ok(ending.code())
}

/// The whole program: what `main` and the test binaries call.
pub fn main_with(args: Args) -> std::process::ExitCode {
    telemetry::start();
    // A second installation, as in a test, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_open_files();
    let batch_of = args.command.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(ropeway_mapping::STACK_SIZE)
        .build()
        .expect("a runtime can be made at the start of a process");
    let ended = runtime.block_on(async {
        match args.command.clone() {
            None => run(args, shutdown::on_signal()).await.map(|()| 0),
            Some(Command::Batch { claim }) => batch(args, claim, shutdown::on_signal()).await,
        }
    });
    match ended {
        Ok(code) => std::process::ExitCode::from(code),
        Err(StartError::Config(error)) if batch_of.is_some() => {
            // A Job keeps naming the configuration that it was made with, and that one goes with a change of the spec.
            tracing::error!(%error, "this Job's configuration is gone or of another version; make a new one from the CronJob");
            std::process::ExitCode::from(intake::batch::EXIT_FAILED)
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the worker could not start");
            std::process::ExitCode::FAILURE
        }
    }
}

/// A connection is an open file. Many systems start programs with room for 1 024 and leave it to them to ask for the rest
/// that they may have; where that fails, there is room for fewer senders.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
