//! One visit to a Destination.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use ropeway_crds::{
    Destination,
    names::{NamespaceNames, ShortUid},
};

use super::{
    Found, broker,
    observe::observe,
    resolve::resolve,
    status::{Event, events, newest_circuit, status, worth_writing},
    wish::{RESUME_ANNOTATION, fulfil, wishes},
};
use crate::{
    context::Context,
    error::Error,
    integration::{
        reconcile::now,
        visits::{LaneView, Mark},
    },
};

/// The pause between two looks at what lanes report, which costs nothing but memory.
const PAUSE: Duration = Duration::from_secs(5);

/// One visit.
///
/// # Errors
/// If a read or the status write fails.
pub async fn reconcile(object: Arc<DeserializeGuard<Destination>>, context: Arc<Context>) -> Result<Action, Error> {
    let begun = Instant::now();
    let result = match &object.0 {
        Ok(destination) => visit(destination, &context).await,
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(name, error = %invalid.error, "a Destination can't be read");
            Ok(Action::await_change())
        }
    };
    context.metrics.reconciled("Destination", begun.elapsed(), result.as_ref().err().map(Error::class));
    result
}

/// When a failed visit is tried again.
pub fn after_failure(object: Arc<DeserializeGuard<Destination>>, error: &Error, context: Arc<Context>) -> Action {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let failures = context.destinations.failed(key.clone());
    tracing::warn!(namespace = key.0, name = key.1, class = error.class(), failures, error = %error, "a reconcile failed");
    Action::requeue(error.pause(failures, rand::random()))
}

async fn visit(destination: &Destination, context: &Context) -> Result<Action, Error> {
    let (namespace, name) = (destination.namespace().unwrap_or_default(), destination.name_any());
    let key = (namespace.clone(), name.clone());
    if destination.metadata.deletion_timestamp.is_some() {
        context.destinations.forget(&key);
        return Ok(Action::await_change());
    }
    let mark = Mark::of(destination);
    let found = match context.destinations.recent(&key, &mark) {
        Some(found) => found,
        None => {
            let facts =
                observe(&context.kubernetes, &namespace, &destination.spec, context.args.trust(&namespace)).await?;
            let findings = resolve(&destination.spec, &facts);
            let found = Found { mark, time: Instant::now(), facts, findings };
            // While something is missing each visit looks again: the watch on Secrets may be off.
            if found.findings.is_empty() || context.args.watch_secrets {
                context.destinations.remember(key.clone(), found.clone());
            }
            found
        }
    };
    let lanes = context.visits.lanes_to(&namespace, &name);
    fulfil_wishes(destination, &lanes, context).await?;
    let mut destination = destination.clone();
    let written = context.destinations.written(&key);
    let interval = context.args.status_interval();
    let age = written.as_ref().map_or(interval, |(_, time)| time.elapsed());
    if let Some((status, _)) = written {
        destination.status = Some(status);
    }
    let tokens = match found.findings.is_empty() {
        true => broker::keep(&destination, context).await?,
        // What is missing is told already, and what may not be used is not read.
        false => None,
    };
    let users = context.visits.users_of(&namespace, &name);
    let next = status(&destination, &found.findings, &lanes, tokens.as_ref(), users, now());
    if worth_writing(destination.status.as_ref(), &next, age, interval) {
        let uid = destination.uid().unwrap_or_default();
        context.kubernetes.apply_status::<Destination>(&namespace, &name, &uid, &next).await?;
        context.metrics.status_written("Destination");
        for Event { warning, reason, note } in events(destination.status.as_ref(), &next) {
            context.kubernetes.event(&destination.object_ref(&()), warning, reason, note).await;
        }
        context.destinations.wrote(key, next);
    }
    Ok(Action::requeue(PAUSE))
}

/// Does what annotations ask for. The one that asks for it once is taken away then.
async fn fulfil_wishes(destination: &Destination, lanes: &[LaneView], context: &Context) -> Result<(), Error> {
    let wishes = wishes(destination, newest_circuit(lanes));
    if wishes.is_empty() {
        return Ok(());
    }
    let namespace = destination.namespace().unwrap_or_default();
    let Some(found) = context.kubernetes.namespace(&namespace).await? else { return Ok(()) };
    let names = NamespaceNames::new(ShortUid::of(&found.uid().unwrap_or_default()));
    let jetstream = context.connections.known(&context.kubernetes, &namespace).await?;
    fulfil(&jetstream, &names, destination, &wishes, now()).await?;
    if destination.annotations().contains_key(RESUME_ANNOTATION) {
        context.kubernetes.remove_annotation(destination, RESUME_ANNOTATION).await?;
    }
    Ok(())
}
