//! Everything that there is of a namespace's Integration, in the API server and in JetStream, as text that can be compared
//! with that of another namespace: what no two runs can have in common is masked.

use std::collections::BTreeMap;

use async_nats::jetstream::{self, stream};
use futures::TryStreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::CronJob,
    core::v1::{ConfigMap, Namespace, Service},
    networking::v1::Ingress,
};
use kube::{Api, ResourceExt as _, api::ListParams};
use ropeway_crds::{Destination, Integration, names::ShortUid};
use serde_json::{Value, json};

use crate::place::Place;

/// Members that no two runs have in common, wherever they stand.
const MASKED: [&str; 12] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "since",
    // Given by the API server and its controllers.
    "clusterIP",
    "clusterIPs",
    "deployment.kubernetes.io/revision",
    "created",
    "ts",
    "generation",
];

/// Who they are whose remains are looked at. Taken while the Integration is there.
pub struct Identity {
    namespace: ShortUid,
    integration: ShortUid,
    masks: Vec<(String, String)>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remains {
    /// Deployments, CronJobs, Services, Ingresses and configurations as masked text.
    pub children: Vec<String>,
    /// Integration and Destinations likewise.
    pub resources: Vec<String>,
    /// Streams, their consumers, and the keys of buckets.
    pub streams: BTreeMap<String, String>,
}

impl Identity {
    /// The identity of an Integration.
    pub async fn of(place: &Place, name: &str) -> Self {
        let namespace = Api::<Namespace>::all(place.client.clone()).get(&place.namespace).await.expect("a namespace");
        let integration = place.all::<Integration>().get(name).await.expect("an Integration");
        let uid = |uid: Option<String>| uid.expect("the API server gives a UID");
        let (of_namespace, own) = (uid(namespace.uid()), uid(integration.uid()));
        let short = (ShortUid::of(&of_namespace), ShortUid::of(&own));
        let mask = |text: &str, with: &str| (text.to_owned(), with.to_owned());
        let destinations = place.all::<Destination>().list(&ListParams::default()).await.expect("an answer");
        let accounts = destinations.iter().filter_map(kube::ResourceExt::uid);
        let accounts = accounts.map(|uid| mask(ShortUid::of(&uid).as_str(), "<short uid of the Destination>"));
        let mut masks = vec![
            mask(short.0.as_str(), "<short uid of the namespace>"),
            mask(short.1.as_str(), "<short uid>"),
            mask(&own, "<uid>"),
            mask(&of_namespace, "<uid of the namespace>"),
            mask(&place.namespace, "<namespace>"),
        ];
        masks.extend(accounts);
        Self { namespace: short.0, integration: short.1, masks }
    }

    fn mask(&self, text: &str) -> String {
        self.masks.iter().fold(text.to_owned(), |text, (what, with)| text.replace(what, with))
    }

    fn text(&self, value: impl serde::Serialize) -> String {
        let mut value = serde_json::to_value(value).expect("objects are writable as JSON");
        strip(&mut value);
        self.mask(&format!("{value:#}"))
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !MASKED.contains(&name.as_str()));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Looks at everything.
pub async fn look(place: &Place, identity: &Identity, nats: &async_nats::Client) -> Result<Remains, String> {
    let mut remains = look_at_streams(identity, nats).await.map_err(|error| error.to_string())?;
    look_at_objects(place, identity, &mut remains).await.map_err(|error| error.to_string())?;
    Ok(remains)
}

async fn look_at_objects(place: &Place, identity: &Identity, remains: &mut Remains) -> Result<(), kube::Error> {
    let ours = ListParams::default().labels("ropeway.dev/uid");
    let maps = place.all::<ConfigMap>().list(&ours).await?.items;
    let named: Vec<(String, String)> =
        maps.iter().map(|map| (map.name_any(), "<name by the configuration>".to_owned())).collect();
    let by_name = |text: String| named.iter().fold(text, |text, (name, with)| text.replace(name, with));
    for mut deployment in place.all::<Deployment>().list(&ours).await?.items {
        // Written by its controller, whenever that comes to it.
        deployment.status = None;
        remains.children.push(by_name(identity.text(deployment)));
    }
    for mut cron_job in place.all::<CronJob>().list(&ours).await?.items {
        cron_job.status = None;
        remains.children.push(by_name(identity.text(cron_job)));
    }
    for ingress in place.all::<Ingress>().list(&ours).await?.items {
        remains.children.push(identity.text(ingress));
    }
    for service in place.all::<Service>().list(&ours).await?.items {
        remains.children.push(identity.text(service));
    }
    remains.children.extend(maps.iter().map(|map| by_name(identity.text(map))));
    for integration in place.all::<Integration>().list(&Default::default()).await?.items {
        remains.resources.push(identity.text(integration));
    }
    for destination in place.all::<Destination>().list(&Default::default()).await?.items {
        remains.resources.push(identity.text(destination));
    }
    Ok(())
}

async fn look_at_streams(identity: &Identity, nats: &async_nats::Client) -> Result<Remains, async_nats::Error> {
    let jetstream = jetstream::new(nats.clone());
    let infos: Vec<stream::Info> = jetstream.streams().try_collect().await?;
    let ours = |name: &str| [&identity.namespace, &identity.integration].iter().any(|uid| name.ends_with(uid.as_str()));
    let mut remains = Remains::default();
    for info in infos.into_iter().filter(|info| ours(&info.config.name)) {
        let name = info.config.name.clone();
        let stream = jetstream.get_stream(&name).await?;
        let consumers: Vec<_> = stream.consumers().try_collect().await?;
        // Reading the keys below leaves passing consumers of the test's own; the operator's are durable.
        let durable = consumers.into_iter().map(|consumer| consumer.config).filter(|it| it.durable_name.is_some());
        let consumers: Vec<_> = durable.collect();
        let mut keys = BTreeMap::new();
        if let Some(bucket) = name.strip_prefix("KV_") {
            let store = jetstream.get_key_value(bucket).await?;
            let mut found = store.keys().await?;
            while let Some(key) = found.try_next().await? {
                let value = store.get(&key).await?.unwrap_or_default();
                keys.insert(key, String::from_utf8_lossy(&value).into_owned());
            }
        }
        let whole = json!({ "config": info.config, "consumers": consumers, "keys": keys });
        remains.streams.insert(identity.mask(&name), identity.text(whole));
    }
    Ok(remains)
}

/// The first difference, for a person.
pub fn difference(wanted: &Remains, found: &Remains) -> Option<String> {
    let lines = |remains: &Remains| -> Vec<String> {
        let Remains { children, resources, streams } = remains;
        let all = children.iter().chain(resources).chain(streams.values());
        all.flat_map(|text| text.lines().map(str::to_owned)).collect()
    };
    if wanted == found {
        return None;
    }
    let (wanted, found) = (lines(wanted), lines(found));
    let at = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
    let at = at.unwrap_or(wanted.len().min(found.len()));
    let around = |lines: &[String]| lines[at.saturating_sub(3).min(lines.len())..lines.len().min(at + 3)].join("\n");
    Some(format!("wanted:\n{}\nfound:\n{}", around(&wanted), around(&found)))
}
