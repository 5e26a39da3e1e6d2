//! `ropeway dev --send`: sends a file of events, waits until all are settled, and checks that every one is accounted for.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt;
use ropeway_crds::{
    counters::Counts,
    source::{SignedBody, SignedBodyAndTime, Verification},
    status::ReasonCount,
};
use ropeway_operator::offline::{self, Observations};
use serde::Serialize;

use super::{
    Dev, DevError, Running,
    evidence::{Question, gather, ids},
    file_error,
};
use crate::{
    account::{Verdict, judge},
    args::DevArgs,
    manifest::{Manifests, load},
    send::{Proof, Sent, Signer, read, send},
    sink::Behaviour,
    stage::Staged,
    table,
};

/// The result of a demo.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Lines in the file.
    pub lines: usize,
    /// Different ids among them.
    pub ids: usize,
    /// Requests that got a 2xx.
    pub accepted: usize,
    /// Seconds from the first request to the last settlement.
    pub seconds: f64,
    /// One for each destination.
    pub destinations: Vec<DestinationReport>,
    /// Dead letters by reason.
    pub reasons: Vec<ReasonCount>,
    /// Whether every event is accounted for, by the independent check and by the counters.
    pub accounted_for: bool,
}

/// The result for one destination.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationReport {
    /// Its name within the Integration.
    pub name: String,
    /// Events that its lane took.
    pub received: u64,
    /// What the product counted.
    pub counts: Counts,
    /// What is not settled yet.
    pub pending: u64,
    /// What an independent look found.
    pub verdict: Verdict,
    /// Whether the product's counters agree with that look.
    pub counters_agree: bool,
}

/// Runs a demo.
///
/// # Errors
/// See [`DevError`]. A loss is no error but an exit code.
pub async fn run(args: DevArgs) -> Result<ExitCode, DevError> {
    let file = args.send.clone().expect("only called with --send");
    let dev = Dev::start(args.clone()).await?;
    let running = dev.run().await?;
    let manifests = load(&args.paths).map_err(DevError::Faults)?;
    let events = read(&file)?;
    let inputs = ids(&events, &dev.script.id);
    let begun = Instant::now();
    let sent = deliver(&running, &manifests, &events[..events.len().saturating_sub(args.plant_send_loss)]).await?;
    eprintln!("{} events sent, waiting until all are settled", sent.accepted);
    let [staged] = running.staged.as_slice() else { return Err(DevError::Nothing) };
    let observations = settle(&dev, staged, args.deadline).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut destinations = Vec::new();
    for lane in &staged.integration.spec.destinations {
        let default = Behaviour::default();
        let behaviour = dev.script.destinations.get(&lane.r#ref).unwrap_or(&default);
        let question = Question { destination: &lane.name, sink_name: &lane.r#ref, behaviour };
        let Some(sink) = &dev.sink else { return Err(DevError::Nothing) };
        let evidence = gather(&dev.jetstream, &staged.plan.jetstream, &question, &inputs, &dev.script.id, sink).await?;
        destinations.push(report(&lane.name, &observations, judge(&evidence)));
    }
    let report = Report {
        lines: events.len(),
        ids: inputs.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(),
        accepted: sent.accepted,
        seconds: (seconds * 10.0).round() / 10.0,
        accounted_for: destinations.iter().all(|it| it.verdict.accounted_for() && it.counters_agree),
        reasons: reasons(&observations.figures.reasons),
        destinations,
    };
    running.end().await;
    show(&report, &args)
}

/// Sends the events the way the Integration's verification asks for.
async fn deliver(running: &Running, manifests: &Manifests, events: &[String]) -> Result<Sent, DevError> {
    let [Staged { integration, .. }] = running.staged.as_slice() else { return Err(DevError::Nothing) };
    let webhook = integration.spec.source.webhook.as_ref().ok_or(DevError::Nothing)?;
    let url = format!("http://{}{}", running.address, webhook.path);
    let proof = proof(&webhook.verification, manifests);
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(|source| DevError::Send(crate::send::SendError::Request { line: 0, source }))?;
    eprintln!("sending {} events to {url}", events.len());
    Ok(send(&client, &url, &proof, events).await?)
}

/// The proof that the first secret of a verification gives.
fn proof(verification: &Verification, manifests: &Manifests) -> Proof {
    let value = |secret: &ropeway_crds::secret_ref::SecretValue| {
        let reference = secret.key()?;
        let secret = manifests.secrets.iter().find(|secret| secret.name_any() == reference.name)?;
        let text = secret.string_data.as_ref().and_then(|data| data.get(&reference.key).cloned());
        let bytes = || secret.data.as_ref()?.get(&reference.key).map(|value| value.0.clone());
        text.or_else(|| String::from_utf8(bytes()?).ok())
    };
    let Verification { standard_webhooks, github, stripe, shopify, hubspot, greenhouse, lever, slack, .. } =
        verification;
    let Verification { bearer, basic, .. } = verification;
    let standard = standard_webhooks.as_ref().and_then(|it| it.secrets.as_ref());
    let of = |it: &Option<SignedBody>| it.as_ref().map(|it| &it.secrets).cloned();
    let timed = |it: &Option<SignedBodyAndTime>| it.as_ref().map(|it| &it.secrets).cloned();
    let signers = [
        (Signer::StandardWebhooks, standard.cloned()),
        (Signer::Github, of(github)),
        (Signer::Shopify, of(shopify)),
        (Signer::Greenhouse, of(greenhouse)),
        (Signer::Stripe, timed(stripe)),
        (Signer::Lever, timed(lever)),
        (Signer::Slack, timed(slack)),
        (Signer::Hubspot, hubspot.as_ref().map(|it| it.secrets.clone())),
    ];
    for (signer, secrets) in signers {
        if let Some(secret) = secrets.and_then(|secrets| value(secrets.first()?)) {
            return Proof::Signed(signer, secret);
        }
    }
    if let Some(token) = bearer.as_ref().and_then(|it| value(it.tokens.first()?)) {
        return Proof::Bearer(token);
    }
    if let Some((basic, password)) = basic.as_ref().and_then(|it| Some((it, value(it.passwords.first()?)?))) {
        return Proof::Basic(basic.username.value.clone().unwrap_or_default(), password);
    }
    Proof::None
}

/// Waits until nothing is pending, twice in a row, and the counters have arrived.
async fn settle(dev: &Dev, staged: &Staged, deadline: u64) -> Result<Observations, DevError> {
    let end = Instant::now() + Duration::from_secs(deadline);
    let mut idle = 0;
    let mut shown = Timestamp::now();
    loop {
        let observations = offline::observations(&dev.jetstream, &staged.plan.jetstream).await?;
        let figures = &observations.figures;
        let pending: u64 = figures.pending.values().sum();
        let counted = figures.pending.keys().all(|destination| {
            figures.counts.get(destination).is_some_and(|counts| counts.settled >= figures.last_sequence)
        });
        idle = if pending == 0 && counted { idle + 1 } else { 0 };
        if idle == 2 || Instant::now() > end {
            return Ok(observations);
        }
        if Timestamp::now().duration_since(shown).as_secs() >= 2 {
            shown = Timestamp::now();
            eprintln!("  {pending} deliveries are pending");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn report(destination: &str, observations: &Observations, verdict: Verdict) -> DestinationReport {
    let figures = &observations.figures;
    let counts = figures.counts.get(destination).copied().unwrap_or_default();
    let pending = figures.pending.get(destination).copied().unwrap_or_default();
    let letters = figures.dead_letters.get(destination).copied().unwrap_or_default();
    let ends =
        counts.delivered + counts.filtered + counts.shadowed + counts.deduplicated + counts.rejected + counts.failed;
    let agree = ends + counts.discarded + pending == figures.last_sequence + counts.resent
        && counts.delivered == (verdict.accepted + verdict.repeated.len()) as u64
        && letters == verdict.dead_lettered as u64;
    DestinationReport {
        name: destination.to_owned(),
        received: figures.last_sequence,
        counts,
        pending,
        counters_agree: agree,
        verdict,
    }
}

fn reasons(reasons: &BTreeMap<String, u64>) -> Vec<ReasonCount> {
    let count = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
    reasons.iter().map(|(reason, times)| ReasonCount { reason: reason.clone(), count: count(times) }).collect()
}

fn show(report: &Report, args: &DevArgs) -> Result<ExitCode, DevError> {
    println!("{}", table::report(report));
    if let Some(path) = &args.json {
        let text = serde_json::to_vec_pretty(report).expect("a report of plain types is writable as JSON");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(file_error(format!("make the folder {}", folder.display())))?;
        }
        std::fs::write(path, text).map_err(file_error(format!("write {}", path.display())))?;
        eprintln!("the same as JSON: {}", path.display());
    }
    Ok(if report.accounted_for { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
