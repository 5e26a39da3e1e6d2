//! Destinations that behave badly, and addresses where deliveries may not go.

use std::time::{Duration, Instant};

use ropeway_tests::{
    scene::{PATIENCE, Scene, http_client, post, webhook_to},
    wait::until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers 200 and then sends a byte a time, or as fast as it can, for ever.
async fn endless(pause: Option<Duration>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
                let mut sent = socket.write_all(head).await;
                let chunk = vec![b'x'; if pause.is_some() { 1 } else { 65_536 }];
                while sent.is_ok() {
                    sent = socket.write_all(&chunk).await;
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                    }
                }
            });
        }
    });
    format!("http://{address}/endless")
}

async fn accepted(url: &str, id: &str) {
    let client = http_client();
    until("the event is accepted", PATIENCE, async || match post(&client, url, id).await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("the webhook is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_a_gigabyte_is_read_up_to_the_cap_and_a_dripping_one_up_to_the_deadline() {
    let mut spec = webhook_to(&["flood", "drip"]);
    for destination in spec["destinations"].as_array_mut().expect("a list") {
        destination["delivery"] =
            serde_json::json!({ "timeout": "1s", "retry": { "maxAttempts": 2, "backoffDelay": "100ms" } });
    }
    let (flood, drip) = (endless(None).await, endless(Some(Duration::from_millis(200))).await);
    let scene = Scene::with_urls(spec, &[("flood", &flood), ("drip", &drip)]).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let begun = Instant::now();
    accepted(&worker.url, "e").await;
    let observations = scene.drained().await.expect("everything is settled");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    // A 200 whose first 256 KiB were read is a delivery; one that never ends within its deadline is a failure.
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.process.id())).expect("the worker lives");
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .expect("the peak of its memory");
    assert!(peak < 200_000, "the worker's memory peaked at {peak} kB");
    assert_eq!(observations.figures.dead_letters.get("drip"), Some(&1));
    assert_eq!(observations.figures.reasons.get("Exhausted"), Some(&1));
    assert_eq!(observations.figures.dead_letters.get("flood"), None);
}

/// A server that answers every request with these bytes.
async fn always(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(&answer).await;
            });
        }
    });
    format!("http://{address}/always")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_into_the_inside_is_not_followed_and_a_bomb_is_not_unpacked() {
    let redirect =
        b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // What says that it is packed is never unpacked, whatever it holds.
    let bomb = [
        &b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\nconnection: close\r\n\r\n"[..],
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
    ]
    .concat();
    let (redirect, bomb) = (always(redirect.to_vec()).await, always(bomb).await);
    let spec = webhook_to(&["redirect", "bomb"]);
    let scene = Scene::with_urls(spec, &[("redirect", &redirect), ("bomb", &bomb)]).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    accepted(&worker.url, "e").await;
    let observations = scene.drained().await.expect("everything is settled");
    assert_eq!(observations.figures.dead_letters.get("redirect"), Some(&1));
    assert_eq!(observations.figures.dead_letters.get("bomb"), None);
    until("the worker says why", PATIENCE, async || {
        let observations = scene.observe().await.map_err(|error| error.to_string())?;
        let lanes = observations.workers.iter().flat_map(|worker| &worker.lanes);
        let said: Vec<String> = lanes.filter_map(|lane| lane.last_error.clone()).map(|error| error.message).collect();
        if said.iter().any(|message| message.contains("redirects are not followed")) {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await
    .expect("the refusal is reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_address_is_refused_and_the_event_waits_without_spending_attempts() {
    let spec = webhook_to(&["inside"]);
    // 127.0.0.0/8 is allowed in scenes; the metadata service and a mapped private address are not.
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/x",
        "http://2852039166/x",
        "http://0251.0376.0251.0376/x",
        "http://0xa9fea9fe/x",
    ] {
        let scene = Scene::with_urls(spec.clone(), &[("inside", url)]).await.expect("a scene");
        let worker = scene.start_worker("worker", None).await.expect("a worker starts");
        accepted(&worker.url, "e").await;
        let message = until("the worker says why", PATIENCE, async || {
            let observations = scene.observe().await.map_err(|error| error.to_string())?;
            let lanes = observations.workers.iter().flat_map(|worker| &worker.lanes);
            lanes.filter_map(|lane| lane.last_error.clone()).next().map(|error| error.message).ok_or_else(String::new)
        })
        .await
        .expect("the refusal is reported");
        assert!(message.contains("deliveries may not go"), "{url}: {message}");
        let observations = scene.observe().await.expect("figures");
        assert_eq!(observations.figures.pending["inside"], 1, "{url}: the event is gone");
        assert!(observations.figures.dead_letters.is_empty(), "{url}: the event was given up");
    }
}
