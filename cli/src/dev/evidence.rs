//! Gathers what an independent judge needs: ids from the input, from the sink, and from the streams. Nothing in here asks
//! the product what it counted.

use std::collections::BTreeSet;

use ropeway_operator::offline::{JetStream, JetStreamPlan, NatsError};
use serde_json::Value;

use crate::{
    account::Evidence,
    sink::{Behaviour, Sink},
};

/// What the demo knows of one lane beforehand.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The destination's name within the Integration.
    pub destination: &'a str,
    /// The name of its Destination, under which the sink knows it.
    pub sink_name: &'a str,
    /// How the sink behaves for it.
    pub behaviour: &'a Behaviour,
}

/// The ids that the sender sent, with the inputs that they came from.
pub fn ids(events: &[String], pointer: &str) -> Vec<(String, Value)> {
    let inputs = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    inputs.filter_map(|input| Some((id_at(&input, pointer)?, input))).collect()
}

/// Gathers the evidence on one destination.
///
/// # Errors
/// If a stream can't be read.
pub async fn gather(
    jetstream: &JetStream,
    plan: &JetStreamPlan,
    question: &Question<'_>,
    inputs: &[(String, Value)],
    pointer: &str,
    sink: &Sink,
) -> Result<Evidence, NatsError> {
    let wanted = |input: &Value| match &question.behaviour.expects {
        None => true,
        Some(expects) => input.pointer(&expects.pointer) == Some(&expects.equals),
    };
    let memory = sink.memory(question.sink_name);
    let lane = plan.lanes.iter().find(|lane| lane.destination == question.destination);
    let mut evidence = Evidence {
        expected: inputs.iter().filter(|(_, input)| wanted(input)).map(|(id, _)| id.clone()).collect(),
        accepted: memory.accepted,
        refused: memory.refused.into_keys().collect(),
        ..Evidence::default()
    };
    let Some(lane) = lane else { return Ok(evidence) };
    let (names, retries) = (&plan.names, plan.names.retries_stream());
    let letters = names.dead_letters_of_lane(&plan.integration, &lane.lane);
    evidence.dead = read(jetstream, &names.dead_letters_stream(), &letters, 1, pointer).await?;
    for parked in [names.waiting_of(&lane.lane), names.again(&lane.lane)] {
        evidence.held.append(&mut read(jetstream, &retries, &parked, 1, pointer).await?);
    }
    let source = plan.source_stream();
    if let Some(info) = jetstream.consumer(source, lane.lane.as_str()).await? {
        let floor = info.ack_floor.stream_sequence;
        let waiting = read(jetstream, source, ">", floor + 1, pointer).await?;
        let settled: BTreeSet<String> = evidence.accepted.keys().chain(&evidence.dead).cloned().collect();
        evidence.held.extend(waiting.difference(&settled).filter(|id| evidence.expected.contains(*id)).cloned());
    }
    Ok(evidence)
}

/// The ids of the messages that a stream holds from a sequence on.
async fn read(
    jetstream: &JetStream,
    stream: &str,
    filter: &str,
    mut from: u64,
    pointer: &str,
) -> Result<BTreeSet<String>, NatsError> {
    let mut found = BTreeSet::new();
    while let Some(message) = jetstream.next_message(stream, filter, from).await? {
        let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
        found.extend(id_at(&body, pointer));
        from = message.sequence + 1;
    }
    Ok(found)
}

/// The id at a JSON pointer: a text, or a number as it is written.
pub fn id_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
