//! V1: how fast a full stream is emptied into each vendor by full requests, beside the plain `http` provider with a hundred
//! records in a JSON array.

use serde_json::{Value, json};

use crate::{
    Error,
    args::RunArgs,
    control::Sink,
    golden::{self, Golden},
    results::{Figure, Origin},
    rounds::Rounds,
    scene::Scene,
    throughput::{METRICS, Sample, emptied},
    variant::launch_worker,
    workload::Workload,
};

/// What is measured; the first is what the others are compared with.
const PROVIDERS: [&str; 8] = ["http", "braze", "segment", "hubspot", "salesforce", "ga4", "mixpanel", "amplitude"];

/// Empties the stream into each of them, in rounds.
///
/// # Errors
/// When a record is lost, comes twice or can't be read.
pub async fn measure(args: &RunArgs, sink: &Sink, origin: &Origin) -> Result<Vec<Figure>, Error> {
    let folder = golden::scratch()?;
    // The streams, and the names in them, are the same for all.
    let (spec, transform) = account("http", sink);
    let golden = Golden::fill(&Scene::of(folder.path(), &spec, transform)?, args.events).await?;
    let once = async |place: usize| once(PROVIDERS[place], args, sink, &golden).await;
    Rounds::of(Workload::V1, args.pairs, &PROVIDERS).measure(&METRICS, origin, once).await
}

async fn once(name: &str, args: &RunArgs, sink: &Sink, golden: &Golden) -> Result<Sample, Error> {
    let folder = golden::scratch()?;
    let (spec, transform) = account(name, sink);
    let scene = Scene::of(folder.path(), &spec, transform)?;
    let server = golden.server(&folder.path().join("nats")).await?;
    scene.apply(&server).await?;
    sink.begin().await?;
    let process = launch_worker(&server, &scene, &args.worker, folder.path())?.start(folder.path())?;
    let (sample, report) = emptied(process, args.events, sink, &server, &scene).await?;
    if (report.records, report.duplicates, report.unreadable) != (args.events, 0, 0) {
        let found = format!("{name}: {report:?}, and not {} records", args.events);
        return Err(Error::Delivery { variant: "ropeway", found });
    }
    Ok(sample)
}

/// The Destination and the mapping. A record is small: what is compared is what a provider adds.
fn account(name: &str, sink: &Sink) -> (Value, &'static str) {
    let secret = || json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    let bearer = || json!({ "bearer": { "token": secret() } });
    let url = sink.vendor(name);
    let (provider, auth, transform) = match name {
        "http" => (
            json!({ "url": sink.takes(0), "format": "JsonArray" }),
            bearer(),
            r#"{ "event_id": .id, "occurred_at": .occurred_at, "total": .total_cents }"#,
        ),
        "braze" => (
            json!({ "url": url }),
            bearer(),
            r#"{ "events": [{ "external_id": .customer.id, "name": "ordered", "time": "2026-11-28T09:00:00Z",
                "event_id": .id, "occurred_at": .occurred_at, "properties": { "total": .total_cents } }] }"#,
        ),
        "segment" => (
            json!({ "url": url }),
            json!({ "basic": { "username": secret() } }),
            r#"{ "type": "track", "userId": .customer.id, "event": "ordered", "timestamp": "2026-11-28T09:00:00Z",
                "event_id": .id, "occurred_at": .occurred_at, "properties": { "total": .total_cents } }"#,
        ),
        "hubspot" => (
            json!({ "url": url, "object": "deals", "idProperty": "event_id" }),
            bearer(),
            r#"{ "properties": { "event_id": .id, "occurred_at": .occurred_at, "total": .total_cents } }"#,
        ),
        "salesforce" => (
            json!({ "instanceUrl": url, "object": "Order", "externalIdField": "event_id" }),
            bearer(),
            r#"{ "event_id": .id, "occurred_at": .occurred_at, "total": .total_cents }"#,
        ),
        "ga4" => (
            json!({ "url": url, "measurementId": "G-A1" }),
            json!({ "apiKey": { "in": "Query", "name": "api_secret", "value": secret() } }),
            r#"{ "client_id": .customer.id, "events": [{ "name": "ordered",
                "params": { "event_id": .id, "occurred_at": .occurred_at, "total": .total_cents } }] }"#,
        ),
        "mixpanel" => (
            json!({ "url": url, "projectId": 7 }),
            json!({ "basic": { "username": { "value": "u" }, "password": secret() } }),
            r#"{ "event": "ordered", "properties": { "distinct_id": .customer.id, "time": 1795856400,
                "event_id": .id, "occurred_at": .occurred_at, "total": .total_cents } }"#,
        ),
        _ => (
            json!({ "url": url, "minIdLength": 1 }),
            json!({ "apiKey": { "in": "Body", "name": "api_key", "value": secret() } }),
            r#"{ "event_type": "ordered", "user_id": .customer.id, "time": 1795856400000,
                "event_id": .id, "occurred_at": .occurred_at, "event_properties": { "total": .total_cents } }"#,
        ),
    };
    let mut spec = json!({ "provider": { name: provider }, "auth": auth, "delivery": { "timeout": "5s" } });
    if name != "ga4" {
        spec["batching"] = json!({ "maxWait": "50ms" });
    }
    (spec, transform)
}
