//! The end of an Integration: what its deletion policy says, then the finalizer goes. Every step may be the last one before
//! a crash and may be done again. Nothing here waits for ever: a NATS that can't be reached lets the object go after a
//! deadline.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::CronJob,
    core::v1::{ConfigMap, Service},
};
use kube::{Resource, ResourceExt, runtime::controller::Action};
use ropeway_crds::{
    Integration,
    condition::{ConditionType, Finding, Reason},
    integration::{DeletionPolicy, State},
    names,
};

use crate::{
    context::Context,
    error::Error,
    integration::{
        apply::{RemovedLane, ensure_wish, recorded_lanes},
        lanes::{Leaving, Progress, retire},
        look::look_at_going,
        plan::{JetStreamPlan, meta, streams::jetstream_plan, wish},
        reconcile::{FINALIZER, now},
        resolve::{Outline, outline},
        status::judge_workers,
        visits::key_of,
    },
    io::{
        jetstream::{JetStream, bucket_stream},
        reports,
    },
};

mod remove;

/// The pause between two looks at what is left.
const PAUSE: Duration = Duration::from_secs(1);

/// How long workers that were told to go are waited for beyond the drain, in seconds: their grace period and some.
const WORKERS_GO_SECONDS: i64 = 60;

/// How far the end has come.
enum Step {
    /// Something has to happen first.
    Wait(Finding),
    /// Everything is done but for the namespace's streams.
    Done,
}

/// One step towards the end of an Integration.
///
/// # Errors
/// What keeps it; the next visit goes on.
pub async fn cleanup(integration: &Integration, context: &Context) -> Result<Action, Error> {
    if !integration.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        forget(integration, context);
        return Ok(Action::await_change());
    }
    match step(integration, context).await {
        Ok(Step::Done) => Ok(Action::await_change()),
        Ok(Step::Wait(finding)) => {
            look_at_going(integration, context, &finding, None).await?;
            Ok(Action::requeue(PAUSE))
        }
        Err(error) if error.is_nats_down() && waited(integration) >= seconds(context.args.release_seconds) => {
            let note = format!("{error}; streams and dead letters in NATS were left behind");
            context.kubernetes.event(&integration.object_ref(&()), true, "Released", note).await;
            context.metrics.released();
            delete_children(integration, context).await?;
            release(integration, context).await?;
            Ok(Action::await_change())
        }
        Err(error) => {
            let finding =
                Finding::fails(ConditionType::Ready, Reason::Deleting, format!("can't be deleted yet: {error}"));
            // The status is not what matters now, and the object may be gone.
            let _ = look_at_going(integration, context, &finding, Some(&error.finding())).await;
            Err(error)
        }
    }
}

fn seconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Seconds since the deletion was asked for.
fn waited(integration: &Integration) -> i64 {
    let asked = integration.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_second());
    asked.map_or(0, |asked| now().as_second() - asked)
}

async fn step(integration: &Integration, context: &Context) -> Result<Step, Error> {
    let namespace = integration.namespace().unwrap_or_default();
    let found = context.kubernetes.namespace(&namespace).await?;
    let namespace_uid = found.as_ref().and_then(ResourceExt::uid).unwrap_or_default();
    let terminating = found.is_none_or(|found| found.metadata.deletion_timestamp.is_some());
    let policy = match terminating {
        // Nothing can be delivered or kept any more.
        true => DeletionPolicy::Delete,
        false => integration.spec.deletion_policy.unwrap_or_default(),
    };
    let Some(outline) = outline(integration, &namespace_uid).filter(|_| policy != DeletionPolicy::Retain) else {
        delete_children(integration, context).await?;
        release(integration, context).await?;
        return Ok(Step::Done);
    };
    let Outline { identity, source, lanes, state, .. } = &outline;
    let plan = jetstream_plan(identity, source, lanes, *state, &context.settings);
    let jetstream = match terminating {
        // The Secret with the credentials may be gone already.
        true => context.connections.known(&context.kubernetes, &namespace).await?,
        false => context.connections.of(&context.kubernetes, &namespace).await?,
    };
    if policy == DeletionPolicy::Drain
        && let Some(wait) = drain(integration, context, &jetstream, &outline, &plan).await?
    {
        return Ok(Step::Wait(wait));
    }
    if let Some(wait) = stop_workers(integration, context, &jetstream, &plan).await? {
        return Ok(Step::Wait(wait));
    }
    let recorded = recorded_lanes(&jetstream, &plan).await?;
    if policy == DeletionPolicy::Drain
        && let Some(wait) = give_up(&jetstream, &outline, &plan, &recorded).await?
    {
        return Ok(Step::Wait(wait));
    }
    let mut discarded = remove::own(&jetstream, &plan, &recorded, policy).await?;
    let lock = context.lock(&namespace);
    let _shared = lock.lock().await;
    let others = context.kubernetes.holders::<Integration>(&namespace, FINALIZER).await?;
    if others.iter().all(|uid| *uid == identity.uid) {
        discarded += remove::shared(&jetstream, &plan, terminating).await?;
    }
    if discarded > 0 {
        context.metrics.discarded(discarded);
        let name = &identity.name;
        tracing::warn!(namespace, name, discarded, "messages were discarded with an Integration");
    }
    release(integration, context).await?;
    Ok(Step::Done)
}

fn going(reason: Reason, message: String) -> Finding {
    Finding::fails(ConditionType::Ready, reason, message)
}

/// Goes on delivering for a while: the way in is closed, the workers stay.
async fn drain(
    integration: &Integration,
    context: &Context,
    jetstream: &JetStream,
    outline: &Outline,
    plan: &JetStreamPlan,
) -> Result<Option<Finding>, Error> {
    let identity = &outline.identity;
    let child = names::child(&identity.name);
    let workers = context.kubernetes.get::<Deployment>(&identity.namespace, &child).await?;
    let working = workers.and_then(|workers| workers.spec).is_some_and(|spec| spec.replicas != Some(0));
    let left = seconds(context.args.drain_seconds) - waited(integration);
    if !working || outline.state != State::Running || left <= 0 {
        return Ok(None);
    }
    context.kubernetes.delete_owned::<Service>(&identity.namespace, &child, &identity.uid).await?;
    // Its Jobs go with it. What a file still holds was never received.
    context.kubernetes.delete_owned::<CronJob>(&identity.namespace, &child, &identity.uid).await?;
    let mut pending = 0;
    for lane in &plan.lanes {
        pending += reports::lane_pending(jetstream, plan, lane).await?.messages;
    }
    let message =
        format!("{pending} events are still to be delivered, for at most {left} s; then they become dead letters");
    Ok((pending > 0).then(|| going(Reason::Draining, message)))
}

/// Takes the workers away and waits until none reports in.
async fn stop_workers(
    integration: &Integration,
    context: &Context,
    jetstream: &JetStream,
    plan: &JetStreamPlan,
) -> Result<Option<Finding>, Error> {
    delete_children(integration, context).await?;
    let bucket = bucket_stream(&plan.names.state_bucket());
    if jetstream.stream(&bucket).await?.is_none() {
        return Ok(None);
    }
    ensure_wish(jetstream, &plan.names, &plan.integration, &wish(State::Stopped)).await?;
    let (reports, _) = reports::workers(jetstream, &plan.names, &plan.integration).await?;
    let live = judge_workers(&reports, "", plan, now()).live.len();
    let patience = seconds(context.args.drain_seconds) + WORKERS_GO_SECONDS;
    let waits = live > 0 && waited(integration) < patience;
    Ok(waits.then(|| going(Reason::Deleting, format!("{live} workers are still stopping"))))
}

/// What is left becomes dead letters.
async fn give_up(
    jetstream: &JetStream,
    outline: &Outline,
    plan: &JetStreamPlan,
    recorded: &[RemovedLane],
) -> Result<Option<Finding>, Error> {
    let error = "the Integration was deleted before the event was delivered";
    let leaving = Leaving { identity: &outline.identity, plan, retention: outline.retention, error };
    let mut left = 0;
    for lane in recorded {
        if retire(jetstream, leaving, lane).await? == Progress::More {
            left += 1;
        }
    }
    let message = format!("what {left} destinations still hold is becoming dead letters");
    Ok((left > 0).then(|| going(Reason::Draining, message)))
}

async fn delete_children(integration: &Integration, context: &Context) -> Result<(), Error> {
    let (namespace, name) = key_of(integration);
    let uid = integration.uid().unwrap_or_default();
    let child = names::child(&name);
    let kubernetes = &context.kubernetes;
    kubernetes.delete_owned::<CronJob>(&namespace, &child, &uid).await?;
    kubernetes.delete_owned::<Deployment>(&namespace, &child, &uid).await?;
    kubernetes.delete_owned::<Service>(&namespace, &child, &uid).await?;
    let labels = format!("{}={uid}", meta::UID_LABEL);
    for found in kubernetes.list::<ConfigMap>(&namespace, &labels).await? {
        kubernetes.delete_owned::<ConfigMap>(&namespace, &found.name_any(), &uid).await?;
    }
    Ok(())
}

async fn release(integration: &Integration, context: &Context) -> Result<(), Error> {
    let others = integration.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
    let others: Vec<String> = others.cloned().collect();
    context.kubernetes.set_finalizers(integration, &others).await?;
    forget(integration, context);
    Ok(())
}

fn forget(integration: &Integration, context: &Context) {
    let key = key_of(integration);
    context.metrics.forget(&key.0, &key.1);
    context.visits.forget(&key);
}
