//! The stage settle on a real server against a small model: whatever is decided, and however often a worker dies between the
//! write and the acknowledgement, each event ends in one place once.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use ropeway_crds::names::LaneId;
use ropeway_tests::scene::{Scene, webhook_to};
use ropeway_worker::{
    decide::{DeadLetter, DeadLetterReason, Done, Park, Return, Settlement},
    decode::{self, History},
    io::{
        jetstream::Broker,
        publish::{Envelope, Owner},
    },
    message::{Message, Origin},
    provider::Failure,
    settle::settle,
};

const EVENTS: usize = 40;

/// Where an event is, as the model has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Pending,
    Done,
    Parked,
    Dead,
}

/// What a worker did with a message before it was gone.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// It lived on.
    None,
    /// It died with the write done and the original not acknowledged.
    Unacknowledged,
}

fn decided(choice: u32, history: &History, now: Timestamp) -> (Settlement, Place) {
    let failure = Failure::silent("of the test");
    match choice {
        0 => (Settlement::Done(Done::Delivered), Place::Done),
        1 => {
            let due = now + jiff::SignedDuration::from_hours(1);
            let history = History { attempt: history.attempt + 1, parks: history.parks + 1, ..history.clone() };
            (Settlement::Park(Park { due, history, failure }), Place::Parked)
        }
        2 => (Settlement::DeadLetter(DeadLetter { reason: DeadLetterReason::Rejected, failure }), Place::Dead),
        _ => (Settlement::Return(Return { cause: None, failure }), Place::Pending),
    }
}

/// Settles every event in a random order of decisions and deaths, and compares what the streams hold with the model.
async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let client = scene.nats.connect().await.expect("a client");
    let plan = &scene.plan.jetstream;
    let (uid, lane) = (plan.integration.clone(), LaneId::new(&plan.integration, "a"));
    let broker = Broker::new(client.clone(), plan.names.clone());
    scene.store((0..EVENTS).map(|id| id.to_string())).await.expect("events are stored");
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream(plan.source_stream()).await.expect("the stream");
    let consumer: async_nats::jetstream::consumer::PullConsumer =
        stream.get_consumer(lane.as_str()).await.expect("the consumer");
    let mut messages = consumer.messages().await.expect("messages");
    let owner = Owner { uid: &uid, integration: "scene", destination: "a", lane: &lane };
    let mut model: BTreeMap<String, Place> = (0..EVENTS).map(|id| (id.to_string(), Place::Pending)).collect();
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    while model.values().any(|place| *place == Place::Pending) {
        let next = tokio::time::timeout(Duration::from_secs(20), messages.next()).await.expect("one comes again");
        let message = Message::take(next.expect("no end").expect("no error"), Origin::Events).expect("a message");
        let history = decode::history(message.headers(), &message.position, Timestamp::UNIX_EPOCH);
        let headers = message.headers().cloned().unwrap_or_default();
        let id = headers.get("ce-id").expect("an id").as_str().to_owned();
        assert_eq!(model[&id], Place::Pending, "seed {seed}: {id} was settled and came again");
        // One that died decides the same again: its record and its answer are the same.
        let choice = *wanted.entry(id.clone()).or_insert_with(|| random.random_range(0..4));
        let now = Timestamp::now();
        let (settlement, place) = decided(choice, &history, now);
        let death = if random.random_bool(0.4) { Death::Unacknowledged } else { Death::None };
        let (body, rank) = (message.body(), None);
        let envelope = Envelope { owner, headers: &headers, body, history: &history, rank };
        match (death, &settlement) {
            (Death::Unacknowledged, Settlement::Park(park)) => {
                broker.park(envelope, park).await.expect("parked");
                message.give_back().await;
                continue;
            }
            (Death::Unacknowledged, Settlement::DeadLetter(letter)) => {
                let kept = Duration::from_secs(3_600);
                broker.write_dead_letter(envelope, letter, kept, now).await.expect("written");
                message.give_back().await;
                continue;
            }
            _ => {
                let kept = Duration::from_secs(3_600);
                settle(&broker, envelope, message, &settlement, kept, now).await.expect("settled");
            }
        }
        if place == Place::Pending {
            // What went back may end in another way next time.
            wanted.remove(&id);
        }
        model.insert(id, place);
    }
    let count = |place: Place| model.values().filter(|it| **it == place).count() as u64;
    let waiting = scene.jetstream.count(&plan.names.retries_stream(), &plan.names.waiting_of(&lane)).await;
    assert_eq!(waiting.expect("retries"), count(Place::Parked), "seed {seed}: parked once each");
    let dead: std::collections::BTreeSet<String> =
        model.iter().filter(|(_, place)| **place == Place::Dead).map(|(id, _)| id.clone()).collect();
    assert_eq!(scene.dead_letters("a").await.expect("dead letters"), dead, "seed {seed}");
    let letters = plan.names.dead_letters_of_lane(&uid, &lane);
    let written = scene.jetstream.count(&plan.names.dead_letters_stream(), &letters).await.expect("dead letters");
    assert_eq!(written, count(Place::Dead), "seed {seed}: written once each");
}

#[tokio::test]
async fn whatever_is_decided_and_whenever_a_worker_dies_each_event_ends_in_one_place_once() {
    for seed in 1..=6 {
        run(seed).await;
    }
}
