//! `ropeway shadow`: what an Integration in the mode Shadow would have sent.

use std::{io::Write, process::ExitCode};

use ropeway_crds::{headers as h, names::LaneId};
use ropeway_operator::offline::{NatsError, Stored, redact};
use serde_json::{Value, json};

use crate::{
    args::Output,
    dlq::{
        args::Target,
        place::{Place, PlaceError, find},
    },
};

/// `ropeway shadow`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShadowArgs {
    /// Whose requests, and where they are.
    #[command(flatten)]
    pub target: Target,
    /// How many of each destination, the newest last.
    #[arg(long, default_value_t = 10)]
    pub limit: usize,
    /// Show the values in bodies.
    #[arg(long)]
    pub reveal: bool,
}

/// The requests can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// They can't be found.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The Integration has no such destination.
    #[error("the Integration {integration:?} has no destination {name:?}; it has {known}")]
    NoDestination {
        /// The Integration.
        integration: String,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// NATS can't be asked.
    #[error("failed to read what would have been sent")]
    Nats(#[source] NatsError),
    /// The terminal is gone.
    #[error("failed to write the result")]
    Output(#[from] std::io::Error),
}

/// Shows the last requests of each destination.
///
/// # Errors
/// See [`ShadowError`].
pub async fn run(args: ShadowArgs) -> Result<ExitCode, ShadowError> {
    let place = find(&args.target).await?;
    let wanted = args.target.destination.as_ref();
    if let Some(name) = wanted.filter(|name| !place.destinations.contains(name)) {
        let (integration, known) = (args.target.integration.clone(), place.destinations.join(", "));
        return Err(ShadowError::NoDestination { integration, name: name.clone(), known });
    }
    let mut shown = Vec::new();
    for destination in place.destinations.iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)) {
        let requests = requests(&place, destination, args.limit).await.map_err(ShadowError::Nats)?;
        shown.extend(requests.iter().map(|request| document(destination, request, args.reveal)));
    }
    let mut out = std::io::stdout();
    match args.target.output {
        Output::Json => writeln!(out, "{}", json!({ "integration": args.target.integration, "requests": shown }))?,
        Output::Text if shown.is_empty() => writeln!(
            out,
            "nothing was kept: spec.mode of {} is not Shadow, or no event came in the last day",
            args.target.integration
        )?,
        Output::Text => shown.iter().try_for_each(|request| writeln!(out, "{}", text(request)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest requests of one lane, the oldest of them first.
async fn requests(place: &Place, destination: &str, limit: usize) -> Result<Vec<Stored>, NatsError> {
    let lane = LaneId::new(&place.integration, destination);
    let (stream, subject) = (place.names.shadow_stream(), place.names.shadow(&place.integration, &lane));
    let (mut requests, mut from) = (Vec::new(), 1);
    // A lane keeps at most a hundred.
    while let Some(request) = place.jetstream.next_message(&stream, &subject, from).await? {
        from = request.sequence + 1;
        requests.push(request);
    }
    let beyond = requests.len().saturating_sub(limit);
    Ok(requests.split_off(beyond))
}

fn document(destination: &str, request: &Stored, reveal: bool) -> Value {
    let target = request.headers.get(h::SHADOW_TARGET).map_or("", |value| value.as_str());
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            let name = name.strip_prefix(h::SHADOW_HEADER_PREFIX)?;
            Some((name.to_owned(), Value::from(values.first()?.as_str())))
        })
        .collect();
    let body = match serde_json::from_slice::<Value>(&request.body) {
        _ if !reveal => redact::body(&request.body),
        Ok(body) => body,
        Err(_) => Value::from(String::from_utf8_lossy(&request.body)),
    };
    json!({
        "destination": destination, "time": request.time.to_string(), "target": target, "headers": headers, "body": body,
    })
}

fn text(request: &Value) -> String {
    let word = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let headers = request["headers"].as_object().into_iter().flatten();
    let headers: String =
        headers.map(|(name, value)| format!("  {name}: {}\n", value.as_str().unwrap_or(""))).collect();
    let body = serde_json::to_string_pretty(&request["body"]).unwrap_or_default();
    format!("{}  to {}\n  {}\n{headers}\n{body}\n", word("time"), word("destination"), word("target"))
}
