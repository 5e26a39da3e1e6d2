//! One visit to an Integration. A full visit goes through all stages; between two of them short ones only look at what the
//! workers report.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use ropeway_crds::{
    Integration,
    condition::{Finding, Reason},
    names::NamespaceNames,
    names::ShortUid,
};

use crate::{
    context::Context,
    error::Error,
    integration::{
        apply::{ApplyError, apply_children, apply_exposure, apply_streams, ensure_wish},
        cleanup,
        look::{Look, look},
        observe::observe,
        plan::{plan, wish},
        resolve::{Resolved, resolve},
        visits::{Mark, Planned, Visit, key_of},
    },
    io::jetstream::bucket_stream,
};

/// The finalizer: streams and consumers are the only children that nothing else would collect.
pub const FINALIZER: &str = "ropeway.dev/streams";

/// The pause while nothing is under way: reports are read this often.
const CALM: Duration = Duration::from_secs(5);

/// The pause while something is under way.
const BUSY: Duration = Duration::from_secs(1);

/// The pause where only a user's change can help, and a watch will tell of it.
const WAITING: Duration = Duration::from_secs(30);

/// One visit.
///
/// # Errors
/// What keeps the Integration from being as it should; the error decides when the next visit is.
pub async fn reconcile(object: Arc<DeserializeGuard<Integration>>, context: Arc<Context>) -> Result<Action, Error> {
    let begun = Instant::now();
    let integration = match &object.0 {
        Ok(integration) => integration,
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(name, error = %invalid.error, "an Integration can't be read");
            context.metrics.reconciled("Integration", begun.elapsed(), Some("Unreadable"));
            return Ok(Action::await_change());
        }
    };
    let result = visit(integration, &context).await;
    let class = result.as_ref().err().map(Error::class);
    context.metrics.reconciled("Integration", begun.elapsed(), class);
    if result.is_ok() {
        context.visits.succeeded(integration);
    }
    result
}

/// When a failed visit is tried again.
pub fn after_failure(object: Arc<DeserializeGuard<Integration>>, error: &Error, context: Arc<Context>) -> Action {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let failures = context.visits.failed(key.clone());
    let pause = error.pause(failures, rand::random());
    tracing::warn!(
        namespace = key.0, name = key.1, class = error.class(), failures,
        error = %error, cause = cause(error), "a reconcile failed",
    );
    Action::requeue(pause)
}

fn cause(error: &Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut text = String::new();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

async fn visit(integration: &Integration, context: &Context) -> Result<Action, Error> {
    if integration.metadata.deletion_timestamp.is_some() {
        return cleanup::cleanup(integration, context).await;
    }
    ensure_finalizer(integration, context).await?;
    let recent = context.visits.recent(integration);
    let looks_again =
        |visit: &Visit| !context.args.watch_secrets && misses_a_secret(visit) || misses_the_unwatched(visit);
    let (visit, failure) = match recent.filter(|visit| !looks_again(visit)) {
        Some(visit) => (visit, None),
        None => full_visit(integration, context).await?,
    };
    let fault = failure.as_ref().map(Error::finding);
    // Without a plan there are no workers that could report anything.
    let hopeless = !visit.findings.is_empty() && visit.plan.is_none();
    let is_watched = !visit.findings.iter().any(is_unwatched);
    let Look { settled, failure: blind } = look(integration, context, visit, fault.as_ref()).await?;
    match failure.or(blind) {
        Some(failure) => Err(failure),
        None if hopeless && is_watched && context.args.watch_secrets => Ok(Action::requeue(WAITING)),
        None => Ok(Action::requeue(if settled { CALM } else { BUSY })),
    }
}

/// Whether a Secret, its label or a key of it was missing, which nothing tells of when Secrets are not watched: then each visit looks
/// again, but not those of every second.
fn misses_a_secret(visit: &Visit) -> bool {
    let missing = |finding: &Finding| {
        matches!(finding.reason, Reason::SecretNotFound | Reason::SecretKeyNotFound | Reason::SecretNotAllowed)
    };
    visit.findings.iter().any(missing) && visit.time.elapsed() > CALM / 2
}

/// Whether something was missing that nothing tells of.
fn misses_the_unwatched(visit: &Visit) -> bool {
    visit.findings.iter().any(is_unwatched) && visit.time.elapsed() > CALM / 2
}

/// Claims and service accounts are not watched.
fn is_unwatched(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::ClaimNotFound | Reason::ServiceAccountNotAllowed)
}

async fn ensure_finalizer(integration: &Integration, context: &Context) -> Result<(), Error> {
    if integration.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    let mut finalizers = integration.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    Ok(context.kubernetes.set_finalizers(integration, &finalizers).await?)
}

/// All stages but status. What is wrong with the spec leaves everything that runs as it is.
async fn full_visit(integration: &Integration, context: &Context) -> Result<(Visit, Option<Error>), Error> {
    let namespace = integration.namespace().unwrap_or_default();
    let last = context.visits.last(integration);
    let mut visit = Visit {
        mark: Mark::of(integration),
        time: Instant::now(),
        stale: false,
        findings: Vec::new(),
        plan: last.as_ref().and_then(|last| last.plan.clone()),
        deployment: last.as_ref().and_then(|last| last.deployment.clone()),
        route: last.as_ref().and_then(|last| last.route.clone()),
        removed: last.as_ref().map(|last| last.removed.clone()).unwrap_or_default(),
        unpruned: true,
        figures: last.and_then(|last| last.figures),
    };
    let found = context.kubernetes.namespace(&namespace).await?;
    let namespace_uid = found.and_then(|found| found.uid()).ok_or(Error::NoNamespace { name: namespace.clone() })?;
    let trust = context.args.trust(&integration.namespace().unwrap_or_default());
    let observed = observe(&context.kubernetes, integration, &namespace_uid, trust).await?;
    context.visits.refer(integration, observed.references());
    let compiler = Arc::clone(&context.compiler);
    let resolved =
        tokio::task::spawn_blocking(move || resolve(&observed, &|source, purpose| compiler.compile(source, purpose)));
    let failure = match resolved.await.map_err(Error::Compiler)? {
        Ok(resolved) => {
            visit.findings.clone_from(&resolved.withheld);
            apply(&namespace, context, resolved, &mut visit).await.err()
        }
        Err(findings) => {
            visit.findings = findings;
            if let Some(planned) = &mut visit.plan {
                Arc::make_mut(planned).plan.jetstream.wish = wish(integration.spec.state());
            }
            pass_on_wish(integration, context, &namespace_uid).await.err()
        }
    };
    visit.stale = failure.is_some() || only_unknown(&visit.findings);
    context.visits.remember(integration, visit.clone());
    Ok((visit, failure))
}

/// Whether nothing was found out, so that the next visit must look again.
fn only_unknown(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.status.is_none())
}

async fn apply(namespace: &str, context: &Context, resolved: Resolved, visit: &mut Visit) -> Result<(), Error> {
    let planned = Planned { plan: plan(&resolved, &context.settings), resolved };
    let planned = visit.plan.insert(Arc::new(planned));
    let jetstream = context.connections.of(&context.kubernetes, namespace).await?;
    let lock = context.lock(namespace);
    let applied = {
        let _shared = lock.lock().await;
        apply_streams(&jetstream, &planned.plan.jetstream).await?
    };
    visit.removed = applied.removed;
    visit.deployment = Some(apply_children(&context.kubernetes, &planned.plan).await?);
    visit.route = apply_exposure(&context.kubernetes, &planned.plan).await?;
    Ok(())
}

/// A wish reaches the workers that run although the spec has something wrong in it: whoever broke a mapping must be able to
/// pause.
async fn pass_on_wish(integration: &Integration, context: &Context, namespace_uid: &str) -> Result<(), Error> {
    let (namespace, _) = key_of(integration);
    let names = NamespaceNames::new(ShortUid::of(namespace_uid));
    let jetstream = context.connections.of(&context.kubernetes, &namespace).await?;
    if jetstream.stream(&bucket_stream(&names.state_bucket())).await?.is_none() {
        return Ok(());
    }
    let uid = ShortUid::of(&integration.uid().unwrap_or_default());
    ensure_wish(&jetstream, &names, &uid, &wish(integration.spec.state())).await.map_err(ApplyError::Nats)?;
    Ok(())
}

/// The time as status has it: whole seconds.
pub fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
