//! The mode Shadow: everything but the sending.

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_everything_is_counted_and_the_last_of_it_can_be_seen_without_credentials() {
    let mut spec = webhook_to(&["crm"]);
    spec["mode"] = json!("Shadow");
    spec["destinations"][0]["filter"] = json!("starts_with(string!(.id), \"e\")");
    spec["destinations"][0]["transform"] = json!({ "expression": "{ \"name\": .id }" });
    let mut scene = Scene::new(spec).await.expect("a scene");
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    scene.account["auth"] = json!({ "apiKey": { "in": "Query", "name": "key", "value": token } });
    scene.apply().await.expect("the account is described");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let ids = (0..150).map(|number| format!("e-{number}")).chain(["other".to_owned()]);
    scene.store(ids).await.expect("events are stored");
    until("all are counted", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let counts = observations.figures.counts.get("crm").copied().unwrap_or_default();
        let seen = (counts.shadowed, counts.filtered, counts.delivered);
        if seen == (150, 1, 0) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await
    .expect("all are counted");
    assert!(scene.receiver.arrivals().is_empty(), "something was sent");
    let names = &scene.plan.jetstream.names;
    let subject = names.shadow(&scene.plan.jetstream.integration, &scene.plan.jetstream.lanes[0].lane);
    let (mut kept, mut from) = (0, 1);
    while let Some(request) =
        scene.jetstream.next_message(&names.shadow_stream(), &subject, from).await.expect("an answer")
    {
        from = request.sequence + 1;
        kept += 1;
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("a record");
        assert!(body["name"].as_str().is_some_and(|name| name.starts_with("e-")), "{body}");
        let target = request.headers.get("Ropeway-Shadow-Target").expect("a target").as_str();
        assert!(target.starts_with("POST http://127.0.0.1:") && !target.contains("key="), "{target}");
        assert!(!format!("{:?}", request.headers).contains(ropeway_tests::scene::TOKEN), "a credential was kept");
    }
    assert_eq!(kept, 100, "a look at the last of it");
}
