//! The part of a visit that looks at what workers report, does what can only be done once they have, and writes the status.

use std::time::{Duration, Instant};

use kube::{Resource, ResourceExt};
use ropeway_crds::{Integration, condition::Finding, status::IntegrationStatus};

use crate::{
    context::Context,
    destination::wish::RESUME_ANNOTATION,
    error::Error,
    integration::{
        apply::prune_config_maps,
        lanes::{Leaving, Progress, retire},
        reconcile::now,
        status::{Event, Known, Workers, events, judge_workers, status, worth_writing},
        visits::{LaneView, Planned, Visit},
    },
    io::{
        accounts::{self, Shared},
        jetstream::JetStream,
        reports::{self, Figures, Observations},
    },
};

/// While something is under way everything is looked at again this often.
const REPAIR: Duration = Duration::from_secs(15);

/// The same where a stream or consumer is missing or a worker reports a problem.
const TROUBLE: Duration = Duration::from_secs(3);

/// What came of a look.
pub struct Look {
    /// Whether nothing is under way.
    pub settled: bool,
    /// What kept it from seeing everything.
    pub failure: Option<Error>,
}

/// Looks, and writes the status.
///
/// # Errors
/// If the status can't be written; what can't be read is part of the [`Look`].
pub async fn look(
    integration: &Integration,
    context: &Context,
    mut visit: Visit,
    fault: Option<&Finding>,
) -> Result<Look, Error> {
    let planned = visit.plan.clone();
    let integration = &with_last_status(integration, context);
    let (observations, failure) = match &planned {
        Some(planned) => match see(integration, context, &mut visit, planned).await {
            Ok(observations) => (Some(observations), None),
            Err(error) => (None, Some(error)),
        },
        None => (None, None),
    };
    let blind = failure.as_ref().map(Error::finding);
    let known = Known {
        integration,
        findings: &visit.findings,
        plan: planned.as_ref().map(|planned| &planned.plan),
        fault: fault.or(blind.as_ref()),
        observations: observations.as_ref(),
        deployment: visit.deployment.as_ref(),
        route: visit.route.as_ref(),
        leaving: visit.removed.len(),
        going: None,
        now: now(),
    };
    let next = status(&known);
    let settled = !next.conditions.iter().any(|condition| condition.type_ == "Reconciling");
    // Something is not as it should be: somebody may have removed what was made.
    visit.stale |= !settled && visit.time.elapsed() > REPAIR;
    context.visits.remember(integration, visit);
    write(integration, context, next).await?;
    Ok(Look { settled, failure })
}

/// Writes what is being done before an Integration goes.
///
/// # Errors
/// If the status can't be written.
pub async fn look_at_going(
    integration: &Integration,
    context: &Context,
    going: &Finding,
    fault: Option<&Finding>,
) -> Result<(), Error> {
    let integration = &with_last_status(integration, context);
    let visit = context.visits.last(integration);
    let known = Known {
        integration,
        findings: &[],
        plan: visit.as_ref().and_then(|visit| visit.plan.as_ref()).map(|planned| &planned.plan),
        fault,
        observations: None,
        deployment: visit.as_ref().and_then(|visit| visit.deployment.as_ref()),
        route: None,
        leaving: 0,
        going: Some(going),
        now: now(),
    };
    write(integration, context, status(&known)).await
}

/// The watch may be behind: the status that was written last counts.
fn with_last_status(integration: &Integration, context: &Context) -> Integration {
    let mut integration = integration.clone();
    if let Some((status, _)) = context.visits.written(&integration) {
        integration.status = Some(status);
    }
    integration
}

async fn see(
    integration: &Integration,
    context: &Context,
    visit: &mut Visit,
    planned: &Planned,
) -> Result<Observations, Error> {
    let Planned { plan, resolved } = planned;
    let jetstream = context.connections.known(&context.kubernetes, &plan.identity.namespace).await?;
    let uid = &plan.jetstream.integration;
    let (reports, unreadable) = reports::workers(&jetstream, &plan.jetstream.names, uid).await?;
    context.metrics.unreadable(unreadable);
    let workers = judge_workers(&reports, &plan.fingerprint, &plan.jetstream, now());
    let removed = std::mem::take(&mut visit.removed);
    for lane in removed {
        // Workers with the earlier configuration still deliver; what they leave is ours.
        let progress = match workers.works_on(&lane.destination) {
            true => Progress::More,
            false => {
                let retention = resolved.config.dead_letter_retention;
                let error = "the destination was removed from the Integration";
                let leaving = Leaving { identity: &plan.identity, plan: &plan.jetstream, retention, error };
                retire(&jetstream, leaving, &lane).await.inspect_err(|_| visit.stale = true)?
            }
        };
        if progress == Progress::More {
            visit.removed.push(lane);
        }
    }
    let everybody = workers.ready_count() >= plan.replicas && workers.live.len() == workers.current.len();
    if visit.unpruned && everybody && visit.findings.is_empty() {
        prune_config_maps(&context.kubernetes, plan).await?;
        reports::forget_workers(&jetstream, &plan.jetstream.names, uid, &reports, now()).await?;
        visit.unpruned = false;
    }
    let figures = figures(&jetstream, context, visit, planned).await?;
    context.metrics.saw_dead_letters(&plan.identity.namespace, &plan.identity.name, &figures, now());
    let troubled = figures.incomplete || workers.lane_problem().is_some() || workers.source_problem().is_some();
    visit.stale |= troubled && visit.time.elapsed() > TROUBLE;
    if integration.annotations().contains_key(RESUME_ANNOTATION) {
        accounts::release(&jetstream, &plan.jetstream).await?;
        context.kubernetes.remove_annotation(integration, RESUME_ANNOTATION).await?;
    }
    let shared = accounts::shared(&jetstream, &plan.jetstream).await?;
    context.visits.see_lanes(integration, lane_views(integration, &figures, &workers, &shared));
    let batch = match &plan.cron_job {
        Some(_) => reports::batch(&jetstream, &plan.jetstream).await?,
        None => None,
    };
    Ok(Observations { workers: reports, figures, shared, batch })
}

/// The figures, read anew if that is due.
async fn figures(
    jetstream: &JetStream,
    context: &Context,
    visit: &mut Visit,
    planned: &Planned,
) -> Result<Figures, Error> {
    // Half the interval of writing, so that what is written is never older than that.
    let interval = context.args.status_interval() / 2;
    if let Some((figures, read)) = &visit.figures
        && read.elapsed() < interval
    {
        return Ok(figures.clone());
    }
    let figures = reports::figures(jetstream, &planned.plan.jetstream).await?;
    context.metrics.unreadable(figures.unreadable);
    visit.figures = Some((figures.clone(), Instant::now()));
    Ok(figures)
}

fn lane_views(integration: &Integration, figures: &Figures, workers: &Workers, shared: &Shared) -> Vec<LaneView> {
    let view = |destination: &ropeway_crds::integration::IntegrationDestination| LaneView {
        reference: destination.r#ref.clone(),
        counts: figures.counts.get(&destination.name).copied().unwrap_or_default(),
        pending: figures.pending.get(&destination.name).copied().unwrap_or(0),
        dead_letters: figures.dead_letters.get(&destination.name).copied().unwrap_or(0),
        reports: workers.lane(&destination.name).cloned().collect(),
        circuit: shared.circuits.get(&destination.name).cloned(),
        limit: shared.limits.get(&destination.name).cloned(),
        proof: shared.proofs.get(&destination.name).cloned(),
    };
    integration.spec.destinations.iter().map(view).collect()
}

async fn write(integration: &Integration, context: &Context, next: IntegrationStatus) -> Result<(), Error> {
    let written = context.visits.written(integration);
    let (previous, age) = match &written {
        Some((status, time)) => (Some(status), time.elapsed()),
        // After a restart the object itself says what was written last.
        None => (integration.status.as_ref(), context.args.status_interval()),
    };
    if !worth_writing(previous, &next, age, context.args.status_interval()) {
        return Ok(());
    }
    let namespace = integration.namespace().unwrap_or_default();
    let uid = integration.uid().unwrap_or_default();
    let name = integration.name_any();
    context.kubernetes.apply_status::<Integration>(&namespace, &name, &uid, &next).await?;
    context.metrics.status_written("Integration");
    for Event { warning, reason, note } in events(integration.status.as_ref(), &next) {
        context.kubernetes.event(&integration.object_ref(&()), warning, reason, note).await;
    }
    context.visits.wrote(integration, next);
    Ok(())
}
