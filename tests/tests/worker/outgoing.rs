//! Ways out beside plain HTTP: signed webhooks, and streams on the same NATS.

use async_nats::jetstream::{self, stream};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ropeway_tests::{
    scene::{PATIENCE, SIGNING_KEY, Scene, webhook_to},
    wait::until,
};
use serde_json::json;
use sha2::Sha256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outgoing_webhook_is_signed_by_every_key_and_keeps_its_id_over_attempts() {
    let key = |key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": key } } });
    let mut scene = Scene::new(webhook_to(&["partner"])).await.expect("a scene");
    scene.account["provider"] = json!({ "webhook": { "signing": { "keys": [key("signing"), key("signing-next")] } } });
    scene.apply().await.expect("the account is described");
    scene.receiver.answer(|_, _, times| if times == 1 { 503 } else { 200 });
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store(["e".to_owned()]).await.expect("an event is stored");
    scene.arrived(2).await;
    let arrivals = scene.receiver.arrivals();
    let header = |index: usize, name: &str| arrivals[index].headers[name].to_str().expect("text").to_owned();
    assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
    for index in 0..2 {
        let signed =
            format!("{}.{}.{}", header(index, "webhook-id"), header(index, "webhook-timestamp"), r#"{"id":"e"}"#);
        let secret = BASE64_STANDARD.decode(SIGNING_KEY.trim_start_matches("whsec_")).expect("a key");
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length is a key");
        mac.update(signed.as_bytes());
        let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        let signatures = header(index, "webhook-signature");
        let signatures: Vec<&str> = signatures.split(' ').collect();
        assert_eq!((signatures.len(), signatures[0]), (2, expected.as_str()));
        assert!(signatures[1].starts_with("v1a,"), "{signatures:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_gets_nothing_more() {
    let key = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "signing" } } });
    let mut scene = Scene::new(webhook_to(&["partner"])).await.expect("a scene");
    scene.account["provider"] = json!({ "webhook": { "signing": { "keys": [key] } } });
    scene.account["rateLimit"] = json!({ "maxConcurrency": 1 });
    scene.apply().await.expect("the account is described");
    scene.receiver.answer(|_, _, _| 410);
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store((0..20).map(|number| format!("e-{number}"))).await.expect("events are stored");
    until("the status says so", PATIENCE, async || {
        let found = scene.condition("Healthy").await.map_err(|error| error.to_string())?;
        if found.1 == "DestinationGone" { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("the status says so");
    assert_eq!(scene.receiver.arrivals().len(), 1);
    assert!(scene.dead_letters("partner").await.expect("dead letters").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_on_the_same_nats_takes_records_in_once_each() {
    let mut scene = Scene::new(webhook_to(&["orders"])).await.expect("a scene");
    scene.account["provider"] = json!({ "nats": { "subject": "shop.orders" } });
    scene.apply().await.expect("the account is described");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.store((0..10).map(|number| format!("e-{number}"))).await.expect("events are stored");
    until("the lane says that no stream takes them in", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let lanes = observations.workers.iter().flat_map(|worker| &worker.lanes);
        let said = lanes.filter_map(|lane| lane.last_error.clone()).any(|error| error.message.contains("no stream"));
        if said { Ok(()) } else { Err("nothing said".to_owned()) }
    })
    .await
    .expect("the failure is reported");
    let client = ropeway_nats::connect(&ropeway_nats::Settings::open(scene.nats.url()), "test").await.expect("NATS");
    let context = jetstream::new(client);
    let config = stream::Config { name: "SHOP".into(), subjects: vec!["shop.>".into()], ..stream::Config::default() };
    let mut shop = context.create_stream(config).await.expect("a stream");
    scene.drained().await.expect("everything is settled");
    assert!(scene.dead_letters("orders").await.expect("dead letters").is_empty());
    assert_eq!(shop.info().await.expect("the stream").state.messages, 10);
    let message = shop.get_raw_message(1).await.expect("a message");
    assert_eq!(&message.payload[..6], br#"{"id":"#);
    assert!(message.headers.get("ce-id").is_some() && message.headers.get("Nats-Msg-Id").is_some());
}
