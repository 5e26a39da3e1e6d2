use ropeway_crds::{DestinationSpec, report::LaneReport};
use serde_json::json;

use super::*;
use crate::destination::{observe::SecretFacts, resolve::resolve};

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
            destination: "crm".into(),
            bound: true,
            problem: None,
            credentials_refused,
            recent_attempts: 4,
            recent_failures: failures,
            last_success: Timestamp::from_second(50).ok(),
            last_error: None,
        }],
    }
}

fn reasons(findings: &[Finding], lanes: &[LaneView]) -> Vec<(String, String)> {
    let status = status(&destination(), findings, lanes, lanes.len(), Timestamp::UNIX_EPOCH);
    status.conditions.into_iter().map(|condition| (condition.status, condition.reason)).collect()
}

#[test]
fn each_situation_has_its_conditions() {
    let missing = resolve(&destination().spec, &SecretFacts::from([("keys".into(), None)]));
    let no_key = resolve(&destination().spec, &SecretFacts::from([("keys".into(), Some(Default::default()))]));
    let fine = resolve(&destination().spec, &SecretFacts::from([("keys".into(), Some(["token".to_owned()].into()))]));
    type Case<'a> = (&'a str, &'a [Finding], Vec<LaneView>, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 6] = [
        ("unused", &fine, vec![], &[("True", "Resolved"), ("Unknown", "Pending"), ("Unknown", "Pending")]),
        (
            "used",
            &fine,
            vec![lane(false, 1)],
            &[("True", "Resolved"), ("True", "Delivering"), ("True", "CredentialsAccepted")],
        ),
        (
            "failing",
            &fine,
            vec![lane(false, 2)],
            &[("True", "Resolved"), ("False", "DeliveryFailing"), ("True", "CredentialsAccepted")],
        ),
        (
            "refused in one of two",
            &fine,
            vec![lane(false, 0), lane(true, 0)],
            &[("True", "Resolved"), ("False", "CredentialsRefused"), ("False", "CredentialsRefused")],
        ),
        (
            "no Secret",
            &missing,
            vec![],
            &[("False", "SecretNotFound"), ("Unknown", "Pending"), ("Unknown", "Pending"), ("True", "SecretNotFound")],
        ),
        (
            "no key",
            &no_key,
            vec![],
            &[
                ("False", "SecretKeyNotFound"),
                ("Unknown", "Pending"),
                ("Unknown", "Pending"),
                ("True", "SecretKeyNotFound"),
            ],
        ),
    ];
    for (name, findings, lanes, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|(status, reason)| ((*status).to_owned(), (*reason).to_owned())).collect();
        assert_eq!(reasons(findings, &lanes), expected, "{name}");
    }
}

#[test]
fn figures_are_folded_over_all_that_send_here() {
    let folded = status(&destination(), &[], &[lane(false, 0), lane(false, 0)], 2, Timestamp::UNIX_EPOCH);
    let delivery = folded.delivery.unwrap();
    assert_eq!((folded.used_by, delivery.delivered, delivery.pending, delivery.dead_letters), (Some(2), 4, 2, 6));
    assert_eq!(delivery.last_success_time, Timestamp::from_second(50).ok().map(Time));
}
