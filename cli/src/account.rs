//! The independent check at the end of a demo: are all events accounted for? It compares the ids that were sent, the ids
//! that the sink accepted, and the ids that the streams still hold. The product's own counters have no say in it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// What is known of one destination from outside.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Ids that should arrive there, by the demo's own rule on its input.
    pub expected: BTreeSet<String>,
    /// How often the sink accepted each id.
    pub accepted: BTreeMap<String, u64>,
    /// Ids that the sink refused for good.
    pub refused: BTreeSet<String>,
    /// Ids among the dead letters of this destination.
    pub dead: BTreeSet<String>,
    /// Ids that are still on their way: in the events stream above the lane's floor, or parked.
    pub held: BTreeSet<String>,
}

/// The verdict on one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Ids that should have arrived.
    pub expected: usize,
    /// Ids that did.
    pub accepted: usize,
    /// Ids that became dead letters.
    pub dead_lettered: usize,
    /// Ids that are still on their way.
    pub held: usize,
    /// Ids that are nowhere. Must be empty.
    pub lost: Vec<String>,
    /// Ids that arrived or were given up although they were not expected. Must be empty.
    pub unexpected: Vec<String>,
    /// Ids that became dead letters although the sink never refused them. Must be empty.
    pub wrongly_dead: Vec<String>,
    /// Ids that arrived more than once. Allowed after a crash, and none is expected without one.
    pub repeated: Vec<String>,
}

impl Verdict {
    /// Whether every event is accounted for.
    pub fn accounted_for(&self) -> bool {
        self.lost.is_empty() && self.unexpected.is_empty() && self.wrongly_dead.is_empty() && self.held == 0
    }
}

/// Judges one destination.
pub fn judge(evidence: &Evidence) -> Verdict {
    let Evidence { expected, accepted, refused, dead, held } = evidence;
    let arrived: BTreeSet<String> = accepted.keys().cloned().collect();
    let somewhere = |id: &&String| arrived.contains(*id) || dead.contains(*id) || held.contains(*id);
    Verdict {
        expected: expected.len(),
        accepted: arrived.len(),
        dead_lettered: dead.len(),
        held: held.len(),
        lost: expected.iter().filter(|id| !somewhere(id)).cloned().collect(),
        unexpected: arrived.union(dead).filter(|id| !expected.contains(*id)).cloned().collect(),
        wrongly_dead: dead.difference(refused).cloned().collect(),
        repeated: accepted.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn evidence() -> Evidence {
        Evidence {
            expected: ids(&["a", "b", "c"]),
            accepted: BTreeMap::from([("a".into(), 1), ("b".into(), 1)]),
            refused: ids(&["c"]),
            dead: ids(&["c"]),
            held: ids(&[]),
        }
    }

    #[test]
    fn what_arrived_and_what_was_refused_is_accounted_for() {
        assert!(judge(&evidence()).accounted_for());
    }

    #[test]
    fn every_kind_of_error_is_found() {
        let lost = judge(&Evidence { accepted: BTreeMap::from([("a".into(), 1)]), ..evidence() });
        assert_eq!((lost.accounted_for(), lost.lost), (false, vec!["b".to_owned()]));
        let unexpected = judge(&Evidence { expected: ids(&["a", "c"]), ..evidence() });
        assert_eq!((unexpected.accounted_for(), unexpected.unexpected), (false, vec!["b".to_owned()]));
        let wrongly_dead = judge(&Evidence { refused: ids(&[]), ..evidence() });
        assert_eq!((wrongly_dead.accounted_for(), wrongly_dead.wrongly_dead), (false, vec!["c".to_owned()]));
        let held = judge(&Evidence { held: ids(&["b"]), ..evidence() });
        assert!(!held.accounted_for());
        let twice = judge(&Evidence { accepted: BTreeMap::from([("a".into(), 2), ("b".into(), 1)]), ..evidence() });
        assert_eq!((twice.accounted_for(), twice.repeated), (true, vec!["a".to_owned()]));
    }
}
