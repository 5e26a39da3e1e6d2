//! The operator: turns Integrations into workers, streams and status.
//!
//! ```text
//!   integration   watch ─▶ observe ─▶ resolve ─▶ plan ─▶ apply ─▶ status        cleanup at the end
//!                          Observed   Resolved   Plan    Applied   IntegrationStatus
//!   io:                    read       –          –       write     write
//!   destination   watch ─▶ observe ─▶ resolve ───────────────────▶ status
//! ```
//!
//! Between the doors in [`io`] everything is a plain function. [`dead_letters`] says what entries are and which are meant, for
//! whoever sends them again. [`offline`] is the same way without an API server, for
//! `ropeway dev`.

use std::{io as std_io, sync::Arc, time::Duration};

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::{admin::Readiness, context::Context, io::kubernetes::Kubernetes, metrics::Metrics};

pub mod admin;
pub mod args;
pub mod context;
pub mod dead_letters;
pub mod destination;
pub mod error;
pub mod fault;
pub mod integration;
pub mod io;
pub mod metrics;
pub mod offline;
pub mod program;
pub mod telemetry;

pub use args::Args;

/// How often the kinds are looked for while some are missing.
const KINDS_PAUSE: Duration = Duration::from_secs(2);

/// The operator ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error("failed to find the way to the API server; give a kubeconfig or run in a cluster")]
    Client(#[source] Box<kube::Error>),
    /// The admin address can't be used.
    #[error("failed to listen on the admin address")]
    Admin(#[source] std_io::Error),
    /// A part of the operator ended.
    #[error("{part} ended")]
    Ended {
        /// Which.
        part: &'static str,
    },
}

/// Runs the operator with the client that the environment says, until told to stop.
///
/// # Errors
/// See [`RunError`]. Whoever gets one exits: a part that ended would not come back.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), RunError> {
    let client = Client::try_default().await.map_err(|error| RunError::Client(Box::new(error)))?;
    run_with(client, args, stop).await
}

/// Runs the operator with this client.
///
/// # Errors
/// As [`run`].
pub async fn run_with(client: Client, args: Args, stop: CancellationToken) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::waiting("starting");
    let admin = admin::serve(args.listen_admin, Arc::clone(&metrics), readiness.clone(), stop.clone());
    let context = Arc::new(Context::new(Kubernetes::new(client), args, metrics));
    let mut control = std::pin::pin!(control(context, readiness, stop.clone()));
    tokio::select! {
        result = admin => result.map_err(RunError::Admin)?,
        result = &mut control => return result,
    }
    // Told to stop, it ends what it has begun: what a server gave must not be dropped before it is stored.
    control.await
}

async fn control(context: Arc<Context>, readiness: Readiness, stop: CancellationToken) -> Result<(), RunError> {
    if !kinds_are_there(&context, &readiness, &stop).await {
        return Ok(());
    }
    let scopes: Vec<Option<String>> = match context.args.namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let mut parts = tokio::task::JoinSet::new();
    for scope in scopes {
        let integrations = integration::watch::run(Arc::clone(&context), scope.clone(), stop.clone());
        parts.spawn(async move {
            integrations.await;
            "the reconciler of Integrations"
        });
        let destinations = destination::watch::run(Arc::clone(&context), scope, stop.clone());
        parts.spawn(async move {
            destinations.await;
            "the reconciler of Destinations"
        });
    }
    let (watched, ready, until) = (Arc::clone(&context), readiness.clone(), stop.clone());
    parts.spawn(async move {
        while !until.is_cancelled() {
            kinds_are_there(&watched, &ready, &until).await;
            tokio::select! {
                () = tokio::time::sleep(KINDS_PAUSE * 10) => {}
                () = until.cancelled() => {}
            }
        }
        "the look at the kinds"
    });
    tracing::info!("the operator runs");
    while let Some(ended) = parts.join_next().await {
        // A panic in one part must not leave the others running as if nothing were missing.
        let part = ended.unwrap_or("a part that panicked");
        if !stop.is_cancelled() {
            return Err(RunError::Ended { part });
        }
    }
    Ok(())
}

/// Waits until the API server knows our kinds, and says on `/readyz` which are missing. False if told to stop meanwhile.
async fn kinds_are_there(context: &Context, readiness: &Readiness, stop: &CancellationToken) -> bool {
    loop {
        let reasons = match context.kubernetes.missing_kinds().await {
            Ok(missing) => missing.into_iter().map(|kind| format!("the CRD {kind} is not installed")).collect(),
            Err(error) => vec![error.summary()],
        };
        if reasons.is_empty() {
            readiness.set(reasons);
            return true;
        }
        tracing::warn!(reasons = reasons.join("; "), "the operator waits");
        readiness.set(reasons);
        tokio::select! {
            () = tokio::time::sleep(KINDS_PAUSE) => {}
            () = stop.cancelled() => return false,
        }
    }
}
