//! Each provider in a worker, against the vendor that the sink plays: every record becomes what the vendor makes of it.

use std::collections::BTreeSet;

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

use super::{VENDORS, sink};

/// Events of a round.
const EVENTS: usize = 240;

/// The provider, the credentials and the mapping of each vendor. An event is `{ id }`.
fn account(name: &str, url: &str) -> (Value, Value, &'static str) {
    let secret = || json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    let bearer = || json!({ "bearer": { "token": secret() } });
    match name {
        "braze" => (
            json!({ "url": url }),
            bearer(),
            r#"{ "attributes": [{ "external_id": .id }],
                 "events": [{ "external_id": .id, "name": "e", "time": "2026-11-02T09:30:00Z" }] }"#,
        ),
        "segment" => (
            json!({ "url": url }),
            json!({ "basic": { "username": secret() } }),
            r#"{ "type": "track", "userId": .id, "event": "e" }"#,
        ),
        "hubspot" => (
            json!({ "url": url, "object": "contacts", "idProperty": "email" }),
            bearer(),
            r#"{ "properties": { "email": "a@" + string!(.id) } }"#,
        ),
        "salesforce" => (
            json!({ "instanceUrl": url, "object": "Lead", "externalIdField": "Ext__c" }),
            bearer(),
            r#"{ "Ext__c": .id, "LastName": "Lovelace" }"#,
        ),
        "ga4" => (
            json!({ "url": url, "measurementId": "G-A1", "validate": true }),
            json!({ "apiKey": { "in": "Query", "name": "api_secret", "value": secret() } }),
            r#"{ "client_id": .id, "events": [{ "name": "e" }] }"#,
        ),
        "mixpanel" => (
            json!({ "url": url, "projectId": 7 }),
            json!({ "basic": { "username": { "value": "u" }, "password": secret() } }),
            r#"{ "event": "e", "properties": { "distinct_id": .id, "time": 1793611800 } }"#,
        ),
        _ => (
            json!({ "url": url, "minIdLength": 1 }),
            json!({ "apiKey": { "in": "Body", "name": "api_key", "value": secret() } }),
            r#"{ "event_type": "e", "user_id": .id }"#,
        ),
    }
}

async fn scene(name: &str, url: &str) -> Scene {
    let (provider, auth, transform) = account(name, url);
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.account["provider"] = json!({ name: provider });
    scene.account["auth"] = auth;
    if name == "ga4" {
        // Two requests for each record, and one at a time.
        scene.account["rateLimit"] = json!({ "maxConcurrency": 1 });
    } else {
        scene.account["batching"] = json!({ "maxItems": 50, "maxWait": "500ms" });
    }
    scene.spec["destinations"][0]["transform"] = json!({ "expression": transform });
    scene.apply().await.expect("the account is described");
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_becomes_what_the_vendor_makes_of_it() {
    let (sink, address) = sink("7").await;
    for (name, ..) in VENDORS {
        let scene = scene(name, &format!("http://{address}/{name}")).await;
        let ids: Vec<String> = (0..EVENTS).map(|number| format!("e-{number}")).collect();
        scene.store(ids.iter().cloned()).await.expect("events are stored");
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        scene.drained().await.expect("everything is settled");
        let refused: BTreeSet<String> = ids.iter().filter(|id| id.ends_with('7')).cloned().collect();
        // Segment answers 200 and drops: what its rules don't tell beforehand nobody can know.
        let told = if name == "segment" { BTreeSet::new() } else { refused.clone() };
        assert_eq!(scene.dead_letters("crm").await.expect("dead letters"), told, "{name}");
        let memory = sink.memory(name);
        let once = memory.accepted.values().all(|times| *times == 1);
        let counted = (memory.accepted.len(), once);
        assert_eq!(counted, (EVENTS - refused.len(), true), "{name}: {memory:?}");
        let most = if name == "ga4" { 2 * EVENTS } else { 30 };
        assert!(memory.requests <= most as u64, "{name}: {} requests for {EVENTS} events", memory.requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_vendor_would_drop_is_a_dead_letter_and_is_never_sent() {
    let (sink, address) = sink("nobody-is-refused").await;
    let mut scene = scene("segment", &format!("http://{address}/segment")).await;
    let transform = r#"if .id == "e-3" { { "type": "track", "event": "e" } } else { { "type": "track", "userId": .id, "event": "e" } }"#;
    scene.spec["destinations"][0]["transform"]["expression"] = json!(transform);
    scene.apply().await.expect("the mapping is described");
    scene.store((0..5).map(|number| format!("e-{number}"))).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(observations.figures.reasons["InvalidRecord"], 1);
    assert_eq!(scene.dead_letters("crm").await.expect("dead letters"), BTreeSet::from(["e-3".to_owned()]));
    let memory = sink.memory("segment");
    assert_eq!((memory.accepted.len(), memory.refused.len()), (4, 0));
    until("the next report says why", PATIENCE, async || {
        let observed = scene.observe().await.map_err(|error| error.to_string())?;
        let mut said =
            observed.workers.iter().flat_map(|report| &report.lanes).filter_map(|lane| lane.last_error.clone());
        let words = "userId and anonymousId are missing";
        if said.any(|error| error.message.contains(words)) { Ok(()) } else { Err("nothing yet".to_owned()) }
    })
    .await
    .expect("it does");
}

/// Two events about one object in one batch: HubSpot refuses a request that has both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_about_one_object_never_share_a_request() {
    let (sink, address) = sink("nobody-is-refused").await;
    let mut scene = scene("hubspot", &format!("http://{address}/hubspot")).await;
    let transform = r#"{ "properties": { "email": "ada@example.com", "step": .id } }"#;
    scene.spec["destinations"][0]["transform"]["expression"] = json!(transform);
    scene.apply().await.expect("the mapping is described");
    scene.store((0..6).map(|number| format!("e-{number}"))).await.expect("events are stored");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    let memory = sink.memory("hubspot");
    assert_eq!((memory.accepted["ada@example.com"], memory.requests), (6, 6));
}
