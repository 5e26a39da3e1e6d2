//! The webhook against a real stream: 2xx means stored.

use ropeway_tests::scene::{Scene, TOKEN, http_client, post, webhook_to};
use serde_json::json;

#[tokio::test]
async fn a_sender_sees_503_while_nats_is_down_and_2xx_only_when_the_event_is_stored() {
    let mut scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    ropeway_tests::wait::until("the webhook is open", ropeway_tests::scene::PATIENCE, async || {
        match post(&client, &worker.url, "first").await {
            Some(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the webhook opens when the wish is heard");
    scene.nats.stop().await;
    let request = client.post(&worker.url).bearer_auth(TOKEN).body(json!({ "id": "second" }).to_string());
    let answer = request.send().await.expect("the worker answers");
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    scene.nats.restart().await.expect("nats-server starts again");
    ropeway_tests::wait::until("the webhook recovers", ropeway_tests::scene::PATIENCE, async || {
        match post(&client, &worker.url, "second").await {
            Some(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the webhook recovers by itself");
    scene.drained().await.expect("everything is settled");
    let arrived: Vec<String> = scene.receiver.ids("a").into_iter().collect();
    assert_eq!(arrived, ["first", "second"]);
}

#[tokio::test]
async fn what_is_not_an_event_or_not_verified_gets_its_status_and_is_not_stored() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    ropeway_tests::wait::until("the webhook is open", ropeway_tests::scene::PATIENCE, async || {
        match post(&client, &worker.url, "good").await {
            Some(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the webhook opens");
    let status = async |token: &str, body: String| {
        let answer = client.post(&worker.url).bearer_auth(token).body(body).send().await.expect("an answer");
        answer.status().as_u16()
    };
    assert_eq!(status("wrong", json!({ "id": "x" }).to_string()).await, 401);
    assert_eq!(status(TOKEN, "not json".into()).await, 400);
    assert_eq!(status(TOKEN, "[1, 2]".into()).await, 400);
    assert_eq!(status(TOKEN, format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))).await, 400);
    assert_eq!(status(TOKEN, format!("{{\"id\":\"{}\"}}", "x".repeat(300_000))).await, 413);
    assert_eq!(client.get(&worker.url).send().await.expect("an answer").status().as_u16(), 405);
    let elsewhere = worker.url.replace("/hook", "/other");
    assert_eq!(client.post(elsewhere).send().await.expect("an answer").status().as_u16(), 404);
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(observations.figures.last_sequence, 1, "something else than the good event was stored");
}

#[tokio::test]
async fn a_sender_that_repeats_an_event_makes_one_delivery() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    ropeway_tests::wait::until("three 2xx for one event", ropeway_tests::scene::PATIENCE, async || {
        let mut accepted = 0;
        for _ in 0..3 {
            accepted += usize::from(post(&client, &worker.url, "same").await == Some(200));
        }
        if accepted == 3 { Ok(()) } else { Err(format!("{accepted}")) }
    })
    .await
    .expect("a repeat gets its 2xx");
    scene.drained().await.expect("everything is settled");
    assert_eq!(scene.receiver.accepted("a").get("same"), Some(&1));
}
