//! Streams of the user's on a real API server and a real nats-server: where they begin, and what is said when one of them is
//! put back from a copy.

use std::{collections::BTreeSet, fs, ops::RangeInclusive, path::Path};

use async_nats::jetstream::{
    self, Context,
    stream::{Config, RetentionPolicy},
};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::api::Patch;
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{NatsServer, receiver::Receiver, scene::Worker, wait::until};
use serde_json::{Value, json};

use crate::{
    kubelet::run_pod,
    place::{Operator, PATIENCE, Place, destination, integration, shared_nats},
};

const NAME: &str = "orders";

fn reading(stream: &str, start: Value) -> Value {
    let mut source = json!({ "stream": stream });
    source.as_object_mut().expect("an object").extend(start.as_object().expect("an object").clone());
    integration(NAME, json!({ "source": { "stream": source }, "destinations": [{ "name": "crm", "ref": "crm" }] }))
}

async fn make(jetstream: &Context, name: &str, retention: RetentionPolicy) {
    let subjects = vec![format!("{}.>", name.to_lowercase())];
    let config = Config { name: name.into(), subjects, retention, ..Config::default() };
    jetstream.create_stream(config).await.expect("the user's stream");
}

#[tokio::test]
async fn a_time_to_begin_at_that_can_not_be_used_is_told_and_waited_for() {
    let nats = shared_nats().await;
    let jetstream = jetstream::new(nats.connect().await.expect("a client"));
    make(&jetstream, "LATER", RetentionPolicy::Limits).await;
    make(&jetstream, "JOBS", RetentionPolicy::WorkQueue).await;
    let place = Place::new("start-time", nats).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let past = Timestamp::now() - SignedDuration::from_hours(1);
    place.apply::<Integration>(reading("JOBS", json!({ "startTime": past }))).await;
    let message = place.condition(NAME, "SourceReady", "False", "InvalidSpec").await;
    for part in ["spec.source.stream.startTime", "work queue"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    let change = Patch::Merge(json!({ "spec": { "source": { "stream": { "startTime": null } } } }));
    let refused = place.all::<Integration>().patch(NAME, &Default::default(), &change).await;
    let refused = refused.expect_err("it can't be changed").to_string();
    assert!(refused.contains("startAt and startTime can't be changed"), "{refused}");

    let soon = Timestamp::now() + SignedDuration::from_secs(4);
    let mut later = reading("LATER", json!({ "startTime": soon }));
    later["metadata"]["name"] = json!("later");
    place.apply::<Integration>(later).await;
    let message = place.condition("later", "SourceReady", "False", "InvalidSpec").await;
    assert!(message.contains("lies in the future"), "{message}");
    place.condition("later", "SourceReady", "True", "StreamReady").await;
    assert!(Timestamp::now() >= soon, "it began before its time");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder") {
        let (entry, to) = (entry.expect("an entry").path(), to.to_owned());
        let target = to.join(entry.file_name().expect("a name"));
        match entry.is_dir() {
            true => copy(&entry, &target),
            false => drop(fs::copy(&entry, &target).expect("a file can be copied")),
        }
    }
}

fn put_back(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("it can be removed");
    copy(from, to);
}

/// A server of its own with a stream of the user's, and who reads it.
struct Reading {
    nats: NatsServer,
    jetstream: Context,
    place: Place,
    receiver: Receiver,
}

impl Reading {
    async fn of(namespace: &str) -> Self {
        let nats = NatsServer::start().await.expect("the nats-server starts");
        let jetstream = jetstream::new(nats.connect().await.expect("a client"));
        make(&jetstream, "ORDERS", RetentionPolicy::Limits).await;
        let place = Place::new(namespace, &nats).await;
        let receiver = Receiver::start().await.expect("the receiver starts");
        Self { nats, jetstream, place, receiver }
    }

    async fn publish(&self, ids: RangeInclusive<u32>) {
        for id in ids {
            let event = json!({ "id": id.to_string() }).to_string();
            until("the event is stored", PATIENCE, async || {
                let stored = self.jetstream.publish("orders.new", event.clone().into()).await;
                stored.map_err(|error| error.to_string())?.await.map(drop).map_err(|error| error.to_string())
            })
            .await
            .expect("stored");
        }
    }

    /// Starts operator and worker.
    async fn begin(&self) -> (Operator, Worker) {
        let operator = self.place.operator(None);
        self.place.apply::<Destination>(destination("crm", &self.receiver.url("crm"))).await;
        self.place.apply::<Integration>(reading("ORDERS", json!({ "startAt": "All" }))).await;
        self.place.condition(NAME, "Ready", "False", "WorkersStarting").await;
        (operator, run_pod(&self.place, NAME, "pod").await)
    }

    /// Waits until these have arrived, none else, and nothing is pending.
    async fn arrive(&self, ids: &[u32]) {
        let wanted: BTreeSet<String> = ids.iter().map(u32::to_string).collect();
        until("all have arrived and nothing is pending", PATIENCE, async || {
            let found = self.place.all::<Integration>().get(NAME).await.map_err(|error| error.to_string())?;
            let pending = found.status.and_then(|status| status.delivery).map(|delivery| delivery.pending);
            let arrived: BTreeSet<String> = self.receiver.ids("crm").into_iter().collect();
            if arrived == wanted && pending == Some(0) { Ok(()) } else { Err(format!("{arrived:?} {pending:?}")) }
        })
        .await
        .expect("they arrive");
    }
}

#[tokio::test]
async fn a_stream_that_is_put_back_from_an_older_copy_is_told_and_read_on_behind_what_was_read() {
    let mut orders = Reading::of("put-back").await;
    orders.publish(1..=3).await;
    let (folder, copied) = (orders.nats.folder_of("ORDERS"), orders.place.scratch.path().join("copy"));
    orders.nats.stop().await;
    copy(&folder, &copied);
    orders.nats.restart().await.expect("the nats-server starts again");
    let _running = orders.begin().await;
    orders.publish(4..=6).await;
    orders.arrive(&[1, 2, 3, 4, 5, 6]).await;
    // What was read is written down at the operator's next full visit.
    let mut spec = reading("ORDERS", json!({ "startAt": "All" }));
    spec["metadata"]["annotations"] = json!({ "visit": "now" });
    orders.place.apply::<Integration>(spec).await;
    let recorded = orders.jetstream.clone();
    until("what was read is written down", PATIENCE, async || floor(&recorded).await).await.expect("written");

    orders.nats.stop().await;
    put_back(&copied, &folder);
    orders.nats.restart().await.expect("the nats-server starts again");
    let message = orders.place.condition(NAME, "SourceReady", "False", "StreamRegressed").await;
    for part in ["the stream ORDERS ends at 3", "6 were read"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    // What takes the places of those that were read is not read, as the message says; what comes behind them is.
    orders.publish(14..=17).await;
    orders.arrive(&[1, 2, 3, 4, 5, 6, 17]).await;
    orders.place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}

#[tokio::test]
async fn a_stream_that_lost_its_tail_is_read_on_at_its_end_where_the_server_puts_its_consumers_back() {
    let mut orders = Reading::of("lost-tail").await;
    orders.publish(1..=3).await;
    let _running = orders.begin().await;
    orders.arrive(&[1, 2, 3]).await;
    let (messages, copied) = (orders.nats.folder_of("ORDERS").join("msgs"), orders.place.scratch.path().join("copy"));
    orders.nats.stop().await;
    copy(&messages, &copied);
    orders.nats.restart().await.expect("the nats-server starts again");
    orders.publish(4..=6).await;
    orders.arrive(&[1, 2, 3, 4, 5, 6]).await;
    orders.nats.stop().await;
    put_back(&copied, &messages);
    orders.nats.restart().await.expect("the nats-server starts again");
    // 14 has the sequence that 4 had.
    orders.publish(14..=15).await;
    orders.arrive(&[1, 2, 3, 4, 5, 6, 14, 15]).await;
    orders.place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}

/// Whether the record of what was read says 6.
async fn floor(jetstream: &Context) -> Result<(), String> {
    let buckets: Vec<_> = jetstream.stream_names().try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?;
    let bucket = buckets.iter().find_map(|name| name.strip_prefix("KV_")).ok_or("no bucket")?;
    let store = jetstream.get_key_value(bucket).await.map_err(|error| error.to_string())?;
    let keys: Vec<String> = store
        .keys()
        .await
        .map_err(|error| error.to_string())?
        .try_collect()
        .await
        .map_err(|error| error.to_string())?;
    let key = keys.iter().find(|key| key.starts_with("trim.")).ok_or("no record")?;
    let record = store.get(key).await.map_err(|error| error.to_string())?.ok_or("no record")?;
    let record = String::from_utf8_lossy(&record).into_owned();
    if record.contains(":6") { Ok(()) } else { Err(record) }
}
