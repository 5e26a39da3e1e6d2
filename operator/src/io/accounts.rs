//! What workers share about Destinations and lanes in the KV bucket, as the operator reads it. All of it is untrusted: what
//! makes no sense counts as absent.

use std::collections::BTreeMap;

use bytes::Bytes;
use ropeway_crds::{
    account::{CircuitRecord, LaneHold, LimitRecord},
    names::{NamespaceNames, circuit_key, hold_key, limit_key, proof_key},
    proof::ProofRecord,
};
use serde::de::DeserializeOwned;

use super::jetstream::{JetStream, NatsError, bucket_stream, bucket_subject};
use crate::integration::plan::JetStreamPlan;

/// What is shared about the lanes of an Integration, by destination name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// The circuits of their Destinations.
    pub circuits: BTreeMap<String, CircuitRecord>,
    /// The rate limits of their Destinations.
    pub limits: BTreeMap<String, LimitRecord>,
    /// What their Destinations' probes showed.
    pub proofs: BTreeMap<String, ProofRecord>,
    /// Lanes that are held, and why.
    pub holds: BTreeMap<String, LaneHold>,
}

/// Reads what is shared about the lanes of an Integration, in one request.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn shared(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<Shared, NatsError> {
    let bucket = plan.names.state_bucket();
    let subject = |key: String| bucket_subject(&bucket, &key);
    let filters: Vec<String> = plan
        .lanes
        .iter()
        .flat_map(|lane| {
            let account =
                lane.account.iter().flat_map(|account| [circuit_key(account), limit_key(account), proof_key(account)]);
            account.chain([hold_key(&lane.lane)])
        })
        .map(subject)
        .collect();
    let values: BTreeMap<String, Bytes> =
        jetstream.last_values_of(&bucket_stream(&bucket), &filters).await?.into_iter().collect();
    let mut shared = Shared::default();
    for lane in &plan.lanes {
        let name = || lane.destination.clone();
        let read = |key: String| values.get(&subject(key));
        if let Some(account) = &lane.account {
            shared.circuits.extend(parsed(read(circuit_key(account))).map(|record| (name(), record)));
            shared.proofs.extend(parsed(read(proof_key(account))).map(|record| (name(), record)));
            shared.limits.extend(parsed(read(limit_key(account))).map(|record| (name(), record)));
        }
        shared.holds.extend(parsed(read(hold_key(&lane.lane))).map(|record| (name(), record)));
    }
    Ok(shared)
}

/// A deleted key has an empty body, which is no record either.
fn parsed<T: DeserializeOwned>(bytes: Option<&Bytes>) -> Option<T> {
    serde_json::from_slice(bytes?).ok()
}

/// Lets all held lanes of an Integration go on.
///
/// # Errors
/// If JetStream can't be asked.
pub async fn release(jetstream: &JetStream, plan: &JetStreamPlan) -> Result<(), NatsError> {
    for lane in &plan.lanes {
        delete(jetstream, &plan.names, &hold_key(&lane.lane)).await?;
    }
    Ok(())
}

/// Marks a key as deleted, so that those who watch it hear of it.
async fn delete(jetstream: &JetStream, names: &NamespaceNames, key: &str) -> Result<(), NatsError> {
    let bucket = names.state_bucket();
    if jetstream.entry(&bucket, key).await?.is_none() {
        return Ok(());
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("KV-Operation", "DEL");
    jetstream.publish(bucket_subject(&bucket, key), headers, Bytes::new()).await.map(drop)
}
