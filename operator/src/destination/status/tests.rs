use ropeway_crds::{
    DestinationSpec,
    account::{Cause, CircuitState, LimitRecord},
    report::{LaneReport, TokenReport},
};
use serde_json::json;

use super::*;
use crate::{
    destination::{observe::Facts, resolve::resolve},
    integration::observe::SecretFact,
};

fn destination() -> Destination {
    let spec: DestinationSpec = serde_json::from_value(json!({
        "provider": { "http": { "url": "https://api.example.com" } },
        "auth": { "bearer": { "token": { "valueFrom": { "secretKeyRef": { "name": "keys", "key": "token" } } } } },
    }))
    .unwrap();
    Destination::new("hubspot", spec)
}

fn lane(credentials_refused: bool, failures: u64) -> LaneView {
    LaneView {
        reference: "hubspot".into(),
        counts: Counts { delivered: 2, ..Counts::default() },
        pending: 1,
        dead_letters: 3,
        reports: vec![LaneReport {
            token: None,
            destination: "crm".into(),
            bound: true,
            problem: None,
            trouble: None,
            credentials_refused,
            recent_attempts: 4,
            recent_failures: failures,
            recent_violations: 0,
            last_violation: None,
            last_success: Timestamp::from_second(50).ok(),
            last_error: None,
        }],
        circuit: None,
        limit: None,
        proof: None,
    }
}

fn reasons(findings: &[Finding], lanes: &[LaneView]) -> Vec<(String, String)> {
    let status = status(&destination(), findings, lanes, None, lanes.len(), Timestamp::UNIX_EPOCH);
    status.conditions.into_iter().map(|condition| (condition.status, condition.reason)).collect()
}

#[test]
fn each_situation_has_its_conditions() {
    let with = |fact: SecretFact| {
        resolve(&destination().spec, &Facts { secrets: [("keys".to_owned(), fact)].into(), ..Facts::default() })
    };
    let keys = |keys: &[&str]| SecretFact::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
    let (missing, no_key, fine) = (with(SecretFact::Missing), with(keys(&[])), with(keys(&["token"])));
    let forbidden = with(SecretFact::NotAllowed);
    assert_eq!(forbidden[0].reason, Reason::SecretNotAllowed);
    assert!(forbidden[0].message.starts_with("spec.auth.bearer.token.valueFrom.secretKeyRef: the Secret \"keys\""));
    type Case<'a> = (&'a str, &'a [Finding], Vec<LaneView>, &'a [(&'a str, &'a str)]);
    let calm = ("True", "CircuitClosed");
    let unknown = ("Unknown", "Pending");
    let mut tokenless = lane(false, 0);
    let open = |cause, reason: &str| CircuitRecord {
        state: CircuitState::Open,
        cause: Some(cause),
        reason: Some(reason.into()),
        ..CircuitRecord::closed(Timestamp::UNIX_EPOCH)
    };
    tokenless.circuit = Some(open(Cause::Token, "the token endpoint answered 500"));
    let token = ("False", "TokenUnavailable");
    let vault = |cause| LaneView { circuit: Some(open(cause, "there is no secret token")), ..lane(false, 0) };
    let (no_secret, no_vault) = (("False", "KeyVaultRefused"), ("False", "KeyVaultUnavailable"));
    let cases: [Case<'_>; 9] = [
        ("unused", &fine, vec![], &[("True", "Resolved"), unknown, unknown, unknown]),
        (
            "used",
            &fine,
            vec![lane(false, 1)],
            &[("True", "Resolved"), ("True", "Delivering"), ("True", "CredentialsAccepted"), calm],
        ),
        (
            "failing",
            &fine,
            vec![lane(false, 2)],
            &[("True", "Resolved"), ("False", "DeliveryFailing"), ("True", "CredentialsAccepted"), calm],
        ),
        (
            "refused in one of two",
            &fine,
            vec![lane(false, 0), lane(true, 0)],
            &[("True", "Resolved"), ("False", "CredentialsRefused"), ("False", "CredentialsRefused"), calm],
        ),
        ("no token", &fine, vec![tokenless], &[("True", "Resolved"), token, ("Unknown", "TokenUnavailable"), token]),
        (
            "no secret of a vault",
            &fine,
            vec![vault(Cause::Vault)],
            &[("True", "Resolved"), no_secret, no_secret, no_secret],
        ),
        (
            "no vault",
            &fine,
            vec![vault(Cause::VaultAway)],
            &[("True", "Resolved"), no_vault, ("Unknown", "KeyVaultUnavailable"), no_vault],
        ),
        (
            "no Secret",
            &missing,
            vec![],
            &[("False", "SecretNotFound"), unknown, unknown, unknown, ("True", "SecretNotFound")],
        ),
        (
            "no key",
            &no_key,
            vec![],
            &[("False", "SecretKeyNotFound"), unknown, unknown, unknown, ("True", "SecretKeyNotFound")],
        ),
    ];
    for (name, findings, lanes, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|(status, reason)| ((*status).to_owned(), (*reason).to_owned())).collect();
        assert_eq!(reasons(findings, &lanes), expected, "{name}");
    }
}

#[test]
fn what_was_said_about_our_credentials_is_told() {
    let mut refused = lane(true, 0);
    refused.circuit = Some(CircuitRecord {
        state: CircuitState::Open,
        cause: Some(Cause::Credentials),
        reason: Some("the token endpoint login.example answered 401: invalid_client".into()),
        ..CircuitRecord::closed(Timestamp::UNIX_EPOCH)
    });
    let told = status(&destination(), &[], &[refused], None, 1, Timestamp::UNIX_EPOCH);
    for kind in ["CredentialsValid", "Healthy"] {
        let condition = told.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        assert!(
            condition.message.contains("renew the Secret in spec.auth: the token endpoint login.example"),
            "{kind}"
        );
    }
}

#[test]
fn of_several_tokens_the_first_to_end_is_told_and_their_renewal_is_no_news() {
    let at = |second| Timestamp::from_second(second).ok();
    let with = |expires, granted, failures| {
        let mut lane = lane(false, 0);
        lane.reports[0].token = Some(TokenReport { expires: at(expires), granted: at(granted), failures, requests: 1 });
        lane
    };
    let told = |lanes: &[LaneView]| status(&destination(), &[], lanes, None, 1, Timestamp::UNIX_EPOCH);
    let one = told(&[with(300, 10, 0), with(200, 20, 3)]);
    let credentials = one.credentials.clone().unwrap();
    assert_eq!(credentials.expires_at, at(200).map(Time));
    assert_eq!((credentials.last_refresh_time, credentials.refresh_failures), (at(20).map(Time), Some(3)));
    let (soon, late) = (Duration::from_secs(1), Duration::from_secs(30));
    let renewed = told(&[with(300, 10, 0), with(400, 30, 3)]);
    assert!(!worth_writing(Some(&one), &renewed, soon, late), "a renewal is no news");
    assert!(worth_writing(Some(&one), &renewed, late, late));
    assert!(worth_writing(Some(&one), &told(&[with(300, 10, 1), with(400, 30, 3)]), late, late));
    assert!(worth_writing(Some(&one), &told(&[with(300, 10, 4)]), soon, late), "a failure is");
    assert_eq!(told(&[lane(false, 0)]).credentials, None);
}

#[test]
fn figures_are_folded_over_all_that_send_here() {
    let folded = status(&destination(), &[], &[lane(false, 0), lane(false, 0)], None, 2, Timestamp::UNIX_EPOCH);
    let delivery = folded.delivery.unwrap();
    assert_eq!((folded.used_by, delivery.delivered, delivery.pending, delivery.dead_letters), (Some(2), 4, 2, 6));
    assert_eq!(delivery.last_success_time, Timestamp::from_second(50).ok().map(Time));
}

#[test]
fn what_becomes_of_a_repeat_is_told_and_so_is_an_odd_address() {
    let hubspot = |operation: &str, url: Option<&str>| {
        let id = (operation != "Create").then_some("email");
        json!({ "hubspot": { "object": "contacts", "operation": operation, "idProperty": id, "url": url } })
    };
    let braze = |url: &str| json!({ "braze": { "url": url } });
    let odd = "everything that is named is there; but spec.provider.";
    for (provider, idempotency, message) in [
        (json!({ "http": { "url": "https://a.example" } }), "None", "everything that is named is there"),
        (braze("https://rest.iad-01.braze.com"), "None", "everything that is named is there"),
        (braze("https://rest.iad-01.example"), "None", odd),
        (json!({ "segment": {} }), "BestEffort", "everything that is named is there"),
        (json!({ "mixpanel": {} }), "Enforced", "everything that is named is there"),
        (hubspot("Upsert", None), "Enforced", "everything that is named is there"),
        (hubspot("Create", Some("http://proxy:8080")), "None", odd),
    ] {
        let mut destination = destination();
        destination.spec.provider = serde_json::from_value(provider.clone()).unwrap();
        let status = status(&destination, &[], &[], None, 1, Timestamp::UNIX_EPOCH);
        assert_eq!(status.idempotency.as_deref(), Some(idempotency), "{provider}");
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        let told = if message == odd { ready.message.starts_with(odd) } else { ready.message == message };
        assert!(told && ready.status == "True", "{provider}: {ready:?}");
    }
}

#[test]
fn an_open_circuit_is_shown_with_its_cause_and_told_once() {
    let now = Timestamp::from_second(100).unwrap();
    for (cause, reason) in [
        (Cause::Errors, "CircuitOpen"),
        (Cause::Credentials, "CredentialsRefused"),
        (Cause::Vault, "KeyVaultRefused"),
        (Cause::VaultAway, "KeyVaultUnavailable"),
        (Cause::Gone, "DestinationGone"),
        (Cause::Rule, "HeldByRule"),
        (Cause::Quota, "QuotaExhausted"),
        (Cause::Address, "AddressRefused"),
        (Cause::Configuration, "ConfigurationUnusable"),
        (Cause::Manual, "HeldByHand"),
    ] {
        let circuit = CircuitRecord {
            state: CircuitState::Open,
            cause: Some(cause),
            reason: Some("it answered 503".into()),
            next_probe: Some(now),
            ..CircuitRecord::closed(now)
        };
        let open = LaneView { circuit: Some(circuit), ..lane(false, 0) };
        let before = status(&destination(), &[], &[lane(false, 0)], None, 1, now);
        let after = status(&destination(), &[], &[open], None, 1, now);
        let of = |kind: &str| after.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        assert_eq!((of("CircuitClosed").status.as_str(), of("CircuitClosed").reason.as_str()), ("False", reason));
        assert_eq!((of("Healthy").status.as_str(), of("Ready").status.as_str()), ("False", "True"));
        let shown = after.circuit.clone().unwrap();
        assert_eq!((shown.state.as_str(), shown.last_open_reason.as_deref()), ("Open", Some(cause.as_str())));
        let told = |from: &DestinationStatus, to: &DestinationStatus| {
            events(Some(from), to).into_iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(&before, &after), ["CircuitOpened"]);
        assert_eq!(told(&after, &before), ["CircuitClosed"]);
        assert!(told(&after, &after).is_empty());
    }
}

#[test]
fn a_limit_is_shown_where_the_spec_or_the_destination_sets_one() {
    let now = Timestamp::from_second(100).unwrap();
    assert_eq!(status(&destination(), &[], &[lane(false, 0)], None, 1, now).rate_limit, None);
    let limit = LimitRecord { closed_until: 130_000, factor: 490, ..LimitRecord::default() };
    let limited = LaneView { limit: Some(limit), ..lane(false, 0) };
    let shown = status(&destination(), &[], &[limited], None, 1, now).rate_limit.unwrap();
    assert_eq!((shown.used_percent, shown.reset_at), (Some(49), Timestamp::from_second(130).ok().map(Time)));
}

#[test]
fn what_a_probe_showed_stands_in_the_condition_while_there_is_one() {
    use ropeway_crds::proof::{ProofRecord, Shown, Verdict};
    let shown = |verdict| {
        let message = "the probe GET https://api.example.com/me answered 200".to_owned();
        let shown = Some(Shown { time: Timestamp::UNIX_EPOCH, verdict, message });
        LaneView { proof: Some(ProofRecord { next: Timestamp::UNIX_EPOCH, shown }), ..lane(false, 0) }
    };
    let mut probed = destination();
    probed.spec.probe = serde_json::from_value(json!({ "path": "/me" })).ok();
    let told = |destination: &Destination, lane: LaneView| {
        let status = status(destination, &[], &[lane], None, 1, Timestamp::UNIX_EPOCH);
        let found = status.conditions.into_iter().find(|it| it.type_ == "CredentialsValid").unwrap();
        (found.status, found.reason)
    };
    let expected = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(told(&probed, shown(Verdict::Accepted)), expected("True", "CredentialsProven"));
    assert_eq!(told(&probed, shown(Verdict::Refused)), expected("False", "CredentialsRefused"));
    assert_eq!(told(&probed, shown(Verdict::Unclear)), expected("True", "CredentialsAccepted"));
    // A delivery that was refused says more than a probe before it.
    let refused = LaneView { reports: lane(true, 0).reports, ..shown(Verdict::Accepted) };
    assert_eq!(told(&probed, refused), expected("False", "CredentialsRefused"));
    // What an earlier probe left says nothing once it is gone from the spec.
    assert_eq!(told(&destination(), shown(Verdict::Refused)), expected("True", "CredentialsAccepted"));
}
