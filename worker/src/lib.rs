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
pub mod recent;
pub mod secret;
pub mod settle;
pub mod shutdown;
pub mod sweep;
pub mod telemetry;
mod term;
pub mod trim;
pub mod worker;

use args::Args;
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
}

/// Runs a worker until `stop` is cancelled.
///
/// # Errors
/// If it can't start. Once it runs, trouble is reported in heartbeats and never ends it.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), StartError> {
    let prepared = config::load(&args.config)?;
    let settings = ropeway_nats::Settings::from_folder(&args.nats_url, &args.nats_credentials)?;
    let client = ropeway_nats::connect(&settings, &format!("ropeway-worker {}", args.worker_name)).await?;
    let secrets = secret::Secrets::new(&args.secrets);
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

/// The whole program: what `main` and the test binaries call.
pub fn main_with(args: Args) -> std::process::ExitCode {
    telemetry::start();
    // A second installation, as in a test, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(ropeway_mapping::STACK_SIZE)
        .build()
        .expect("a runtime can be made at the start of a process");
    let ended = runtime.block_on(async { run(args, shutdown::on_signal()).await });
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the worker could not start");
            std::process::ExitCode::FAILURE
        }
    }
}
