//! The keys of the KV bucket with wishes, heartbeats, and what workers share.

use super::{LaneId, ShortUid};

/// The KV key of what the operator wishes of an Integration's workers.
pub fn wish_key(integration: &ShortUid) -> String {
    format!("wish.{integration}")
}

/// The KV key of one worker's heartbeat. The worker's name is a pod's and may hold dots.
pub fn heartbeat_key(integration: &ShortUid, worker: &str) -> String {
    format!("worker.{integration}.{}", worker.replace('.', "_"))
}

/// All heartbeats of an Integration's workers.
pub fn heartbeat_keys(integration: &ShortUid) -> String {
    format!("worker.{integration}.*")
}

/// Name of the Secret in which the operator keeps a Destination's tokens.
pub fn token_secret(destination: &str) -> String {
    // A Destination's name may be as long as a Secret's.
    let name = format!("ropeway-token-{destination}");
    if name.len() <= 253 { name } else { format!("ropeway-token-{}", super::hash(destination.as_bytes(), 26)) }
}

/// The KV key of a Destination's circuit.
pub fn circuit_key(destination: &ShortUid) -> String {
    format!("circuit.{destination}")
}

/// The KV key of a Destination's rate limit.
pub fn limit_key(destination: &ShortUid) -> String {
    format!("limit.{destination}")
}

/// The KV key that says that a Destination's access token was refused.
pub fn token_key(destination: &ShortUid) -> String {
    format!("token.{destination}")
}

/// The KV key of what a Destination's probe showed.
pub fn proof_key(destination: &ShortUid) -> String {
    format!("proof.{destination}")
}

/// The KV key that says that a lane is held.
pub fn hold_key(lane: &LaneId) -> String {
    format!("hold.{lane}")
}

/// The KV key that says which worker an ordered lane works in.
pub fn turn_key(lane: &LaneId) -> String {
    format!("order.{lane}")
}

/// The KV keys of all circuits.
pub const ALL_CIRCUITS: &str = "circuit.*";

/// The KV keys of all rate limits.
pub const ALL_LIMITS: &str = "limit.*";

/// The KV keys that say that a lane is held.
pub const ALL_HOLDS: &str = "hold.*";

/// The KV key of how far a batch source is read.
pub fn batch_key(integration: &ShortUid) -> String {
    format!("batch.{integration}")
}

/// The KV key of an object below a prefix that was read whole.
pub fn batch_object_key(integration: &ShortUid, object: &str) -> String {
    format!("batch.{integration}.{}", super::hash(object.as_bytes(), 26))
}

/// All objects of a batch source that were read whole.
pub fn batch_object_keys(integration: &ShortUid) -> String {
    format!("batch.{integration}.*")
}

/// The KV key of an Integration's trim record.
pub fn trim_key(integration: &ShortUid) -> String {
    format!("trim.{integration}")
}

/// The KV key of how far an Integration's polling is, and who does it.
pub fn poll_key(integration: &ShortUid) -> String {
    format!("poll.{integration}")
}
