//! The same way without an API server: manifests come in, the same streams and the same worker configuration go out, and
//! the same status; and the dead letters of either. For `ropeway dev`, `lint`, `test` and `dlq`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt;
use ropeway_crds::{
    Destination, Integration, azure::AzureSettings, condition::Finding, reference::destination_settings,
    status::IntegrationStatus,
};
use ropeway_mapping::compile;

pub use crate::{
    dead_letters::{Entry, Selector, redact},
    integration::{
        apply::{ApplyError, StreamsApplied, apply_streams},
        observe::{Account, Observed, SecretFact},
        plan::{JetStreamPlan, Plan, Settings, plan},
        resolve::{Compile, CompileFault, Resolved, resolve},
        status::{Known, status},
    },
    io::{
        dead_letters::{Action, Census, DeadLetters, Page, Progress, WorkError},
        jetstream::{JetStream, NatsClass, NatsError, Stored, Written},
        reports::{Observations, batch, figures, workers},
    },
};

/// What stands in files instead of in an API server.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The Destinations by name.
    pub destinations: BTreeMap<String, Destination>,
    /// The keys of the Secrets by name.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// The ConfigMaps by name.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// What an administrator would have decided about Azure.
    pub azure: AzureSettings,
}

/// Checks an Integration against manifests. Expressions are compiled in this process: files of one's own are trusted.
///
/// The object's `metadata.uid` names its streams; `ropeway dev` makes one up that stays the same.
///
/// # Errors
/// Everything that is wrong, with field and remedy.
pub fn resolve_manifests(
    integration: &Integration,
    namespace_uid: &str,
    manifests: &Manifests,
) -> Result<Resolved, Vec<Finding>> {
    let found = |name: &String| manifests.destinations.get(name).cloned().map(account);
    let direct = crate::integration::observe::References::of(&integration.spec);
    let mut destinations: BTreeMap<_, _> =
        direct.destinations.into_iter().map(|name| (name.clone(), found(&name))).collect();
    let holders: Vec<String> = destinations.values().flatten().filter_map(Account::token_holder).collect();
    destinations.extend(holders.into_iter().map(|name| (name.clone(), found(&name))));
    let keys = destinations.values().flatten().flat_map(|account| account.spec.secret_keys()).map(|key| key.name);
    let secrets: BTreeSet<String> = direct.secrets.into_iter().chain(keys).collect();
    let settings = destinations.values().flatten().flat_map(|account| destination_settings(&account.spec));
    let maps: BTreeSet<String> = direct.config_maps.into_iter().chain(settings.map(|(_, key)| key.name)).collect();
    let observed = Observed {
        integration: integration.clone(),
        namespace_uid: namespace_uid.to_owned(),
        secrets: secrets
            .into_iter()
            .map(|name| {
                (name.clone(), manifests.secrets.get(&name).cloned().map_or(SecretFact::Missing, SecretFact::Keys))
            })
            .collect(),
        config_maps: maps.into_iter().map(|name| (name.clone(), manifests.config_maps.get(&name).cloned())).collect(),
        destinations,
        service_account: None,
        claim: None,
        azure: manifests.azure.clone(),
    };
    resolve(&observed, &|source, purpose| compile(source, purpose).map_err(CompileFault::Refused))
}

/// A Destination out of a file has no UID; its name stands for one, so that no two share an account.
fn account(destination: Destination) -> Account {
    let name = destination.name_any();
    let account = Account::of(destination);
    if account.uid.is_empty() { Account { uid: format!("destination/{name}"), ..account } } else { account }
}

/// Reads what workers and streams say about an Integration.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn observations(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Observations, NatsError> {
    let (reports, _) = workers(jetstream, &plan.names, &plan.integration).await?;
    Ok(Observations {
        batch: batch(jetstream, plan).await?,
        workers: reports,
        figures: figures(jetstream, plan).await?,
        shared: crate::io::accounts::shared(jetstream, plan).await?,
    })
}

/// The status that an Integration would have in a cluster. `integration` carries the one that it had before.
pub fn status_of(
    integration: &Integration,
    resolved: Result<&Plan, &[Finding]>,
    observations: Option<&Observations>,
    now: Timestamp,
) -> IntegrationStatus {
    let (plan, findings) = match resolved {
        Ok(plan) => (Some(plan), &[][..]),
        Err(findings) => (None, findings),
    };
    status(&Known {
        integration,
        findings,
        plan,
        fault: None,
        observations,
        deployment: None,
        route: None,
        leaving: 0,
        going: None,
        now,
    })
}

#[cfg(test)]
mod tests {
    use ropeway_crds::condition::Reason;
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_come_to_the_same_plan_and_status_as_in_a_cluster() {
        let integration: Integration = serde_json::from_value(json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration",
            "metadata": { "name": "orders", "namespace": "dev", "uid": "made-up", "generation": 1 },
            "spec": { "source": { "stream": { "stream": "ORDERS" } }, "destinations": [{ "name": "crm", "ref": "sink" }] },
        }))
        .unwrap();
        let missing = resolve_manifests(&integration, "nu", &Manifests::default()).unwrap_err();
        assert_eq!(missing[0].reason, Reason::DestinationNotFound);
        let broken = status_of(&integration, Err(&missing), None, Timestamp::UNIX_EPOCH);
        assert_eq!(broken.conditions[0].reason, "DestinationNotFound");
        let sink: Destination = serde_json::from_value(json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "sink" },
            "spec": { "provider": { "http": { "url": "http://127.0.0.1:1/" } } },
        }))
        .unwrap();
        let manifests = Manifests { destinations: [("sink".to_owned(), sink)].into(), ..Manifests::default() };
        let resolved = resolve_manifests(&integration, "nu", &manifests).unwrap();
        let settings = Settings {
            worker_image: "none".into(),
            nats_url: "nats://127.0.0.1:4222".into(),
            allowed_private_ranges: Vec::new(),
            stream_replicas: 1,
        };
        let plan = plan(&resolved, &settings);
        assert_eq!(plan.config.integrations[0].lanes[0].destination, "crm");
        let status = status_of(&integration, Ok(&plan), Some(&Observations::default()), Timestamp::UNIX_EPOCH);
        assert_eq!(status.conditions[0].reason, "WorkersStarting");
    }
}
