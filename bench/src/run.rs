//! The conductor: every workload in turn, then the results.

use jiff::Timestamp;

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    delay, direct, golden, hang, idle,
    results::{Origin, table, write},
    siege, throughput, vendors, versions,
    workload::Workload,
};

/// Runs the workloads, from the root of the repository.
///
/// # Errors
/// When one fails. What was measured before is written already.
pub async fn run(args: &RunArgs) -> Result<(), Error> {
    let folder = golden::scratch()?;
    let sink = Sink::start(folder.path()).await?;
    let origin = Origin {
        versions: versions::versions(),
        command: command(args),
        date: Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
    };
    let mut all = Vec::new();
    for workload in &args.workloads {
        let figures = match workload {
            Workload::T1 | Workload::T2 => throughput::measure(*workload, args, &sink, &origin).await?,
            Workload::T5 => delay::measure(args, &sink, &origin).await?,
            Workload::O1 => idle::measure(args, &origin).await?,
            Workload::F4 => hang::measure(args, &sink, &origin).await?,
            Workload::I1 => siege::measure(args, &sink, &origin).await?,
            Workload::R1 => direct::measure(args, &sink, &origin).await?,
            Workload::V1 => vendors::measure(args, &sink, &origin).await?,
        };
        write(&args.out, &figures)?;
        all.extend(figures);
    }
    println!("{}", table(&all));
    Ok(())
}

/// The command as anybody would repeat it, without paths.
fn command(args: &RunArgs) -> String {
    let RunArgs { workloads, pairs, events, lanes, seconds, worker: _, out: _ } = args;
    let workloads: Vec<String> = workloads.iter().map(|workload| format!("{workload:?}")).collect();
    let workloads = workloads.join(",");
    format!(
        "ropeway-bench run --workloads {workloads} --pairs {pairs} --events {events} --lanes {lanes} --seconds {seconds}"
    )
}
