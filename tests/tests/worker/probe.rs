//! `Destination.spec.probe`: refused credentials hold the Destination before an event is spent on them, and accepted ones let
//! it go on; however many workers there are, one of them asks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::json;

async fn healthy(scene: &Scene, wanted: (&str, &str)) {
    until(&format!("Healthy is {wanted:?}"), PATIENCE, async || {
        let found = scene.condition("Healthy").await.map_err(|error| error.to_string())?;
        if (found.0.as_str(), found.1.as_str()) == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_is_refused_holds_the_destination_and_one_that_is_accepted_lets_it_go_on() {
    let mut scene = Scene::new(webhook_to(&["crm"])).await.expect("a scene");
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
    scene.account["auth"] = json!({ "bearer": { "token": token } });
    scene.account["probe"] = json!({ "path": "/me?verbose=1", "expect": ["204"], "interval": "10s" });
    scene.apply().await.expect("the account is described");
    let status = Arc::new(AtomicU16::new(401));
    let answer = Arc::clone(&status);
    scene.receiver.reply(move |asked| match asked.destination {
        "me" => answer.load(Ordering::Relaxed).into(),
        _ => 200.into(),
    });
    let _workers = [
        scene.start_worker("first", None).await.expect("a worker starts"),
        scene.start_worker("second", None).await.expect("a worker starts"),
    ];
    healthy(&scene, ("False", "CredentialsRefused")).await;
    scene.store(["e".to_owned()]).await.expect("an event is stored");
    let probes =
        || scene.receiver.arrivals().into_iter().filter(|arrival| arrival.destination == "me").collect::<Vec<_>>();
    let first = probes().remove(0);
    assert_eq!((first.query.as_str(), first.body.len()), ("verbose=1", 0));
    assert_eq!(first.headers["authorization"], format!("Bearer {}", ropeway_tests::scene::TOKEN));

    // Neither a vendor that fails nor one that is busy says anything about the credentials.
    status.store(503, Ordering::Relaxed);
    let before = probes().len();
    until(
        "it was asked again",
        PATIENCE,
        async || {
            if probes().len() > before { Ok(()) } else { Err("not yet".to_owned()) }
        },
    )
    .await
    .expect("it is");
    status.store(204, Ordering::Relaxed);
    healthy(&scene, ("True", "Delivering")).await;
    until("the event is delivered", PATIENCE, async || {
        if scene.receiver.ids("crm").contains("e") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("it is");
    assert!(scene.dead_letters("crm").await.expect("the server answers").is_empty());
    let times: Vec<_> = probes().into_iter().map(|arrival| arrival.time).collect();
    let shortest = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).min();
    assert!(shortest.is_none_or(|shortest| shortest > Duration::from_secs(4)), "two workers ask: {times:?}");
}
