//! What JetStream holds of a namespace, seen from outside.

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use ropeway_crds::{
    names::{self, NamespaceNames, ShortUid},
    report::WorkerReport,
};
use ropeway_tests::install;

use crate::installed::{Example, NAME, Way, way};

/// A client of the trial's NATS that knows the names of one example.
pub struct JetStream {
    context: async_nats::jetstream::Context,
    names: NamespaceNames,
    integration: ShortUid,
    _way: Way,
}

impl JetStream {
    /// The streams of an example whose Integration is there now.
    pub async fn of(example: &Example) -> Self {
        let way = way(example.cluster, install::NAMESPACE, "nats", 4222).await;
        let client = async_nats::connect(way.address()).await.expect("a connection");
        let namespaces: Api<Namespace> = Api::all(example.client.clone());
        let namespace = namespaces.get(example.namespace).await.expect("the namespace");
        let integration = example.integrations.get(NAME).await.expect("the Integration");
        Self {
            context: async_nats::jetstream::new(client),
            names: NamespaceNames::new(ShortUid::of(&namespace.uid().expect("a UID"))),
            integration: ShortUid::of(&integration.uid().expect("a UID")),
            _way: way,
        }
    }

    /// The names of the streams and consumers of the example, as `stream` and `stream/consumer`.
    pub async fn holdings(&self) -> Vec<String> {
        let (namespace, own) = (self.names.state_bucket(), names::events_stream(&self.integration));
        let suffix = namespace.rsplit_once('_').expect("a short UID").1;
        let streams: Vec<String> = self.context.stream_names().try_collect().await.expect("the streams");
        let mut found = Vec::new();
        for name in streams.into_iter().filter(|name| name.ends_with(suffix) || *name == own) {
            let stream = self.context.get_stream(&name).await.expect("the stream");
            let consumers: Vec<String> = stream.consumer_names().try_collect().await.expect("its consumers");
            found.extend(consumers.into_iter().map(|consumer| format!("{name}/{consumer}")));
            found.push(name);
        }
        found.sort();
        found
    }

    /// The keys of the namespace's bucket; none where there is no bucket.
    pub async fn keys(&self) -> Vec<String> {
        let Ok(bucket) = self.context.get_key_value(self.bucket()).await else { return Vec::new() };
        let keys = bucket.keys().await.expect("the keys");
        keys.try_collect().await.expect("the keys")
    }

    /// What the workers of the Integration reported last.
    pub async fn heartbeats(&self) -> Vec<WorkerReport> {
        let prefix = names::heartbeat_keys(&self.integration);
        let prefix = prefix.trim_end_matches('*');
        let bucket = self.context.get_key_value(self.bucket()).await.expect("the bucket");
        let mut reports = Vec::new();
        for key in self.keys().await.into_iter().filter(|key| key.starts_with(prefix)) {
            if let Some(value) = bucket.get(&key).await.expect("the report") {
                reports.push(serde_json::from_slice(&value).expect("a report"));
            }
        }
        reports
    }

    fn bucket(&self) -> String {
        self.names.state_bucket()
    }
}
