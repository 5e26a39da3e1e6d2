//! Values that are no secrets and come from a ConfigMap: followed without a restart, and waited for where they are missing.

use std::time::Duration;

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_out_of_a_config_map_is_followed_and_waited_for() {
    let from = |key: &str| json!({ "valueFrom": { "configMapKeyRef": { "name": "settings", "key": key } } });
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    scene.set_config_map("settings", "team", "growth\n").expect("it is written");
    scene.set_config_map("settings", "user", "robot").expect("it is written");
    let mut header = from("team");
    header["name"] = json!("X-Team");
    scene.account["provider"] = json!({ "http": { "headers": [header] } });
    scene.account["auth"] = json!({ "basic": { "username": from("user") } });
    scene.apply().await.expect("the account is described");
    let mut worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(["first".to_owned()]).await.expect("an event is stored");
    scene.arrived(1).await;
    let said =
        |index: usize, name: &str| scene.receiver.arrivals()[index].headers[name].to_str().expect("text").to_owned();
    assert_eq!((said(0, "x-team").as_str(), said(0, "authorization").as_str()), ("growth", "Basic cm9ib3Q6"));

    scene.set_config_map("settings", "team", "sales").expect("it is written");
    // What is read is at most two seconds old.
    let mut sent = 1;
    until("the new value is in use", Duration::from_secs(30), async || {
        scene.store([format!("again-{sent}")]).await.map_err(|error| error.to_string())?;
        sent += 1;
        scene.arrived(sent).await;
        let said = scene.receiver.arrivals()[sent - 1].headers["x-team"].to_str().unwrap_or_default().to_owned();
        if said == "sales" { Ok(()) } else { Err(said) }
    })
    .await
    .expect("it is followed");

    scene.unset_config_map("settings", "user").expect("it is removed");
    // What was read before may be used for two more seconds.
    until("the status says why", PATIENCE, async || {
        scene.store([format!("again-{sent}")]).await.map_err(|error| error.to_string())?;
        sent += 1;
        let status = scene.status().await.map_err(|error| error.to_string())?;
        let told = format!("{:?}", status.conditions);
        let named = told.contains("the key user of the ConfigMap settings is missing");
        if named { Ok(()) } else { Err(told) }
    })
    .await
    .expect("it is told");
    let before = scene.receiver.arrivals().len();
    assert!(before < sent, "nothing may be sent without it");
    scene.set_config_map("settings", "user", "other").expect("it is written");
    scene.arrived(sent).await;
    for arrival in &scene.receiver.arrivals()[before..] {
        assert_eq!(arrival.headers["authorization"], "Basic b3RoZXI6");
    }
    assert!(scene.dead_letters("crm").await.expect("the server answers").is_empty());
    worker.process.check().expect("nothing may need a restart");
}
