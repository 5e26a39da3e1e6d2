//! What the harness promises of its server.

use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use ropeway_tests::NatsServer;

async fn stream_with_a_message(server: &NatsServer) -> jetstream::Context {
    let jetstream = jetstream::new(server.connect().await.expect("a client"));
    let config = Config { name: "kept".to_owned(), subjects: vec!["kept.*".to_owned()], ..Config::default() };
    jetstream.create_stream(config).await.expect("a stream");
    jetstream.publish("kept.one", "content".into()).await.expect("published").await.expect("stored");
    jetstream
}

#[tokio::test]
async fn a_stream_outlives_a_crash_of_its_server() {
    let mut server = NatsServer::start().await.expect("nats-server starts");
    drop(stream_with_a_message(&server).await);
    server.kill();
    assert!(server.connect().await.is_err(), "a killed server still takes clients");
    server.restart().await.expect("nats-server starts again");
    let jetstream = jetstream::new(server.connect().await.expect("a client"));
    let stream = jetstream.get_stream("kept").await.expect("the stream is there");
    let message = stream.get_raw_message(1).await.expect("the message is there");
    assert_eq!(message.payload, "content");
}

#[tokio::test]
async fn a_frozen_server_keeps_its_clients_and_answers_after_a_thaw() {
    let server = NatsServer::start().await.expect("nats-server starts");
    let jetstream = stream_with_a_message(&server).await;
    server.freeze().await;
    let answer = tokio::time::timeout(Duration::from_millis(300), jetstream.get_stream("kept")).await;
    assert!(answer.is_err(), "a frozen server answered");
    server.thaw();
    jetstream.get_stream("kept").await.expect("an answer after the thaw");
}
