//! The source `stream`: a stream of the user's, read and never changed.

use async_nats::{
    HeaderMap,
    jetstream::{self, stream::Config},
};
use ropeway_tests::{NatsServer, scene::Scene};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_the_users_is_read_by_subject_from_where_the_spec_says_and_never_changed() {
    let nats = NatsServer::start().await.expect("nats-server starts");
    let jetstream = jetstream::new(nats.connect().await.expect("a client"));
    let config = Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..Config::default() };
    let mut stream = jetstream.create_stream(config).await.expect("the user's stream");
    let publish = async |subject: &'static str, id: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("ce-id", id);
        headers.insert("ce-type", "com.example.order");
        let body = json!({ "id": id }).to_string();
        let stored = jetstream.publish_with_headers(subject, headers, body.into()).await.expect("published");
        stored.await.expect("stored");
    };
    publish("orders.eu.new", "before").await;
    let spec = json!({
        "source": { "stream": { "stream": "ORDERS", "subjects": ["orders.eu.>"], "startAt": "All" } },
        "destinations": [{
            "name": "a", "ref": "a",
            "transform": { "expression": "{ \"id\": .id, \"kind\": %event.type, \"event\": %event.id }" },
        }],
    });
    let scene = Scene::on(nats, spec).await.expect("a scene");
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    publish("orders.eu.new", "wanted").await;
    publish("orders.us.new", "elsewhere").await;
    let broken = jetstream.publish("orders.eu.new", "no json".into()).await.expect("published");
    broken.await.expect("stored");
    let observations = scene.drained().await.expect("everything is settled");
    let arrivals = scene.receiver.arrivals();
    let ids: Vec<&str> = arrivals.iter().map(|arrival| arrival.id.as_str()).collect();
    assert_eq!(ids, ["before", "wanted"]);
    assert_eq!(arrivals[1].record, json!({ "id": "wanted", "kind": "com.example.order", "event": "wanted" }));
    assert_eq!(observations.figures.reasons.get("Undecodable"), Some(&1));
    let info = stream.info().await.expect("the stream is there");
    assert_eq!((info.state.messages, info.config.subjects.as_slice()), (4, &["orders.>".to_owned()][..]));
}
