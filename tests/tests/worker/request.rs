//! Callers that wait: they get the destination's answer, or a problem that says what went wrong.

use std::time::Duration;

use ropeway_tests::{
    receiver::Reply,
    scene::{PATIENCE, Scene, TOKEN, Worker, http_client},
    wait::until,
};
use serde_json::{Value, json};

fn asking() -> Value {
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    json!({
        "source": { "request": {
            "path": "/hook", "timeout": "2s", "verification": { "bearer": { "tokens": [token] } },
            "reply": { "expression": "{ \"status\": .status, \"echo\": .body.id }" },
        } },
        "event": { "id": "string!(.id)" },
        "destinations": [{
            "name": "a", "ref": "a", "filter": "!is_null(.id)",
            "transform": { "expression": "{ \"id\": string!(.id), \"n\": int!(.n) }" },
        }],
    })
}

async fn open(scene: &Scene) -> Worker {
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    until("the address is open", PATIENCE, async || match ask(&worker.url, "{\"n\":1}", None).await.status {
        503 => Err("closed".to_owned()),
        _ => Ok(()),
    })
    .await
    .expect("the address opens when the wish is heard");
    worker
}

struct Told {
    status: u16,
    content_type: String,
    retry_after: Option<u64>,
    body: Value,
}

async fn ask(url: &str, body: &str, key: Option<&str>) -> Told {
    let mut request = http_client().post(url).bearer_auth(TOKEN).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let Ok(answer) = request.body(body.to_owned()).send().await else {
        return Told { status: 503, content_type: String::new(), retry_after: None, body: Value::Null };
    };
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, content_type) = (answer.status().as_u16(), header("content-type").unwrap_or_default());
    let retry_after = header("retry-after").and_then(|value| value.parse().ok());
    let body = serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default();
    Told { status, content_type, retry_after, body }
}

#[tokio::test]
async fn a_caller_gets_the_destinations_answer_as_reply_makes_it_and_its_own_key_goes_along() {
    let scene = Scene::new(asking()).await.expect("a scene");
    scene.receiver.reply(|asked| Reply {
        status: 201,
        headers: vec![("content-type", "application/json".into())],
        body: json!({ "id": format!("vendor-{}", asked.ids.len()) }).to_string(),
        ..Reply::default()
    });
    let worker = open(&scene).await;
    let told = ask(&worker.url, r#"{"id":"1","n":1}"#, Some("callers-own")).await;
    assert_eq!((told.status, told.body), (200, json!({ "status": 201, "echo": "vendor-1" })));
    let arrivals = scene.receiver.arrivals();
    let key = arrivals.last().and_then(|arrival| arrival.headers.get("idempotency-key"));
    assert_eq!(key.and_then(|key| key.to_str().ok()), Some("callers-own"));
    let filtered = ask(&worker.url, r#"{"n":1}"#, None).await;
    assert_eq!((filtered.status, filtered.body), (204, Value::Null));
}

#[tokio::test]
async fn what_goes_wrong_is_a_problem_that_says_what_and_counts_add_up() {
    let scene = Scene::new(asking()).await.expect("a scene");
    scene.receiver.reply(|asked| match asked.ids.first().map(String::as_str) {
        Some("down") => Reply { status: 503, ..Reply::default() },
        Some("refused") => Reply { status: 422, ..Reply::default() },
        Some("slow") => Reply { delay: Duration::from_secs(10), ..200.into() },
        Some("limited") => Reply { status: 429, headers: vec![("retry-after", "2".into())], ..Reply::default() },
        _ => 200.into(),
    });
    let worker = open(&scene).await;
    let cases = [
        (r#"{"id":"down","n":1}"#, 502, json!(503)),
        (r#"{"id":"refused","n":1}"#, 502, json!(422)),
        (r#"{"id":"slow","n":1}"#, 504, Value::Null),
        (r#"{"id":"x","n":"one"}"#, 422, Value::Null),
        ("[1]", 400, Value::Null),
        ("nope", 400, Value::Null),
        (r#"{"id":"limited","n":1}"#, 429, Value::Null),
    ];
    for (body, status, code) in cases {
        let told = ask(&worker.url, body, None).await;
        assert_eq!((told.status, &told.body["destinationStatus"]), (status, &code), "{body}: {}", told.body);
        assert_eq!(told.content_type, "application/problem+json", "{body}");
        assert_eq!(told.body["status"], status, "{body}");
        assert!(told.body["title"].is_string() && told.body["detail"].is_string(), "{body}: {}", told.body);
        assert_eq!(told.retry_after.is_some(), status == 429, "{body}");
    }
    let unverified = http_client().post(&worker.url).body("{}").send().await.expect("an answer");
    assert_eq!(unverified.status().as_u16(), 401);
    let status = until("the counts have arrived", PATIENCE, async || {
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let delivery = status.delivery.clone().unwrap_or_default();
        if delivery.rejected == 1 && delivery.failed == 4 { Ok(status) } else { Err(format!("{delivery:?}")) }
    })
    .await
    .expect("the counts come");
    let delivery = status.delivery.expect("counts");
    let ends = delivery.delivered + delivery.filtered + delivery.rejected + delivery.failed;
    assert_eq!((delivery.received, delivery.pending, delivery.dead_lettered), (ends, 0, 0), "{delivery:?}");
    assert_eq!(status.pattern.as_deref(), Some("Request"));
    assert!(scene.dead_letters("a").await.expect("dead letters").is_empty());
}

#[tokio::test]
async fn a_paused_address_and_an_open_circuit_answer_503() {
    let mut scene = Scene::new(asking()).await.expect("a scene");
    scene.account = json!({ "circuitBreaker": { "failureThreshold": 2, "openDuration": "60s" } });
    scene.apply().await.expect("applied");
    scene.receiver.reply(|_| Reply { status: 503, ..Reply::default() });
    let worker = open(&scene).await;
    for _ in 0..2 {
        assert_eq!(ask(&worker.url, r#"{"id":"1","n":1}"#, None).await.status, 502);
    }
    let told = ask(&worker.url, r#"{"id":"1","n":1}"#, None).await;
    assert_eq!((told.status, told.retry_after.is_some()), (503, true), "{}", told.body);
    assert!(told.body["detail"].as_str().is_some_and(|detail| detail.contains("circuit")), "{}", told.body);
    scene.wish(ropeway_crds::integration::State::Paused).await.expect("a wish");
    until("the pause is felt", PATIENCE, async || {
        let told = ask(&worker.url, r#"{"n":1}"#, None).await;
        if told.status == 503 { Ok(()) } else { Err(told.status.to_string()) }
    })
    .await
    .expect("a paused address answers 503");
}

#[tokio::test]
async fn a_request_tries_whether_a_destination_answers_again_and_closes_the_circuit() {
    let mut scene = Scene::new(asking()).await.expect("a scene");
    scene.account = json!({ "circuitBreaker": { "failureThreshold": 2, "openDuration": "1s" } });
    scene.apply().await.expect("applied");
    scene.receiver.reply(|_| Reply { status: 503, ..Reply::default() });
    let worker = open(&scene).await;
    let status = async || ask(&worker.url, r#"{"id":"1","n":1}"#, None).await.status;
    until("the circuit opens", PATIENCE, async || match status().await {
        503 => Ok(()),
        other => Err(other.to_string()),
    })
    .await
    .expect("the circuit opens");
    scene.receiver.reply(|_| 200.into());
    until("the circuit closes", PATIENCE, async || match status().await {
        200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await
    .expect("a request is the trial, since there is no event that a lane could take");
    assert_eq!(status().await, 200, "the circuit is closed for all");
}
