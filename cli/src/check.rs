//! `lint`, `test` and `render`: files in, a verdict out. Nothing is started and nothing is sent.

use std::{io::Write, process::ExitCode};

use ropeway_operator::offline::Settings;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{FileArgs, Output},
    manifest::{Fault, Manifests, load},
    stage::stage,
};

/// What the operator's administrator would have decided.
pub fn settings() -> Settings {
    Settings {
        worker_image: concat!("ropeway.dev/ropeway:", env!("CARGO_PKG_VERSION")).into(),
        nats_url: "nats://nats.ropeway-system:4222".into(),
        allowed_private_ranges: Vec::new(),
        stream_replicas: 1,
    }
}

/// `ropeway lint`: everything that is wrong, each with file, line and remedy.
pub fn lint(args: &FileArgs, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    let checked = load(&args.paths).and_then(|manifests| {
        let counts = (manifests.integrations.len(), manifests.destinations.len());
        stage(&manifests, &settings()).map(|_| (counts, warnings(&manifests)))
    });
    match checked {
        Ok(((integrations, destinations), warnings)) => {
            match args.output {
                Output::Json => writeln!(out, "{}", json!({ "faults": [], "warnings": warnings }))?,
                Output::Text => {
                    for Fault { file, line, message } in warnings {
                        writeln!(out, "{file}:{line}: warning: {message}")?;
                    }
                    writeln!(out, "{integrations} Integrations and {destinations} Destinations are in order")?
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            report(&faults, args.output, out)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What is odd without being wrong.
fn warnings(manifests: &Manifests) -> Vec<Fault> {
    let of_destinations =
        manifests.destinations.iter().map(|(destination, origin)| (destination.spec.warnings(), origin));
    let of_integrations =
        manifests.integrations.iter().map(|(integration, origin)| (integration.spec.warnings(), origin));
    let odd = of_destinations.chain(of_integrations).flat_map(|(warnings, origin)| {
        warnings.into_iter().map(|warning| Fault::at(&origin.place(&warning.field), warning.to_string()))
    });
    odd.collect()
}

/// `ropeway test`: runs the tests in the resources. Resolving runs them, so a resource that resolves has passed.
pub fn test(args: &FileArgs, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    #[derive(Serialize)]
    struct Passed {
        integration: String,
        tests: usize,
    }
    let tested = load(&args.paths).and_then(|manifests| {
        stage(&manifests, &settings()).map(|staged| {
            let passed = staged.iter().map(|staged| Passed {
                integration: staged.plan.identity.name.clone(),
                tests: staged.integration.spec.tests.as_ref().map_or(0, Vec::len),
            });
            passed.collect::<Vec<_>>()
        })
    });
    match tested {
        Ok(passed) => {
            match args.output {
                Output::Json => writeln!(out, "{}", json!({ "passed": passed, "faults": [] }))?,
                Output::Text => {
                    for Passed { integration, tests } in passed {
                        writeln!(out, "{integration}: {tests} tests passed")?;
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            report(&faults, args.output, out)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `ropeway render`: the objects that the operator would make.
pub fn render(args: &FileArgs, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    let staged = match load(&args.paths).and_then(|manifests| stage(&manifests, &settings())) {
        Ok(staged) => staged,
        Err(faults) => {
            report(&faults, args.output, out)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    for staged in staged {
        let plan = staged.plan;
        let mut objects = vec![json!(plan.config_map), json!(plan.deployment)];
        objects.extend(plan.service.as_ref().map(|service| json!(service)));
        objects.extend(plan.cron_job.as_ref().map(|cron_job| json!(cron_job)));
        for object in objects {
            match args.output {
                Output::Json => writeln!(out, "{object}")?,
                Output::Text => {
                    let yaml = serde_saphyr::to_string(&object).map_err(std::io::Error::other)?;
                    write!(out, "---\n{yaml}")?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes what is wrong.
pub fn report(faults: &[Fault], output: Output, out: &mut dyn Write) -> std::io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", json!({ "faults": faults })),
        Output::Text => faults.iter().try_for_each(|fault| writeln!(out, "{fault}")),
    }
}
