//! The program of `make bench`.

use std::process::ExitCode;

use clap::Parser;
use ropeway_bench::{
    abuse,
    args::{Args, Task},
    call, floor, load, results, run, sink,
};

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread: every process here has one core, or shares it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made at the start of a process");
    let ended = runtime.block_on(async {
        match args.task {
            Task::Run(args) => run::run(&args).await,
            Task::Show(args) => results::show(&args.results),
            Task::Floor(args) => floor::run(&args).await,
            Task::Sink(args) => sink::run(&args).await,
            Task::Load(args) => load::run(&args).await,
            Task::Call(args) => call::run(&args).await,
            Task::Abuse(args) => abuse::run(&args).await,
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ropeway-bench: {}", error.with_causes());
            ExitCode::FAILURE
        }
    }
}
