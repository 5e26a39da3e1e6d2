//! The compiler's child process alone, for the tests of this package. The operator and the CLI have
//! it as a hidden subcommand of their own.

use std::process::ExitCode;

use ropeway_mapping::untrusted::CHILD_ARGUMENT;
use ropeway_mapping::{CountingAllocator, child_main};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(CHILD_ARGUMENT) => child_main(),
        _ => ExitCode::FAILURE,
    }
}
