//! Every name that two programs must agree on, derived here and nowhere else.
//!
//! Names carry the *short UID* of what they belong to, so that an object or a namespace that is deleted and made again
//! never inherits old data. What users choose freely (a key, an event id) appears in subjects only as a hash.

mod keys;

use std::fmt;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::keys::*;

/// The prefix of every subject of ours. A `stream` source may not name subjects below it.
pub const SUBJECT_ROOT: &str = "ropeway";

/// The prefix of every stream of ours. A `stream` source may not name such a stream.
pub const STREAM_PREFIX: &str = "ROPEWAY_";

/// Ten characters that stand for a Kubernetes UID: 50 bits of its SHA-256, in lower-case base 32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortUid(String);

impl ShortUid {
    /// The short form of a full UID.
    pub fn of(uid: &str) -> Self {
        Self(hash(uid.as_bytes(), 10))
    }

    /// The ten characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The way of one Integration to one of its destinations: `<short uid>-<destination name>`.
///
/// It is one subject token, because a destination's name is a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(String);

impl LaneId {
    /// The lane of an Integration to the destination with this name in its spec.
    pub fn new(integration: &ShortUid, destination: &str) -> Self {
        Self(format!("{integration}-{destination}"))
    }

    /// The subject token, which is also the name of the lane's durable consumers.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `length` characters of a SHA-256 in lower-case base 32: safe in a subject, in a KV key and in a Kubernetes name.
pub fn hash(bytes: &[u8], length: usize) -> String {
    // Five bytes make eight characters; what is cut off anyway is not written.
    let digest = Sha256::digest(bytes);
    let mut text = BASE32_NOPAD.encode(&digest[..length.div_ceil(8).saturating_mul(5).min(digest.len())]);
    text.truncate(length);
    text.make_ascii_lowercase();
    text
}

/// What stands for the source itself where a dead letter has a destination: it was refused before any lane saw it. No
/// destination can have this name.
pub const SOURCE: &str = "_source";

/// The streams, subjects and bucket that all Integrations of one namespace share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceNames {
    uid: ShortUid,
}

impl NamespaceNames {
    /// The names for the namespace with this UID.
    pub fn new(namespace: ShortUid) -> Self {
        Self { uid: namespace }
    }

    fn stream(&self, what: &str) -> String {
        format!("{STREAM_PREFIX}{what}_{}", self.uid)
    }

    fn subject(&self, rest: &str) -> String {
        format!("{SUBJECT_ROOT}.{}.{rest}", self.uid)
    }

    /// The work queue of parked retries.
    pub fn retries_stream(&self) -> String {
        self.stream("RETRIES")
    }

    /// The subjects of the retries stream: parked ones, those that came due, and those that ordered lanes hold back.
    pub fn retries_subjects(&self) -> [String; 3] {
        [self.subject("later.>"), self.subject("again.>"), self.subject("held.>")]
    }

    /// Where an ordered lane keeps the event of a key that failed. `key` is an [`order_key`].
    pub fn held_first(&self, lane: &LaneId, key: &str) -> String {
        self.subject(&format!("held.{lane}.{key}.first"))
    }

    /// Where an ordered lane keeps the events that stand behind that one, in their order.
    pub fn held_next(&self, lane: &LaneId, key: &str) -> String {
        self.subject(&format!("held.{lane}.{key}.next"))
    }

    /// Everything that an ordered lane holds back.
    pub fn held_of(&self, lane: &LaneId) -> String {
        self.subject(&format!("held.{lane}.>"))
    }

    /// Where a lane's retry of one delivery waits. Publishing there again replaces it.
    pub fn later(&self, lane: &LaneId, delivery: &str) -> String {
        self.subject(&format!("later.{lane}.{delivery}"))
    }

    /// Everything in the retries stream that waits for a lane and has not come due: parked retries, and what an ordered lane
    /// holds back.
    pub fn waiting_of(&self, lane: &LaneId) -> String {
        self.subject(&format!("*.{lane}.>"))
    }

    /// Where a lane's retries arrive when they are due.
    pub fn again(&self, lane: &LaneId) -> String {
        self.subject(&format!("again.{lane}"))
    }

    /// The stream of dead letters.
    pub fn dead_letters_stream(&self) -> String {
        self.stream("DEAD")
    }

    /// The subjects of the dead-letter stream.
    pub fn dead_letters_subjects(&self) -> String {
        self.subject("dead.>")
    }

    /// The subject of one dead letter.
    pub fn dead_letter(
        &self,
        integration: &ShortUid,
        lane: &LaneId,
        reason: &str,
        delivery: &str,
        resend: u32,
    ) -> String {
        self.subject(&format!("dead.{integration}.{lane}.{reason}.{delivery}.{resend}"))
    }

    /// The dead letters of one Integration, or of one of its lanes, with any reason or with one.
    pub fn dead_letters_where(&self, integration: &ShortUid, lane: Option<&LaneId>, reason: Option<&str>) -> String {
        let lane = lane.map_or("*", LaneId::as_str);
        self.subject(&format!("dead.{integration}.{lane}.{}.>", reason.unwrap_or("*")))
    }

    /// All dead letters of one lane.
    pub fn dead_letters_of_lane(&self, integration: &ShortUid, lane: &LaneId) -> String {
        self.subject(&format!("dead.{integration}.{lane}.>"))
    }

    /// All dead letters of one Integration.
    pub fn dead_letters_of(&self, integration: &ShortUid) -> String {
        self.subject(&format!("dead.{integration}.>"))
    }

    /// The stream of counters.
    pub fn counts_stream(&self) -> String {
        self.stream("COUNTS")
    }

    /// The subjects of the counter stream.
    pub fn counts_subjects(&self) -> String {
        self.subject("count.>")
    }

    /// One counter of one lane.
    pub fn count(&self, integration: &ShortUid, lane: &LaneId, what: &str) -> String {
        self.subject(&format!("count.{integration}.{lane}.{what}"))
    }

    /// All counters of one Integration.
    pub fn counts_of(&self, integration: &ShortUid) -> String {
        self.subject(&format!("count.{integration}.>"))
    }

    /// All counters of one lane.
    pub fn counts_of_lane(&self, integration: &ShortUid, lane: &LaneId) -> String {
        self.subject(&format!("count.{integration}.{lane}.>"))
    }

    /// The stream of de-duplication keys.
    pub fn seen_stream(&self) -> String {
        self.stream("SEEN")
    }

    /// The subjects of the stream of de-duplication keys.
    pub fn seen_subjects(&self) -> String {
        self.subject("seen.>")
    }

    /// The claim of one key by one lane. The key itself is the user's and appears as a hash.
    pub fn seen(&self, integration: &ShortUid, lane: &LaneId, key: &str) -> String {
        self.subject(&format!("seen.{integration}.{lane}.{}", hash(key.as_bytes(), 32)))
    }

    /// All claims of one Integration.
    pub fn seen_of(&self, integration: &ShortUid) -> String {
        self.subject(&format!("seen.{integration}.>"))
    }

    /// The stream of requests that were not sent.
    pub fn shadow_stream(&self) -> String {
        self.stream("SHADOW")
    }

    /// The subjects of the stream of requests that were not sent.
    pub fn shadow_subjects(&self) -> String {
        self.subject("shadow.>")
    }

    /// The requests that one lane did not send.
    pub fn shadow(&self, integration: &ShortUid, lane: &LaneId) -> String {
        self.subject(&format!("shadow.{integration}.{lane}"))
    }

    /// The requests that one Integration did not send.
    pub fn shadow_of(&self, integration: &ShortUid) -> String {
        self.subject(&format!("shadow.{integration}.>"))
    }

    /// The KV bucket with wishes, heartbeats and trim records.
    pub fn state_bucket(&self) -> String {
        self.stream("STATE")
    }
}

/// The events stream of one Integration, for every source but `stream`.
pub fn events_stream(integration: &ShortUid) -> String {
    format!("{STREAM_PREFIX}EVENTS_{integration}")
}

/// The subject on which accepted events are stored.
pub fn events_subject(integration: &ShortUid) -> String {
    format!("{SUBJECT_ROOT}.events.{integration}")
}

/// The delivery id of an event in a stream of the user's. The stream's creation time is part of it, since a stream that is
/// made again counts from one.
pub fn delivery_in_stream(created: jiff::Timestamp, sequence: u64, stored: jiff::Timestamp) -> String {
    hash(format!("{created}/{sequence}/{stored}").as_bytes(), 26)
}

/// What stands in subjects for a key that events are ordered by. The key itself is the user's.
pub fn order_key(key: &str) -> String {
    hash(key.as_bytes(), 26)
}

/// The name of an Integration's Deployment and Service.
///
/// An Integration's name may hold dots and 253 characters, a Service's may not: what doesn't fit is cut and told apart by a hash.
pub fn child(integration: &str) -> String {
    const LONGEST: usize = 42;
    let plain = integration.len() <= LONGEST && !integration.contains('.');
    if plain {
        return format!("ropeway-{integration}");
    }
    let cut: String = integration.replace('.', "-").chars().take(LONGEST - 9).collect();
    format!("ropeway-{}-{}", cut.trim_end_matches('-'), hash(integration.as_bytes(), 8))
}

/// The name of the immutable ConfigMap with this worker configuration.
pub fn config_map(integration: &str, config: &[u8]) -> String {
    format!("{}-{}", child(integration), hash(config, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_again_object_has_other_names() {
        let (before, after) = (ShortUid::of("0c5f9c1e-1"), ShortUid::of("0c5f9c1e-2"));
        assert_ne!(events_stream(&before), events_stream(&after));
        assert_eq!(before.as_str().len(), 10);
    }

    #[test]
    fn hostile_keys_stay_one_subject_token() {
        let names = NamespaceNames::new(ShortUid::of("n"));
        let (integration, lane) = (ShortUid::of("i"), LaneId::new(&ShortUid::of("i"), "crm"));
        let hostile = "a.b.> *\r\n\u{0}";
        let (seen, held) = (names.seen(&integration, &lane, hostile), names.held_next(&lane, &order_key(hostile)));
        for (subject, tokens) in [(seen, 6), (held, 6)] {
            assert_eq!(subject.split('.').count(), tokens);
            assert!(subject.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn child_names_are_dns_labels_and_stay_apart() {
        let long = "a".repeat(253);
        let names = [child("signups"), child("signups.eu"), child("signups-eu"), child(&long), child(&"a".repeat(252))];
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= 52, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
            assert!(!names.iter().skip(index + 1).any(|other| other == name), "{name} twice");
        }
    }
}
