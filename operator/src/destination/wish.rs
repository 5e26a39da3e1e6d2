//! What a person wishes of a Destination's circuit: by the annotation `ropeway.dev/circuit: open` that nothing is sent for as
//! long as it stands there, by `ropeway.dev/resume` that it is tried now, once.

use jiff::Timestamp;
use kube::ResourceExt;
use ropeway_crds::{
    Destination,
    account::{Cause, CircuitRecord, CircuitState},
    circuit::{Event, next},
    limits::BreakerPolicy,
    names::{NamespaceNames, ShortUid, circuit_key},
};

use crate::io::jetstream::{JetStream, NatsError, Written};

/// Holds the circuit open while it says `open`.
pub const CIRCUIT_ANNOTATION: &str = "ropeway.dev/circuit";

/// Tries now, whatever it says; it is taken away when that was done.
pub const RESUME_ANNOTATION: &str = "ropeway.dev/resume";

/// How often a write that a worker outran is tried again.
const TRIES: usize = 5;

/// What a person wishes that has not come about yet.
pub fn wishes(destination: &Destination, circuit: Option<&CircuitRecord>) -> Vec<Event> {
    let annotations = destination.annotations();
    let by_hand = annotations.get(CIRCUIT_ANNOTATION).is_some_and(|value| value == "open");
    let is_by_hand =
        circuit.is_some_and(|circuit| circuit.cause == Some(Cause::Manual) && circuit.state != CircuitState::Closed);
    let mut events = Vec::new();
    match (by_hand, is_by_hand) {
        (true, false) => events.push(Event::OpenManually),
        (false, true) => events.push(Event::CloseManually),
        _ => {}
    }
    if annotations.contains_key(RESUME_ANNOTATION) && !by_hand {
        events.push(Event::Resume);
    }
    events
}

/// Lets a wish come about.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn fulfil(
    jetstream: &JetStream,
    names: &NamespaceNames,
    destination: &Destination,
    wishes: &[Event],
    now: Timestamp,
) -> Result<(), NatsError> {
    let bucket = names.state_bucket();
    let key = circuit_key(&ShortUid::of(&destination.uid().unwrap_or_default()));
    let policy = BreakerPolicy::resolve(destination.spec.circuit_breaker.as_ref());
    for wish in wishes {
        for _ in 0..TRIES {
            let entry = jetstream.entry(&bucket, &key).await?;
            let revision = entry.as_ref().map_or(0, |entry| entry.revision);
            let known = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
            let record = known.unwrap_or_else(|| CircuitRecord::closed(now));
            let Some(changed) = next(&record, wish, &policy, now) else { break };
            if jetstream.put_entry(&bucket, &key, &changed, Some(revision)).await? == Written::Stored {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn destination(annotations: serde_json::Value) -> Destination {
        serde_json::from_value(json!({
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination",
            "metadata": { "name": "d", "annotations": annotations },
            "spec": { "provider": { "http": { "url": "https://api.example.com" } } },
        }))
        .unwrap()
    }

    #[test]
    fn a_wish_that_has_come_about_is_no_wish_any_more() {
        let now = Timestamp::UNIX_EPOCH;
        let closed = CircuitRecord::closed(now);
        let policy = BreakerPolicy::resolve(None);
        let open = destination(json!({ "ropeway.dev/circuit": "open" }));
        let plain = destination(json!({}));
        assert_eq!(wishes(&open, Some(&closed)), [Event::OpenManually]);
        let by_hand = next(&closed, &Event::OpenManually, &policy, now).unwrap();
        assert!(wishes(&open, Some(&by_hand)).is_empty());
        assert_eq!(wishes(&plain, Some(&by_hand)), [Event::CloseManually]);
        assert!(wishes(&plain, None).is_empty());
        assert_eq!(wishes(&destination(json!({ "ropeway.dev/resume": "now" })), None), [Event::Resume]);
    }
}
