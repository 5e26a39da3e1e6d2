//! The operator, with the points at which a test can kill it.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::{CountingAllocator, STACK_SIZE, child_main, untrusted::CHILD_ARGUMENT};
use ropeway_operator::{Args, telemetry};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(CHILD_ARGUMENT) {
        return child_main();
    }
    let args = Args::parse();
    telemetry::init();
    // A second installation is refused, which changes nothing: it is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_SIZE).build();
    let runtime = runtime.expect("a runtime can be made at the start of a process");
    match runtime.block_on(ropeway_operator::run(args, CancellationToken::new())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
