//! What a webhook takes in: bodies with many events, vendors' handshakes, CloudEvents in every form, and a full stream.

use std::collections::BTreeSet;

use ropeway_tests::{
    scene::{PATIENCE, Scene, TOKEN, Worker, http_client, post, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

fn token() -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } })
}

/// A scene with one worker whose webhook is open.
async fn open(spec: Value) -> (Scene, Worker) {
    let scene = Scene::new(spec).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    until("the webhook is open", PATIENCE, async || {
        // Nothing that is verified: only whether the wish was heard.
        match client.post(&worker.url).body("{}").send().await.map(|answer| answer.status().as_u16()) {
            Ok(503) | Err(_) => Err("closed".to_owned()),
            Ok(_) => Ok(()),
        }
    })
    .await
    .expect("the webhook opens when the wish is heard");
    (scene, worker)
}

async fn send(url: &str, content_type: &str, body: &str) -> (u16, Value) {
    let request = http_client().post(url).bearer_auth(TOKEN).header("content-type", content_type);
    let answer = request.body(body.to_owned()).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default())
}

fn ids(answer: &Value) -> Vec<(String, bool)> {
    let event = |event: &Value| (event["id"].as_str().unwrap_or_default().into(), event["duplicate"] == true);
    answer["events"].as_array().into_iter().flatten().map(event).collect()
}

#[tokio::test]
async fn a_body_with_many_events_is_stored_all_or_none_and_a_repeat_makes_none() {
    let mut spec = webhook_to(&["a"]);
    spec["source"]["webhook"]["split"] = json!("/events");
    let (scene, worker) = open(spec).await;
    let body =
        |ids: &[&str]| json!({ "events": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() }).to_string();
    let (status, answer) = send(&worker.url, "application/json", &body(&["1", "2", "3"])).await;
    assert_eq!((status, ids(&answer)), (200, [("1".into(), false), ("2".into(), false), ("3".into(), false)].into()));
    // Put together in another way: what is known is a repeat, the rest is new.
    let (status, answer) = send(&worker.url, "application/json", &body(&["3", "4"])).await;
    assert_eq!((status, ids(&answer)), (200, [("3".into(), true), ("4".into(), false)].into()));
    // One that can be no event takes the others with it.
    let (status, answer) = send(&worker.url, "application/json", r#"{"events":[{"id":"5"},7]}"#).await;
    assert_eq!((status, answer["error"].is_string()), (400, true));
    assert_eq!(send(&worker.url, "application/json", r#"{"events":{}}"#).await.0, 400);
    assert_eq!(send(&worker.url, "application/x-www-form-urlencoded", "a=1").await.0, 415);
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(observations.figures.last_sequence, 4);
    let expected: BTreeSet<String> = ["1", "2", "3", "4"].map(str::to_owned).into();
    assert_eq!(scene.receiver.ids("a"), expected);
}

#[tokio::test]
async fn more_events_than_one_batch_of_the_server_holds_are_stored() {
    let mut spec = webhook_to(&["a"]);
    spec["source"]["webhook"]["split"] = json!("");
    spec["source"]["webhook"]["maxBodyBytes"] = json!("4Mi");
    let (scene, worker) = open(spec).await;
    let events: Vec<Value> = (0..2_300).map(|id| json!({ "id": id.to_string() })).collect();
    let (status, answer) = send(&worker.url, "application/json", &json!(events).to_string()).await;
    assert_eq!((status, ids(&answer).len()), (200, 2_300));
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a").len(), 2_300);
}

#[tokio::test]
async fn cloud_events_come_in_three_forms() {
    let mut spec = webhook_to(&["a"]);
    spec["event"] = json!({});
    spec["destinations"][0]["transform"] = json!({ "expression": "{ \"id\": %event.id, \"type\": %event.type }" });
    let (scene, worker) = open(spec).await;
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": { "a": 1 } });
    let binary = http_client().post(&worker.url).bearer_auth(TOKEN).header("content-type", "application/json");
    let binary = binary.header("ce-id", "1").header("ce-source", "/s").header("ce-type", "t").body("{}").send().await;
    assert_eq!(binary.expect("an answer").status().as_u16(), 200);
    assert_eq!(send(&worker.url, "application/cloudevents+json", &event("2").to_string()).await.0, 200);
    let batch = json!([event("3"), event("4")]).to_string();
    assert_eq!(send(&worker.url, "application/cloudevents-batch+json; charset=utf-8", &batch).await.0, 200);
    assert_eq!(send(&worker.url, "application/cloudevents-batch+json", "[{}]").await.0, 400);
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a"), ["1", "2", "3", "4"].map(str::to_owned).into());
}

#[tokio::test]
async fn the_cloud_events_handshake_is_answered_for_allowed_origins_alone() {
    let mut spec = webhook_to(&["a"]);
    spec["source"]["webhook"]["allowedOrigins"] = json!(["events.example.com"]);
    let (_scene, worker) = open(spec).await;
    let ask = async |origin: Option<&str>| {
        let mut request = http_client().request(reqwest::Method::OPTIONS, &worker.url);
        if let Some(origin) = origin {
            request = request.header("WebHook-Request-Origin", origin);
        }
        let answer = request.send().await.expect("an answer");
        let allowed =
            answer.headers().get("webhook-allowed-origin").map(|value| value.to_str().unwrap_or("").to_owned());
        (answer.status().as_u16(), allowed)
    };
    assert_eq!(ask(Some("events.example.com")).await, (200, Some("events.example.com".into())));
    assert_eq!(ask(Some("evil.example.com")).await, (403, None));
    assert_eq!(ask(None).await, (403, None));
}

#[tokio::test]
async fn vendors_that_try_an_address_out_are_answered_and_make_no_event() {
    use ropeway_cli::send::{Proof, Signer, send};
    let handshakes = [
        (
            "slack",
            Signer::Slack,
            r#"{"type":"url_verification","challenge":"c-1"}"#,
            r#"{"type":"event_callback","event_id":"Ev1","id":"1"}"#,
        ),
        (
            "greenhouse",
            Signer::Greenhouse,
            r#"{"action":"ping","payload":{}}"#,
            r#"{"action":"hire_candidate","id":"1"}"#,
        ),
    ];
    for (vendor, signer, greeting, event) in handshakes {
        let mut spec = webhook_to(&["a"]);
        spec["source"]["webhook"]["verification"] = json!({ vendor: { "secrets": [token()] } });
        let (scene, worker) = open(spec).await;
        let proof = Proof::Signed(signer, TOKEN.into());
        let both = [greeting.to_owned(), event.to_owned()];
        let sent = send(&http_client(), &worker.url, &proof, &both).await.expect("both get a 2xx");
        assert_eq!(sent.accepted, 2, "{vendor}");
        let observations = scene.drained().await.expect("everything is settled");
        assert_eq!(observations.figures.last_sequence, 1, "{vendor}: the greeting was stored");
        let unsigned = http_client().post(&worker.url).body(greeting).send().await.expect("an answer");
        assert_eq!(unsigned.status().as_u16(), 401, "{vendor}: a greeting is verified like any request");
    }
}

#[tokio::test]
async fn a_full_stream_refuses_with_retry_after_keeps_what_it_has_and_recovers() {
    let mut spec = webhook_to(&["a"]);
    spec["storage"] = json!({ "maxBytes": "1Mi" });
    spec["state"] = json!("Paused");
    let (mut scene, worker) = open(spec).await;
    let client = http_client();
    let large = |id: usize| json!({ "id": id.to_string(), "filler": "x".repeat(100_000) }).to_string();
    let mut accepted = BTreeSet::new();
    let refused = loop {
        let id = accepted.len();
        let answer = client.post(&worker.url).bearer_auth(TOKEN).body(large(id)).send().await.expect("an answer");
        if answer.status().as_u16() != 200 {
            break answer;
        }
        accepted.insert(id.to_string());
        assert!(accepted.len() < 100, "the stream never fills up");
    };
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
    until("the condition says so", PATIENCE, async || {
        match scene.condition("SourceReady").await.map_err(|error| error.to_string())? {
            (status, reason) if status == "False" && reason == "StoreFailed" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the condition comes");
    scene.wish(ropeway_crds::integration::State::Running).await.expect("a wish");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.ids("a"), accepted, "something older was dropped");
    assert_eq!(post(&client, &worker.url, "after").await, Some(200));
    until("the condition recovers", PATIENCE, async || {
        match scene.condition("SourceReady").await.map_err(|error| error.to_string())? {
            (status, _) if status == "True" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the condition recovers");
}
