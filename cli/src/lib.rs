//! The command `ropeway`: the same words for files, for a local run and for a cluster.
//!
//! ```text
//! files ─▶ manifest ─▶ stage ─▶ check (lint, test, render)
//!                        └────▶ dev ─▶ demo ─▶ evidence ─▶ account
//! names ─▶ dlq (place, then the operator's door to dead letters, then show)
//!       └▶ cursor (the same place, then the record of a polled source)
//! ```

pub mod account;
pub mod args;
pub mod check;
pub mod cursor;
pub mod dev;
pub mod dlq;
pub mod io;
pub mod located;
pub mod login;
pub mod manifest;
pub mod send;
pub mod shadow;
pub mod sink;
pub mod stage;
pub mod table;

use std::{collections::BTreeMap, error::Error, path::Path, process::ExitCode};

use args::{Args, Command, Output, SendArgs, SinkArgs, StatusArgs};
use ropeway_crds::status::IntegrationStatus;
use serde_json::json;
use tracing_subscriber::prelude::*;

type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

/// The whole program: what `main` and the test binaries call.
pub fn main_with(args: Args) -> ExitCode {
    // What a panic says may hold a piece of a secret or of an event.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        eprintln!("ropeway: this should not have happened, at {place}; please report it with what you did");
    }));
    if !matches!(args.command, Command::Lint(_) | Command::Test(_) | Command::Render(_)) {
        let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,async_nats=error".into());
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::registry().with(filter).with(ropeway_nats::without_messages()).with(lines).init();
    }
    // A second installation, as in a test, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(ropeway_mapping::STACK_SIZE)
        .build()
        .expect("a runtime can be made at the start of a process");
    match runtime.block_on(run(args.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ropeway: {error}");
            if let Some(dev::DevError::Faults(faults)) = error.downcast_ref::<dev::DevError>() {
                faults.iter().for_each(|fault| eprintln!("  {fault}"));
            }
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Outcome {
    let mut out = std::io::stdout();
    match command {
        Command::Lint(args) => Ok(check::lint(&args, &mut out)?),
        Command::Test(args) => Ok(check::test(&args, &mut out)?),
        Command::Render(args) => Ok(check::render(&args, &mut out)?),
        Command::Dev(args) if args.send.is_some() => Ok(dev::demo::run(args).await?),
        Command::Dev(args) => {
            dev::watch::watch(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Send(args) => send_file(args).await,
        Command::Sink(args) => serve_sink(args).await,
        Command::Status(args) => show_status(args).await,
        Command::Dlq(args) => Ok(dlq::run(args).await?),
        Command::Cursor(args) => Ok(cursor::run(args).await?),
        Command::Backfill(args) => Ok(cursor::backfill(args).await?),
        Command::Login(args) => Ok(login::run(args).await?),
        Command::Shadow(args) => Ok(shadow::run(args).await?),
    }
}

async fn send_file(args: SendArgs) -> Outcome {
    let text = |path: &Path| std::fs::read_to_string(path).map(|text| text.trim_end().to_owned());
    let proof = match (&args.signing_secret_file, &args.bearer_token_file, &args.basic_file) {
        (Some(path), ..) => send::Proof::Signed(args.vendor, text(path)?),
        (_, Some(path), _) => send::Proof::Bearer(text(path)?),
        (.., Some(path)) => {
            let pair = text(path)?;
            let (user, password) =
                pair.split_once(':').ok_or("the file of --basic-file does not hold user:password")?;
            send::Proof::Basic(user.to_owned(), password.to_owned())
        }
        _ => send::Proof::None,
    };
    let events = send::read(&args.file)?;
    let client = reqwest::Client::builder().build()?;
    let sent = send::send(&client, &args.url, &proof, &events).await?;
    match args.output {
        Output::Json => {
            println!("{}", json!({ "accepted": sent.accepted, "known": sent.known, "repeated": sent.repeated }))
        }
        Output::Text => println!(
            "{} events accepted, {} of them known already; {} requests had to be repeated",
            sent.accepted, sent.known, sent.repeated
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve_sink(args: SinkArgs) -> Outcome {
    let script = match &args.script {
        Some(path) => sink::Script::read(path)?,
        None => sink::Script::default(),
    };
    let listener = ropeway_worker::worker::listen(args.listen).await?;
    eprintln!("the sink takes requests on http://{}", listener.local_addr()?);
    let stop = ropeway_worker::shutdown::on_signal();
    let router = sink::Sink::new(script, 0, args.show).router();
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await?;
    Ok(ExitCode::SUCCESS)
}

async fn show_status(args: StatusArgs) -> Outcome {
    let statuses: Vec<(String, IntegrationStatus)> = match &args.dev {
        Some(folder) => {
            let path = folder.join("status.json");
            let text = std::fs::read(&path)
                .map_err(|error| format!("{}: {error}; is `ropeway dev` running?", path.display()))?;
            serde_json::from_slice::<BTreeMap<_, _>>(&text)?.into_iter().collect()
        }
        None => io::statuses(args.namespace.as_deref()).await?,
    };
    match args.output {
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(&statuses.into_iter().collect::<BTreeMap<_, _>>())?)
        }
        Output::Text if statuses.is_empty() => println!("there are no Integrations here"),
        Output::Text => println!("{}", table::statuses(&statuses)),
    }
    Ok(ExitCode::SUCCESS)
}
