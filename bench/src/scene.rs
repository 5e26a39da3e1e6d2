//! What a workload runs on: the operator's own streams, consumers and worker configuration, made of manifests as a user
//! would write them.

use std::{fs, path::Path};

use ropeway_cli::{
    manifest::{Fault, load},
    stage::stage,
};
use ropeway_crds::{
    names::{LaneId, events_stream, events_subject},
    worker_config::{IntegrationConfig, LaneConfig, WorkerConfig},
};
use ropeway_operator::offline::{self, JetStream, JetStreamPlan, Settings};
use serde_json::{Value, json};

use crate::{
    Error,
    error::{call, file},
    event::TRANSFORM,
    server::Server,
    workload::Workload,
};

/// How many lanes each Integration has where there are many; 32 is the most.
pub const LANES_EACH: usize = 25;

/// Everything that a worker and its streams need.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the worker is told.
    pub config: WorkerConfig,
    plans: Vec<JetStreamPlan>,
}

impl Scene {
    /// One Integration for every [`LANES_EACH`] of these addresses, or fewer, with one lane to each address.
    ///
    /// # Errors
    /// When the manifests are wrong.
    pub fn new(folder: &Path, urls: &[String], workload: Workload) -> Result<Self, Error> {
        let destinations = urls.iter().enumerate();
        let mut documents: Vec<Value> = destinations.map(|(number, url)| destination(number, url, workload)).collect();
        let numbers: Vec<usize> = (0..urls.len()).collect();
        for (place, lanes) in numbers.chunks(LANES_EACH).enumerate() {
            documents.push(integration(place, lanes, workload));
        }
        Self::staged(folder, documents)
    }

    /// One Integration with one lane, whose Destination has this spec and whose records are made by this expression.
    ///
    /// # Errors
    /// When the manifests are wrong.
    pub fn of(folder: &Path, spec: &Value, transform: &str) -> Result<Self, Error> {
        let mut integration = integration(0, &[0], Workload::T2);
        integration["spec"]["destinations"][0]["transform"]["expression"] = json!(transform);
        let destination = json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name(0) }, "spec": spec,
        });
        Self::staged(folder, vec![destination, integration])
    }

    fn staged(folder: &Path, mut documents: Vec<Value>) -> Result<Self, Error> {
        documents.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "hook" }, "stringData": { "token": "bench" },
        }));
        let text: String = documents.iter().map(|document| format!("---\n{document}\n")).collect();
        let path = folder.join("manifests.yaml");
        fs::write(&path, text).map_err(file("write", &path))?;
        let settings = Settings {
            worker_image: "none".into(),
            nats_url: "none".into(),
            allowed_private_ranges: vec!["127.0.0.0/8".into()],
            stream_replicas: 1,
        };
        let staged = stage(&load(&[path]).map_err(wrong)?, &settings).map_err(wrong)?;
        let mut staged = staged.into_iter().map(|staged| staged.plan);
        let first = staged.next().ok_or_else(|| Error::Manifest("there is no Integration".into()))?;
        let mut scene = Self { config: first.config, plans: vec![first.jetstream] };
        for plan in staged {
            scene.config.integrations.extend(plan.config.integrations);
            scene.plans.push(plan.jetstream);
        }
        Ok(scene)
    }

    /// Makes the streams, the consumers and the wish.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn apply(&self, server: &Server) -> Result<(), Error> {
        let settings = ropeway_nats::Settings::open(server.url.clone());
        let client = ropeway_nats::connect(&settings, "bench").await.map_err(call("connect to NATS"))?;
        let jetstream = JetStream::new(client);
        for plan in &self.plans {
            offline::apply_streams(&jetstream, plan).await.map_err(call("make the streams"))?;
        }
        Ok(())
    }

    /// The stream that the first Integration's events are in.
    #[must_use]
    pub fn stream(&self) -> String {
        events_stream(&self.config.integrations[0].uid)
    }

    /// The subjects of all events streams.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        self.config.integrations.iter().map(|integration| events_subject(&integration.uid)).collect()
    }

    /// The consumer of the first lane.
    #[must_use]
    pub fn consumer(&self) -> LaneId {
        let integration = &self.config.integrations[0];
        integration.lane(&integration.lanes[0].destination)
    }

    /// Every lane as the stream of its events and its consumer there.
    #[must_use]
    pub fn lanes(&self) -> Vec<(String, String)> {
        let of = |integration: &IntegrationConfig| {
            let stream = events_stream(&integration.uid);
            let lane = |lane: &LaneConfig| (stream.clone(), integration.lane(&lane.destination).to_string());
            integration.lanes.iter().map(lane).collect::<Vec<_>>()
        };
        self.config.integrations.iter().flat_map(of).collect()
    }

    /// Writes what the worker is told, and the Secrets that it mounts.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let secrets = folder.join("secrets/hook");
        fs::create_dir_all(&secrets).map_err(file("make", &secrets))?;
        let (token, config) = (secrets.join("token"), folder.join("config.json"));
        fs::write(&token, "bench").map_err(file("write", &token))?;
        let text = serde_json::to_vec(&self.config).expect("plain types are writable as JSON");
        fs::write(&config, text).map_err(file("write", &config))
    }
}

/// The Destination. For T2 it takes several records as a JSON array.
fn destination(number: usize, url: &str, workload: Workload) -> Value {
    let mut spec = json!({ "provider": { "http": { "url": url } }, "delivery": { "timeout": "5s" } });
    if workload == Workload::T2 {
        spec["provider"]["http"]["format"] = json!("JsonArray");
        spec["batching"] = json!({ "maxItems": workload.batch(), "maxWait": "50ms" });
    }
    json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name(number) }, "spec": spec,
    })
}

/// The Integration. For R1 callers wait for its one destination's answer.
fn integration(place: usize, lanes: &[usize], workload: Workload) -> Value {
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    let destination = |number: &usize| json!({ "name": name(*number), "ref": name(*number), "transform": { "expression": TRANSFORM } });
    let address = json!({ "path": format!("/hooks/{place}"), "verification": { "bearer": { "tokens": [token] } } });
    let mut spec = json!({
        "event": { "type": "com.example.order.created" },
        "destinations": lanes.iter().map(destination).collect::<Vec<_>>(),
    });
    if workload == Workload::R1 {
        spec["source"] = json!({ "request": address });
    } else {
        spec["source"] = json!({ "webhook": address });
        spec["storage"] = json!({ "maxBytes": "256Mi" });
    }
    let metadata = json!({ "name": format!("orders-{place}") });
    json!({ "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": metadata, "spec": spec })
}

fn name(number: usize) -> String {
    format!("sink-{number}")
}

fn wrong(faults: Vec<Fault>) -> Error {
    Error::Manifest(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
