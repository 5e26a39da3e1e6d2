//! The whole program: what `main` and the test binary call once they know that they are not the compiling child.

use std::process::ExitCode;

use ropeway_mapping::STACK_SIZE;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Args, RunError, telemetry};

/// Runs the operator until a signal tells it to stop.
pub fn main_with(args: Args) -> ExitCode {
    telemetry::init();
    // A second provider is refused, which changes nothing: it is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_SIZE).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the operator ended");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        }
    });
    crate::run(args, stop).await
}
