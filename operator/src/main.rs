//! The operator's binary. Under a hidden argument it is the child process that compiles expressions.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::{CountingAllocator, STACK_SIZE, child_main, untrusted::CHILD_ARGUMENT};
use ropeway_operator::{Args, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    // Before anything else is started: the child limits itself.
    if std::env::args().nth(1).as_deref() == Some(CHILD_ARGUMENT) {
        return child_main();
    }
    let args = Args::parse();
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

async fn run(args: Args) -> Result<(), ropeway_operator::RunError> {
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
    ropeway_operator::run(args, stop).await
}
