//! Segment's own SDK for Node.js: what it sends is what we send, and it is a client of our webhook.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::request::Parts};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use ropeway_tests::{
    port::serve,
    scene::{PATIENCE, Scene, http_client, webhook_to},
    wait::until,
};
use ropeway_worker::{map::Record, provider::Sending};
use serde_json::{Value, json};

use super::{records, script, vendor};

type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Runs the SDK against an address; the errors that it reports.
async fn sdk(base: &str) -> Value {
    let lines = script(vec!["clients.mjs".into(), "segment".into(), base.into()]).await;
    lines[0]["errors"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_sdk_sends_is_what_we_send() {
    let seen = Seen::default();
    let note = async |State(seen): State<Seen>, parts: Parts, Json(body): Json<Value>| {
        let proof = parts.headers["authorization"].to_str().expect("text").to_owned();
        seen.lock().expect("no panic").push((format!("{} {}", parts.method, parts.uri), proof, body));
        Json(json!({ "success": true }))
    };
    let address = serve(Router::new().fallback(note).with_state(Arc::clone(&seen))).await;
    let url = format!("http://{address}/segment");
    assert_eq!(sdk(&url).await, json!([]));
    let segment = vendor(json!({ "segment": { "url": url } }));
    let requests = std::mem::take(&mut *seen.lock().expect("no panic"));
    assert!(!requests.is_empty());
    for (target, proof, body) in requests {
        // Its user name is the write key, and there is no password.
        assert_eq!(proof, format!("Basic {}", BASE64_STANDARD.encode("write-key:")));
        let calls = body["batch"].as_array().expect("calls");
        let ours = records(&*segment, ".", calls);
        let ours: Vec<&Record> = ours.iter().collect();
        let now: Timestamp = body["sentAt"].as_str().expect("a time").parse().expect("a time");
        let secrets = ["write-key".to_owned()];
        let request = segment.request(&ours, Sending { now, secrets: &secrets }).expect("a request");
        assert_eq!(format!("{} {}", request.method, request.uri.path()), target);
        let made: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(made, body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_sdk_is_a_client_of_our_webhook() {
    let mut spec = webhook_to(&["crm"]);
    let proof = json!({ "valueFrom": { "secretKeyRef": { "name": "segment", "key": "authorization" } } });
    spec["source"]["webhook"] = json!({
        "path": "/hook/v1/batch", "split": "/batch",
        "verification": { "apiKey": { "in": "Header", "name": "Authorization", "values": [proof] } },
    });
    spec["event"]["id"] = json!("string!(.messageId)");
    spec["destinations"][0]["transform"] = json!({ "expression": r#"{ "id": .messageId }"# });
    let authorization = format!("Basic {}", BASE64_STANDARD.encode("write-key:"));
    let scene = Scene::with_secrets(spec, &[("segment", "authorization", &authorization)]).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    until("the webhook is open", PATIENCE, async || {
        match http_client().post(format!("{}/v1/batch", worker.url)).body("{}").send().await {
            Ok(answer) if answer.status() != 503 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("it opens");
    assert_eq!(sdk(&worker.url).await, json!([]));
    scene.drained().await.expect("everything is settled");
    let arrived = scene.receiver.ids("crm");
    assert_eq!(arrived.len(), 28, "{arrived:?}");
}
