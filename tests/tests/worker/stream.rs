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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_read_from_a_time_on() {
    let nats = NatsServer::start().await.expect("nats-server starts");
    let jetstream = jetstream::new(nats.connect().await.expect("a client"));
    let config = Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..Config::default() };
    let stream = jetstream.create_stream(config).await.expect("the user's stream");
    let publish = async |id: &str| {
        let stored = jetstream.publish("orders.new", json!({ "id": id }).to_string().into()).await.expect("published");
        stored.await.expect("stored").sequence
    };
    publish("long-before").await;
    publish("just-before").await;
    let third = publish("just-then").await;
    publish("after").await;
    // To the nanosecond: what was stored then belongs to it, what was stored the moment before does not.
    let time = stream.get_raw_message(third).await.expect("a message").time.unix_timestamp_nanos();
    let time = jiff::Timestamp::from_nanosecond(time).expect("a time");
    let spec = json!({
        "source": { "stream": { "stream": "ORDERS", "startTime": time } },
        "destinations": [{ "name": "a", "ref": "a" }],
    });
    let mut scene = Scene::on(nats, spec).await.expect("a scene");
    publish("later").await;
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is settled");
    // In whatever order: it is nobody's wish here.
    let arrived = |scene: &Scene| {
        let mut ids: Vec<String> = scene.receiver.arrivals().into_iter().map(|arrival| arrival.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(arrived(&scene), ["after", "just-then", "later"]);

    // A lost consumer goes on where it was, and not at the time again.
    let lane = scene.plan.jetstream.lanes[0].lane.to_string();
    scene.apply().await.expect("the floor is recorded");
    stream.delete_consumer(&lane).await.expect("the consumer is lost");
    scene.apply().await.expect("it is made again");
    publish("last").await;
    scene.drained().await.expect("everything is settled");
    assert_eq!(arrived(&scene), ["after", "just-then", "last", "later"]);
}
