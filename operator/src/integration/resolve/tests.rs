use std::collections::BTreeMap;

use ropeway_crds::{Destination, Integration};
use ropeway_mapping::compile;
use serde_json::{Value, json};

use super::*;
use crate::integration::observe::{Account, AccountFact, ClaimFact, SecretFact};

mod azure;
mod tokens;

fn integration() -> Value {
    json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration",
        "metadata": { "name": "signups", "namespace": "crm", "uid": "iu" },
        "spec": {
            "source": { "webhook": { "path": "/in", "verification": {
                "bearer": { "tokens": [{ "valueFrom": { "secretKeyRef": { "name": "keys", "key": "hook" } } }] } } } },
            "normalize": { "configMapKeyRef": { "name": "programs", "key": "shape" } },
            "destinations": [{
                "name": "crm", "ref": "hubspot", "filter": ".email != null",
                "transform": { "expression": "{\"mail\": .email}" },
                "delivery": { "outcomes": [{ "when": ".status == 418", "then": "Reject" }] },
            }],
            "tests": [{ "name": "plain", "input": { "email": "a" },
                "expect": [{ "destination": "crm", "record": { "mail": "a" } }] }],
        },
    })
}

fn observed(integration: Value) -> Observed {
    let integration: Integration = serde_json::from_value(integration).unwrap();
    let destination: Destination = serde_json::from_value(json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "hubspot" },
        "spec": {
            "provider": { "http": { "url": "https://api.example.com/contacts" } },
            "auth": { "bearer": { "token": { "valueFrom": { "secretKeyRef": { "name": "keys", "key": "token" } } } } },
            "delivery": { "retry": { "backoffMax": "1m" } },
        },
    }))
    .unwrap();
    Observed {
        integration,
        namespace_uid: "nu".into(),
        destinations: BTreeMap::from([("hubspot".into(), Some(Account::of(destination)))]),
        secrets: BTreeMap::from([("keys".into(), SecretFact::Keys(["hook", "token"].map(String::from).into()))]),
        config_maps: BTreeMap::from([("programs".into(), Some(BTreeMap::from([("shape".into(), ".".into())])))]),
        service_account: None,
        claim: None,
        azure: AzureSettings::default(),
    }
}

fn resolved(observed: &Observed) -> Result<Resolved, Vec<Finding>> {
    resolve(observed, &|source, purpose| compile(source, purpose).map_err(CompileFault::Refused))
}

#[test]
fn what_is_whole_is_resolved_with_nothing_left_open() {
    let resolved = resolved(&observed(integration())).unwrap();
    assert_eq!(resolved.config.normalize.as_deref(), Some("."));
    assert_eq!(resolved.config.event.source, "/crm/signups");
    assert_eq!(resolved.config.lanes[0].delivery.backoff_max, Duration::from_secs(60));
    assert_eq!(resolved.mounts.secrets, BTreeMap::from([("keys".into(), ["hook", "token"].map(String::from).into())]));
    assert_eq!(resolved.lanes[0].lane.as_str(), format!("{}-crm", ShortUid::of("iu")));
    assert_eq!(outline(&observed(integration()).integration, "nu").unwrap().source, resolved.source);
}

fn ordering(key: &str) -> Option<ropeway_crds::mapping::Ordering> {
    Some(ropeway_crds::mapping::Ordering { key: key.into() })
}

#[test]
fn an_ordering_key_reaches_the_workers_and_its_absence_leaves_no_trace() {
    let mut observed = observed(integration());
    let without = serde_json::to_string(&resolved(&observed).unwrap().config).unwrap();
    assert!(!without.contains("ordering"), "{without}");
    for key in ["string!(.account_id)", "to_string(.account_id) ?? \"none\""] {
        observed.integration.spec.ordering = ordering(key);
        assert_eq!(resolved(&observed).unwrap().config.ordering, ordering(key));
    }
}

/// A job that its worker no longer knows may end after what was sent since.
#[test]
fn portions_of_jobs_are_for_lanes_without_an_order() {
    let mut observed = observed(integration());
    let destination: Destination = serde_json::from_value(json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "hubspot" },
        "spec": { "provider": { "salesforce": { "object": "Lead", "externalIdField": "E__c", "bulk": {} } } },
    }))
    .unwrap();
    observed.destinations.insert("hubspot".into(), Some(Account::of(destination)));
    let portion = |observed: &Observed| {
        let Resolved { config, lanes, .. } = resolved(observed).unwrap();
        let lane = &config.lanes[0];
        let jobs = lane.provider.salesforce.as_ref().is_some_and(|salesforce| salesforce.bulk.is_some());
        (lane.batch.max_items, lanes[0].portion, jobs)
    };
    assert_eq!(portion(&observed), (10_000, 10_000, true));
    observed.integration.spec.ordering = ordering("string!(.account)");
    assert_eq!(portion(&observed), (200, 200, false));
}

#[test]
fn everything_wrong_is_said_with_its_field_and_its_condition() {
    use ConditionType::{DestinationsResolved, MappingValid, SourceReady, WorkersAvailable};
    type Change = fn(&mut Observed);
    let cases: [(&str, Change, ConditionType, Reason, &str); 22] = [
        (
            "no Destination",
            |it| {
                it.destinations.insert("hubspot".into(), None);
            },
            DestinationsResolved,
            Reason::DestinationNotFound,
            "spec.destinations[crm].ref",
        ),
        (
            "no Secret",
            |it| {
                it.secrets.insert("keys".into(), SecretFact::Missing);
            },
            DestinationsResolved,
            Reason::SecretNotFound,
            "create it",
        ),
        (
            "an ordering key that is no string",
            |it| it.integration.spec.ordering = ordering(".account"),
            MappingValid,
            Reason::MappingInvalid,
            "spec.ordering.key: ",
        ),
        (
            "an ordering key that changes the event",
            |it| it.integration.spec.ordering = ordering(".a = 1; string!(.account)"),
            MappingValid,
            Reason::MappingInvalid,
            "spec.ordering.key: ",
        ),
        (
            "an ordering key that is not the same for equal events",
            |it| it.integration.spec.ordering = ordering("to_string(now())"),
            MappingValid,
            Reason::MappingInvalid,
            "spec.ordering.key: ",
        ),
        (
            "no key",
            |it| {
                it.secrets.insert("keys".into(), SecretFact::Keys(["hook".to_owned()].into()));
            },
            DestinationsResolved,
            Reason::SecretKeyNotFound,
            "Destination hubspot: spec.auth.bearer.token.valueFrom.secretKeyRef: the Secret \"keys\" has no key",
        ),
        (
            "no ConfigMap for a value",
            |it| {
                let account = it.destinations.get_mut("hubspot").unwrap().as_mut().unwrap();
                account.spec.provider.http.as_mut().unwrap().headers = serde_json::from_value(json!([
                    { "name": "X-Team", "valueFrom": { "configMapKeyRef": { "name": "crm", "key": "team" } } },
                ]))
                .unwrap();
            },
            DestinationsResolved,
            Reason::ConfigMapNotFound,
            "Destination hubspot: spec.provider.http.headers[X-Team].valueFrom.configMapKeyRef: there is no ConfigMap \"crm\"",
        ),
        (
            "no ConfigMap",
            |it| {
                it.config_maps.insert("programs".into(), None);
            },
            DestinationsResolved,
            Reason::ConfigMapNotFound,
            "spec.normalize.configMapKeyRef",
        ),
        (
            "no key in the ConfigMap",
            |it| {
                it.config_maps.insert("programs".into(), Some(BTreeMap::new()));
            },
            DestinationsResolved,
            Reason::ConfigMapNotFound,
            "has no key",
        ),
        (
            "filter that is no boolean",
            |it| it.integration.spec.destinations[0].filter = Some(".email".into()),
            MappingValid,
            Reason::MappingInvalid,
            "spec.destinations[crm].filter: line 1",
        ),
        (
            "outcome that does not compile",
            |it| {
                let delivery = it.integration.spec.destinations[0].delivery.as_mut().unwrap();
                delivery.outcomes.as_mut().unwrap()[0].when = ".status ==".into();
            },
            MappingValid,
            Reason::MappingInvalid,
            "delivery.outcomes[0].when",
        ),
        (
            "program in a ConfigMap that does not compile",
            |it| {
                it.config_maps.insert("programs".into(), Some(BTreeMap::from([("shape".into(), "1 +".into())])));
            },
            MappingValid,
            Reason::MappingInvalid,
            "spec.normalize",
        ),
        (
            "failing test",
            |it| it.integration.spec.tests.as_mut().unwrap()[0].input = json!({ "email": "b" }),
            MappingValid,
            Reason::MappingTestFailed,
            "spec.tests: test \"plain\"",
        ),
        (
            "test that expects two things",
            |it| {
                it.integration.spec.tests.as_mut().unwrap()[0].expect[0].filtered = Some(true);
            },
            MappingValid,
            Reason::InvalidSpec,
            "exactly one of record",
        ),
        (
            "no mapping in a mapping",
            |it| {
                it.integration.spec.destinations[0].transform = serde_json::from_value(json!({})).ok();
            },
            MappingValid,
            Reason::InvalidSpec,
            "expression and configMapKeyRef",
        ),
        (
            "a destination twice",
            |it| {
                let twice = it.integration.spec.destinations[0].clone();
                it.integration.spec.destinations.push(twice);
            },
            DestinationsResolved,
            Reason::InvalidSpec,
            "given twice",
        ),
        (
            "backoff longer than its maximum, from two objects",
            |it| {
                let delivery = it.integration.spec.destinations[0].delivery.as_mut().unwrap();
                delivery.retry = serde_json::from_value(json!({ "backoffDelay": "5m" })).ok();
            },
            DestinationsResolved,
            Reason::InvalidSpec,
            "backoffDelay 5m is longer than backoffMax 1m",
        ),
        (
            "no source",
            |it| it.integration.spec.source.webhook = None,
            SourceReady,
            Reason::InvalidSpec,
            "exactly one of webhook, stream, poll, request and batch",
        ),
        (
            "tiny stream",
            |it| it.integration.spec.storage = serde_json::from_value(json!({ "maxBytes": "1Ki" })).ok(),
            SourceReady,
            Reason::InvalidSpec,
            "at least 1Mi",
        ),
        (
            "a stream of ours",
            |it| {
                it.integration.spec.source =
                    serde_json::from_value(json!({ "stream": { "stream": "KV_ROPEWAY_STATE_X" } })).unwrap();
            },
            SourceReady,
            Reason::InvalidSpec,
            "stream of your own",
        ),
        (
            "an account that does not allow it",
            |it| it.service_account = Some(AccountFact::NotAllowed),
            WorkersAvailable,
            Reason::ServiceAccountNotAllowed,
            "ropeway.dev/workers: allowed",
        ),
        (
            "no account",
            |it| it.service_account = Some(AccountFact::Missing),
            WorkersAvailable,
            Reason::ServiceAccountNotAllowed,
            "does not exist",
        ),
    ];
    for (name, change, kind, reason, part) in cases {
        let mut observed = observed(integration());
        change(&mut observed);
        let findings = resolved(&observed).expect_err(name);
        let found = findings.iter().any(|finding| {
            (finding.kind, finding.reason, finding.status) == (kind, reason, Some(false))
                && finding.message.contains(part)
        });
        assert!(found, "{name}: {findings:?}");
    }
}

#[test]
fn a_secret_that_may_not_be_used_is_withheld_and_told_while_everything_else_goes_on() {
    let mut observed = observed(integration());
    observed.secrets.insert("keys".into(), SecretFact::NotAllowed);
    let resolved = resolved(&observed).unwrap();
    assert!(resolved.mounts.secrets.is_empty(), "{:?}", resolved.mounts);
    let told: Vec<(Reason, &str)> = resolved.withheld.iter().map(|it| (it.reason, it.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                Reason::SecretNotAllowed,
                "spec.source.webhook.verification.bearer.tokens[0].valueFrom.secretKeyRef: the Secret \"keys\" may not be used; label it ropeway.dev/use: allowed, or name another one"
            ),
            (
                Reason::SecretNotAllowed,
                "Destination hubspot: spec.auth.bearer.token.valueFrom.secretKeyRef: the Secret \"keys\" may not be used; label it ropeway.dev/use: allowed, or name another one"
            ),
        ]
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let mut observed = observed(integration());
    observed.destinations.insert("hubspot".into(), None);
    observed.secrets.insert("keys".into(), SecretFact::Missing);
    observed.integration.spec.destinations[0].filter = Some("1".into());
    let reasons: Vec<Reason> = resolved(&observed).unwrap_err().iter().map(|finding| finding.reason).collect();
    for reason in [Reason::DestinationNotFound, Reason::SecretNotFound, Reason::MappingInvalid] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
}

#[test]
fn a_compiler_that_does_not_run_says_nothing_about_the_expression() {
    let unable = |_: &str, _: Purpose| Err(CompileFault::Unable("no process".into()));
    let findings = resolve(&observed(integration()), &unable).unwrap_err();
    assert!(
        findings.iter().all(|finding| finding.status.is_none() && finding.reason == Reason::Failed),
        "{findings:?}"
    );
}

#[test]
fn a_batch_source_is_checked_where_its_schema_can_not() {
    let with = |change: fn(&mut Value)| {
        let mut object = integration();
        object["spec"]["source"] = json!({ "batch": {
            "schedule": "0 2 * * *", "from": { "file": { "claimName": "exports", "path": "a.csv" } },
            "format": { "csv": {} },
        } });
        change(&mut object["spec"]["source"]["batch"]);
        observed(object)
    };
    let fine = with(|_| {});
    let source = resolved(&fine).unwrap();
    assert!(matches!(source.source, ResolvedSource::Events { address: None, .. }), "{:?}", source.source);
    let missing = Observed { claim: Some(ClaimFact::Missing), ..fine };
    let http = |url: &str| {
        json!({ "http": { "url": url, "auth": { "bearer": { "token": {
        "valueFrom": { "secretKeyRef": { "name": "exports", "key": "token" } } } } } } })
    };
    let mut secret = with(|_| {});
    secret.integration.spec.source.batch.as_mut().unwrap().from =
        serde_json::from_value(http("https://a.example/")).unwrap();
    for (observed, reason, message) in [
        (missing, Reason::ClaimNotFound, "spec.source.batch.from.file.claimName: there is no PersistentVolumeClaim"),
        (
            secret,
            Reason::SecretNotFound,
            "spec.source.batch.from.http.auth.bearer.token.valueFrom.secretKeyRef: there is no Secret \"exports\"",
        ),
        (with(|it| it["schedule"] = json!("0 25 * * *")), Reason::InvalidSpec, "spec.source.batch.schedule: "),
        (with(|it| it["timeZone"] = json!("Mars/Base")), Reason::InvalidSpec, "spec.source.batch.timeZone: "),
        (with(|it| it["maxRowBytes"] = json!("1Mi")), Reason::InvalidSpec, "spec.source.batch.maxRowBytes: "),
    ] {
        let findings = resolved(&observed).unwrap_err();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].reason, reason);
        assert!(findings[0].message.starts_with(message), "{findings:?}");
    }
}

#[test]
fn the_exposed_address_is_the_one_that_senders_sign_where_they_sign_one() {
    let with = |verification: &str, public_url: Option<&str>| {
        let mut object = integration();
        let secrets = object["spec"]["source"]["webhook"]["verification"]["bearer"]["tokens"].clone();
        let list = if verification == "bearer" { "tokens" } else { "secrets" };
        let webhook = &mut object["spec"]["source"]["webhook"];
        webhook["verification"] = json!({ verification: { list: secrets } });
        webhook["expose"] = json!({ "ingress": { "host": "h.example", "tls": { "secretName": "t" } } });
        if let Some(url) = public_url {
            webhook["publicUrl"] = json!(url);
        }
        match resolved(&observed(object)).unwrap().config.source {
            SourceConfig::Webhook { public_url, .. } => public_url,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with("hubspot", None).as_deref(), Some("https://h.example/in"));
    assert_eq!(with("hubspot", Some("https://edge.example/x")).as_deref(), Some("https://edge.example/x"));
    assert_eq!(with("bearer", None), None);
}
