use std::collections::BTreeSet;

use ropeway_crds::{
    account::{Cause, CircuitRecord, CircuitState, LaneHold},
    batch_run::{BatchRecord, BatchRun, Outcome},
    condition::{ConditionType, Reason},
    report::{Failure, LaneReport, Problem, WorkerReport},
};
use serde_json::json;

use super::*;
use crate::{
    integration::{
        plan::{
            plan,
            tests::{resolved, settings},
        },
        resolve::Resolved,
    },
    io::reports::{Figures, Regression},
};

const NOW: i64 = 1_800_000_000;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn integration() -> Integration {
    serde_json::from_value(json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration",
        "metadata": { "name": "signups", "namespace": "crm", "uid": "iu", "generation": 4 },
        "spec": { "source": { "webhook": { "path": "/in", "verification": {} } },
            "destinations": [{ "name": "hubspot", "ref": "hubspot" }] },
    }))
    .unwrap()
}

/// What the tables change.
struct World {
    integration: Integration,
    findings: Vec<Finding>,
    plan: Option<Plan>,
    fault: Option<Finding>,
    observations: Option<Observations>,
    route: Option<HttpRoute>,
    leaving: usize,
    going: Option<Finding>,
}

fn report(plan: &Plan, worker: &str) -> WorkerReport {
    WorkerReport {
        worker: worker.into(),
        config: plan.fingerprint.clone(),
        state: Some(State::Running),
        time: time(NOW - 1),
        source_problem: None,
        lanes: vec![LaneReport {
            token: None,
            destination: "hubspot".into(),
            bound: true,
            problem: None,
            trouble: None,
            credentials_refused: false,
            recent_attempts: 10,
            recent_failures: 4,
            recent_violations: 0,
            last_violation: None,
            last_success: Some(time(NOW - 5)),
            last_error: None,
        }],
    }
}

/// Two workers, all is well.
fn world() -> World {
    let plan = plan(&resolved(), &settings());
    let workers = vec![report(&plan, "a"), report(&plan, "b")];
    World {
        integration: integration(),
        findings: Vec::new(),
        observations: Some(Observations { workers, ..Observations::default() }),
        plan: Some(plan),
        fault: None,
        route: None,
        leaving: 0,
        going: None,
    }
}

fn refused_route() -> HttpRoute {
    serde_json::from_value(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "ropeway-signups" },
        "spec": { "parentRefs": [{ "name": "public" }], "hostnames": [], "rules": [] },
        "status": { "parents": [{
            "parentRef": { "name": "public" }, "controllerName": "c",
            "conditions": [{ "type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "m" }],
        }] },
    }))
    .unwrap()
}

impl World {
    fn status(&self) -> IntegrationStatus {
        status(&Known {
            integration: &self.integration,
            findings: &self.findings,
            plan: self.plan.as_ref(),
            fault: self.fault.as_ref(),
            observations: self.observations.as_ref(),
            deployment: None,
            route: self.route.as_ref(),
            leaving: self.leaving,
            going: self.going.as_ref(),
            now: time(NOW),
        })
    }

    fn workers(&mut self) -> &mut Vec<WorkerReport> {
        &mut self.observations.as_mut().unwrap().workers
    }

    fn lane(&mut self) -> &mut LaneReport {
        &mut self.workers()[0].lanes[0]
    }

    fn source(&mut self, reason: &str) {
        let problem = Problem { reason: reason.into(), message: "why".into() };
        self.workers()[0].source_problem = Some(problem);
    }

    fn expects(&mut self) {
        let schema = serde_json::json!({ "inline": { "type": "object" } });
        self.integration.spec.schema = serde_json::from_value(schema).unwrap();
    }

    fn open(&mut self, cause: Cause) {
        let circuit =
            CircuitRecord { state: CircuitState::Open, cause: Some(cause), ..CircuitRecord::closed(time(NOW)) };
        let shared = &mut self.observations.as_mut().unwrap().shared;
        shared.circuits.insert("hubspot".into(), circuit);
    }

    fn hold(&mut self, current: bool) {
        let fingerprint = self.plan.as_ref().unwrap().fingerprint.clone();
        let hold = LaneHold {
            reason: "Rejected".into(),
            message: "refused".into(),
            since: time(NOW),
            next_probe: time(NOW),
            config: if current { fingerprint } else { "another".into() },
        };
        self.observations.as_mut().unwrap().shared.holds.insert("hubspot".into(), hold);
    }

    fn figures(&mut self) -> &mut Figures {
        &mut self.observations.as_mut().unwrap().figures
    }

    fn planned(&mut self, change: fn(&mut Resolved)) {
        let mut resolved = resolved();
        change(&mut resolved);
        self.plan = Some(plan(&resolved, &settings()));
    }
}

fn condition(status: &IntegrationStatus, kind: ConditionType) -> (String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    found.map_or(("absent".into(), String::new()), |found| (found.status.clone(), found.reason.clone()))
}

fn finding(kind: ConditionType, reason: Reason) -> Finding {
    Finding::fails(kind, reason, "the field and the remedy")
}

#[test]
fn all_known_conditions_are_there_on_the_first_visit() {
    let nothing = World { plan: None, observations: None, ..world() };
    let status = nothing.status();
    for kind in ["Ready", "Healthy", "SourceReady", "MappingValid", "DestinationsResolved", "WorkersAvailable"] {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        assert_eq!((found.status.as_str(), found.observed_generation), ("Unknown", Some(4)), "{kind}");
    }
    assert_eq!(condition(&status, ConditionType::Stalled).0, "absent");
    assert_eq!(condition(&status, ConditionType::Reconciling).0, "True");
}

/// Change, then the reason of Ready, Healthy, and whether it is stalled, reconciling or neither.
type Case = (&'static str, fn(&mut World), (&'static str, Reason), (&'static str, Reason), &'static str);

fn cases() -> Vec<Case> {
    use ConditionType::{DestinationsResolved, MappingValid, SourceReady, WorkersAvailable};
    let healthy = ("True", Reason::Delivering);
    let ready = ("True", Reason::Ready);
    let blind = ("Unknown", Reason::Pending);
    vec![
        ("all is well", |_| (), ready, healthy, "settled"),
        (
            "mapping",
            |it| it.findings.push(finding(MappingValid, Reason::MappingInvalid)),
            ("False", Reason::MappingInvalid),
            healthy,
            "stalled",
        ),
        (
            "test",
            |it| it.findings.push(finding(MappingValid, Reason::MappingTestFailed)),
            ("False", Reason::MappingTestFailed),
            healthy,
            "stalled",
        ),
        (
            "destination",
            |it| it.findings.push(finding(DestinationsResolved, Reason::DestinationNotFound)),
            ("False", Reason::DestinationNotFound),
            healthy,
            "stalled",
        ),
        (
            "secret",
            |it| it.findings.push(finding(DestinationsResolved, Reason::SecretNotFound)),
            ("False", Reason::SecretNotFound),
            healthy,
            "stalled",
        ),
        (
            "secret key",
            |it| it.findings.push(finding(DestinationsResolved, Reason::SecretKeyNotFound)),
            ("False", Reason::SecretKeyNotFound),
            healthy,
            "stalled",
        ),
        (
            "a secret that may not be used",
            |it| it.findings.push(finding(DestinationsResolved, Reason::SecretNotAllowed)),
            ("False", Reason::SecretNotAllowed),
            healthy,
            "stalled",
        ),
        (
            "an identity that may not be used",
            |it| it.findings.push(finding(DestinationsResolved, Reason::IdentityNotAllowed)),
            ("False", Reason::IdentityNotAllowed),
            healthy,
            "stalled",
        ),
        (
            "config map",
            |it| it.findings.push(finding(DestinationsResolved, Reason::ConfigMapNotFound)),
            ("False", Reason::ConfigMapNotFound),
            healthy,
            "stalled",
        ),
        (
            "claim",
            |it| it.findings.push(finding(SourceReady, Reason::ClaimNotFound)),
            ("False", Reason::ClaimNotFound),
            healthy,
            "stalled",
        ),
        (
            "a run that failed",
            |it| {
                let run = BatchRun { outcome: Outcome::Failed, ..BatchRun::default() };
                let record = BatchRecord { run, ..BatchRecord::default() };
                it.observations.as_mut().unwrap().batch = Some(record);
            },
            ("False", Reason::BatchFailing),
            healthy,
            "stalled",
        ),
        (
            "spec",
            |it| it.findings.push(finding(SourceReady, Reason::InvalidSpec)),
            ("False", Reason::InvalidSpec),
            healthy,
            "stalled",
        ),
        (
            "account",
            |it| it.findings.push(finding(WorkersAvailable, Reason::ServiceAccountNotAllowed)),
            ("False", Reason::ServiceAccountNotAllowed),
            healthy,
            "stalled",
        ),
        (
            "no stream",
            |it| it.fault = Some(finding(SourceReady, Reason::StreamNotFound)),
            ("False", Reason::StreamNotFound),
            healthy,
            "stalled",
        ),
        (
            "no NATS",
            |it| {
                it.observations = None;
                it.fault = Some(finding(SourceReady, Reason::NatsUnavailable));
            },
            ("False", Reason::NatsUnavailable),
            blind,
            "reconciling",
        ),
        (
            "wrong NATS credentials",
            |it| {
                it.observations = None;
                it.fault = Some(finding(SourceReady, Reason::NatsUnauthorized));
            },
            ("False", Reason::NatsUnauthorized),
            blind,
            "stalled",
        ),
        (
            "stream refused",
            |it| it.fault = Some(finding(SourceReady, Reason::StreamRefused)),
            ("False", Reason::StreamRefused),
            healthy,
            "reconciling",
        ),
        (
            "no Gateway API",
            |it| it.fault = Some(finding(SourceReady, Reason::KindNotFound)),
            ("False", Reason::KindNotFound),
            healthy,
            "stalled",
        ),
        (
            "its Ingress is refused",
            |it| it.fault = Some(finding(SourceReady, Reason::ExposeRefused)),
            ("False", Reason::ExposeRefused),
            healthy,
            "stalled",
        ),
        (
            "a Gateway refuses its HTTPRoute",
            |it| it.route = Some(refused_route()),
            ("False", Reason::GatewayRefused),
            healthy,
            "stalled",
        ),
        (
            "no permission",
            |it| it.fault = Some(finding(WorkersAvailable, Reason::Forbidden)),
            ("False", Reason::Forbidden),
            healthy,
            "stalled",
        ),
        (
            "odd error",
            |it| it.fault = Some(finding(WorkersAvailable, Reason::Failed)),
            ("False", Reason::Failed),
            healthy,
            "reconciling",
        ),
        (
            "a worker's source problem",
            |it| {
                it.workers()[0].source_problem =
                    Some(Problem { reason: "StreamNotFound".into(), message: "gone".into() });
            },
            ("False", Reason::StreamNotFound),
            healthy,
            "stalled",
        ),
        (
            "a worker's unheard-of problem",
            |it| {
                it.workers()[0].source_problem = Some(Problem { reason: "\n<b>".into(), message: "odd".into() });
            },
            ("False", Reason::Failed),
            healthy,
            "reconciling",
        ),
        ("no workers yet", |it| it.workers().clear(), ("False", Reason::WorkersStarting), blind, "reconciling"),
        (
            "one worker of two",
            |it| drop(it.workers().pop()),
            ("False", Reason::WorkersStarting),
            healthy,
            "reconciling",
        ),
        (
            "one with an old configuration",
            |it| it.workers()[1].config = "old".into(),
            ("False", Reason::WorkersStarting),
            healthy,
            "reconciling",
        ),
        (
            "a third one with an old configuration",
            |it| {
                let mut old = it.workers()[0].clone();
                (old.worker, old.config) = ("c".into(), "old".into());
                it.workers().push(old);
            },
            ready,
            healthy,
            "reconciling",
        ),
        (
            "an old heartbeat",
            |it| it.workers()[1].time = time(NOW - 13),
            ("False", Reason::WorkersStarting),
            healthy,
            "reconciling",
        ),
        (
            "a lane that is not bound",
            |it| it.lane().bound = false,
            ("False", Reason::WorkersStarting),
            healthy,
            "reconciling",
        ),
        (
            "scaled to zero",
            |it| {
                it.planned(|resolved| resolved.replicas = 0);
                it.workers().clear();
            },
            ready,
            blind,
            "settled",
        ),
        (
            "state not there yet",
            |it| it.planned(|resolved| resolved.state = State::Paused),
            ("True", Reason::StateChanging),
            healthy,
            "reconciling",
        ),
        (
            "paused",
            |it| {
                it.planned(|resolved| resolved.state = State::Paused);
                it.workers().iter_mut().for_each(|report| report.state = Some(State::Paused));
            },
            ("True", Reason::Paused),
            healthy,
            "settled",
        ),
        (
            "stopped",
            |it| {
                it.planned(|resolved| resolved.state = State::Stopped);
                it.workers().iter_mut().for_each(|report| report.state = Some(State::Stopped));
            },
            ("True", Reason::Stopped),
            healthy,
            "settled",
        ),
        ("removed lanes", |it| it.leaving = 1, ready, healthy, "reconciling"),
        (
            "draining",
            |it| it.going = Some(finding(ConditionType::Ready, Reason::Draining)),
            ("False", Reason::Draining),
            healthy,
            "reconciling",
        ),
        (
            "deleting",
            |it| it.going = Some(finding(ConditionType::Ready, Reason::Deleting)),
            ("False", Reason::Deleting),
            healthy,
            "reconciling",
        ),
        (
            "credentials",
            |it| it.lane().credentials_refused = true,
            ready,
            ("False", Reason::CredentialsRefused),
            "settled",
        ),
        (
            "half of the attempts fail",
            |it| it.lane().recent_failures = 6,
            ready,
            ("False", Reason::DeliveryFailing),
            "settled",
        ),
        (
            "too few attempts to say",
            |it| {
                it.workers().iter_mut().for_each(|report| {
                    (report.lanes[0].recent_attempts, report.lanes[0].recent_failures) = (1, 1);
                })
            },
            ready,
            healthy,
            "settled",
        ),
        (
            "young dead letter",
            |it| it.figures().newest_dead_letter = Some(time(NOW - 299)),
            ready,
            ("False", Reason::DeadLettersGrowing),
            "settled",
        ),
        ("the circuit is open", |it| it.open(Cause::Errors), ready, ("False", Reason::CircuitOpen), "settled"),
        ("held open by hand", |it| it.open(Cause::Manual), ready, ("False", Reason::HeldByHand), "settled"),
        ("no token", |it| it.open(Cause::Token), ready, ("False", Reason::TokenUnavailable), "settled"),
        ("no secret of a vault", |it| it.open(Cause::Vault), ready, ("False", Reason::KeyVaultRefused), "settled"),
        ("no vault", |it| it.open(Cause::VaultAway), ready, ("False", Reason::KeyVaultUnavailable), "settled"),
        ("the vendor's quota", |it| it.open(Cause::Quota), ready, ("False", Reason::QuotaExhausted), "settled"),
        ("gone", |it| it.open(Cause::Gone), ready, ("False", Reason::DestinationGone), "settled"),
        ("a rule holds it", |it| it.open(Cause::Rule), ready, ("False", Reason::HeldByRule), "settled"),
        ("its address", |it| it.open(Cause::Address), ready, ("False", Reason::AddressRefused), "settled"),
        (
            "its configuration",
            |it| it.open(Cause::Configuration),
            ready,
            ("False", Reason::ConfigurationUnusable),
            "settled",
        ),
        (
            "a dead letter is refused",
            |it| it.lane().trouble = Some(Problem { reason: "DeadLetterRefused".into(), message: "full".into() }),
            ready,
            ("False", Reason::DeadLettersRefused),
            "settled",
        ),
        (
            "events can't be stored",
            |it| it.source("StoreFailed"),
            ("False", Reason::StoreFailed),
            healthy,
            "reconciling",
        ),
        (
            "no keys of the issuer",
            |it| it.source("IssuerUnavailable"),
            ("False", Reason::IssuerUnavailable),
            healthy,
            "reconciling",
        ),
        (
            "the user's stream lost its tail",
            |it| it.figures().regressed = Some(Regression { read: 9, last: 4 }),
            ("False", Reason::StreamRegressed),
            healthy,
            "reconciling",
        ),
        ("events conform", |it| it.expects(), ready, healthy, "settled"),
        (
            "events do not conform",
            |it| {
                it.expects();
                it.lane().recent_violations = 3;
            },
            ready,
            healthy,
            "settled",
        ),
        ("a lane is held", |it| it.hold(true), ready, ("False", Reason::DeliveryHeld), "settled"),
        ("it was held under another configuration", |it| it.hold(false), ready, healthy, "settled"),
        ("old dead letter", |it| it.figures().newest_dead_letter = Some(time(NOW - 301)), ready, healthy, "settled"),
    ]
}

#[test]
fn each_situation_has_its_conditions() {
    for (name, change, ready, healthy, progress) in cases() {
        let mut world = world();
        change(&mut world);
        let status = world.status();
        let expected = |(status, reason): (&str, Reason)| (status.to_owned(), reason.as_str().to_owned());
        assert_eq!(condition(&status, ConditionType::Ready), expected(ready), "{name}: Ready");
        assert_eq!(condition(&status, ConditionType::Healthy), expected(healthy), "{name}: Healthy");
        let is = |kind| condition(&status, kind).0 == "True";
        let seen = match (is(ConditionType::Stalled), is(ConditionType::Reconciling)) {
            (true, false) => "stalled",
            (false, true) => "reconciling",
            (false, false) => "settled",
            (true, true) => "both",
        };
        assert_eq!(seen, progress, "{name}: {:?}", status.conditions);
    }
}

#[test]
fn every_reason_is_reached() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (_, change, ..) in cases() {
        let mut world = world();
        change(&mut world);
        seen.extend(world.status().conditions.into_iter().map(|condition| condition.reason));
    }
    // What a poller reports of its runs is known by its word.
    for word in ["PollFailing", "PollRefused", "PollUnreadable", "PollPagination"] {
        let mut world = world();
        world.source(word);
        seen.extend(world.status().conditions.into_iter().map(|condition| condition.reason));
    }
    // Of workers that went missing and of Destinations other tables speak.
    let elsewhere = [
        Reason::WorkersMissing,
        Reason::ConsentNeeded,
        Reason::CredentialsAccepted,
        Reason::CredentialsProven,
        Reason::CircuitClosed,
    ];
    let missed: Vec<_> =
        Reason::ALL.iter().filter(|reason| !elsewhere.contains(reason) && !seen.contains(reason.as_str())).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn workers_are_starting_for_a_while_and_then_missing() {
    let mut all = world();
    all.integration.status = Some(all.status());
    all.workers().pop();
    let lost = all.status();
    assert_eq!(condition(&lost, ConditionType::WorkersAvailable).1, "WorkersMissing");
    // A spec that was changed starts anew.
    all.integration.metadata.generation = Some(5);
    assert_eq!(condition(&all.status(), ConditionType::WorkersAvailable).1, "WorkersStarting");
    let mut slow = world();
    slow.workers().clear();
    let mut since = slow.status();
    since.conditions.iter_mut().for_each(|condition| condition.last_transition_time = Time(time(NOW - 121)));
    slow.integration.status = Some(since);
    assert_eq!(condition(&slow.status(), ConditionType::WorkersAvailable).1, "WorkersMissing");
}

#[test]
fn the_state_is_what_every_live_worker_has_confirmed() {
    let mut world = world();
    assert_eq!(world.status().state.as_deref(), Some("Running"));
    world.integration.status = Some(world.status());
    world.planned(|resolved| resolved.state = State::Paused);
    world.workers()[0].state = Some(State::Paused);
    assert_eq!(world.status().state.as_deref(), Some("Running"));
    world.workers()[1].state = Some(State::Paused);
    assert_eq!(world.status().state.as_deref(), Some("Paused"));
    world.workers()[1].state = None;
    assert_eq!(world.status().state.as_deref(), Some("Running"));
}

#[test]
fn figures_add_up_and_what_workers_said_outlives_them() {
    let mut world = world();
    let figures = world.figures();
    figures.last_sequence = 20;
    let counts = figures.counts.entry("hubspot".into()).or_default();
    (counts.delivered, counts.rejected) = (7, 2);
    figures.counts.entry("removed".into()).or_default().delivered = 5;
    figures.pending.insert("hubspot".into(), 3);
    figures.dead_letters.insert("hubspot".into(), 2);
    (figures.oldest_dead_letter, figures.newest_dead_letter) = (Some(time(NOW - 900)), Some(time(NOW - 800)));
    figures.other_dead_letters = 40;
    for (count, reason) in (1..).zip(["a", "b", "c", "d", "e", "f"]) {
        figures.reasons.insert(reason.into(), count);
    }
    let error = Failure { time: time(NOW - 3), reason: "Retry".into(), code: Some(503), message: "x".repeat(999) };
    world.lane().last_error = Some(error);
    let first = world.status();
    let delivery = first.delivery.clone().unwrap();
    assert_eq!((delivery.received, delivery.delivered, delivery.rejected, delivery.pending), (20, 12, 2, 3));
    assert_eq!(delivery.last_error.as_ref().map(|error| error.message.chars().count()), Some(256));
    let lane = &first.destinations[0];
    assert_eq!((lane.delivered, lane.pending, lane.dead_letters, lane.ready), (7, 3, 2, true));
    let letters = first.dead_letters.clone().unwrap();
    assert_eq!(
        (letters.messages, letters.oldest_time, letters.newest_time),
        (42, Some(Time(time(NOW - 900))), Some(Time(time(NOW - 800))))
    );
    let reasons: Vec<_> =
        first.dead_letters.iter().flat_map(|dead| &dead.reasons).map(|it| it.reason.as_str()).collect();
    assert_eq!(reasons, ["f", "e", "d", "c", "b"]);
    world.integration.status = Some(first.clone());
    world.workers().clear();
    let later = world.status();
    assert_eq!(later.delivery.as_ref().unwrap().last_success_time, Some(Time(time(NOW - 5))));
    assert_eq!(later.delivery.unwrap().last_error, first.delivery.unwrap().last_error);
    assert_eq!(later.destinations[0].last_success_time, Some(Time(time(NOW - 5))));
    // Blind, the last figures stay.
    world.observations = None;
    assert_eq!(world.status().dead_letters, first.dead_letters);
}

#[test]
fn conditions_are_written_at_once_and_figures_at_their_time() {
    let (mut world, interval) = (world(), Duration::from_secs(30));
    let before = world.status();
    assert!(worth_writing(None, &before, Duration::ZERO, interval));
    assert!(!worth_writing(Some(&before), &before.clone(), interval, interval));
    world.figures().last_sequence = 9;
    let figures = world.status();
    assert!(!worth_writing(Some(&before), &figures, Duration::from_secs(29), interval));
    assert!(worth_writing(Some(&before), &figures, interval, interval));
    world.lane().credentials_refused = true;
    assert!(worth_writing(Some(&before), &world.status(), Duration::ZERO, interval));
}
