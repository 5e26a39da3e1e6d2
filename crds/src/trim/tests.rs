use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn an_observer_with_other_lanes_changes_nothing() {
    let mut record = TrimRecord::default();
    record.add_lane("a", 0);
    record.add_lane("b", 0);
    let both = BTreeMap::from([("a".to_owned(), 9), ("b".to_owned(), 9)]);
    assert_eq!(record.advance(&["a"], &both, u64::MAX), None);
    assert_eq!(record.advance(&["a", "b", "c"], &both, u64::MAX), None);
    assert_eq!(record.advance(&["a", "c"], &both, u64::MAX), None);
    assert_eq!(record.advance(&["a", "b"], &both, u64::MAX).map(|next| next.floor), Some(9));
}

#[test]
fn a_missing_consumer_stops_the_trimming_at_its_recorded_floor() {
    let mut record = TrimRecord::default();
    record.add_lane("a", 4);
    record.add_lane("b", 0);
    let next = record.advance(&["a", "b"], &BTreeMap::from([("b".to_owned(), 9)]), u64::MAX).unwrap();
    assert_eq!(next.floor, 4);
}

#[test]
fn retained_events_stay_although_all_lanes_settled_them() {
    let mut record = TrimRecord::default();
    record.add_lane("a", 0);
    let next = record.advance(&["a"], &BTreeMap::from([("a".to_owned(), 100)]), 30).unwrap();
    assert_eq!((next.floor, next.lanes["a"]), (30, 100));
}

/// What can happen to an events stream and its lanes, in any order and from several observers.
#[derive(Clone, Debug)]
enum Step {
    Store,
    /// A lane settles its next events.
    Settle {
        lane: u8,
        count: u8,
    },
    /// Its consumer is deleted by hand.
    LoseConsumer {
        lane: u8,
    },
    /// The operator looks after the lanes: re-creates lost consumers.
    Repair,
    AddLane {
        lane: u8,
        held: bool,
    },
    RemoveLane {
        lane: u8,
    },
    /// A worker reads the record and the consumers, and remembers what it would write.
    Observe {
        worker: u8,
        stale_config: bool,
    },
    /// It writes by compare-and-set, and dies before it purges if told so.
    Write {
        worker: u8,
        killed: bool,
    },
    /// Any worker purges up to the floor that it reads.
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Store),
        4 => (0..4u8, 1..6u8).prop_map(|(lane, count)| Step::Settle { lane, count }),
        1 => (0..4u8).prop_map(|lane| Step::LoseConsumer { lane }),
        1 => Just(Step::Repair),
        2 => (0..4u8, any::<bool>()).prop_map(|(lane, held)| Step::AddLane { lane, held }),
        1 => (0..4u8).prop_map(|lane| Step::RemoveLane { lane }),
        3 => (0..2u8, any::<bool>()).prop_map(|(worker, stale_config)| Step::Observe { worker, stale_config }),
        3 => (0..2u8, any::<bool>()).prop_map(|(worker, killed)| Step::Write { worker, killed }),
        2 => Just(Step::Purge),
    ]
}

/// The world as it really is: which sequences exist, and what each lane still owes.
#[derive(Default)]
struct Model {
    last: u64,
    stored: BTreeSet<u64>,
    record: TrimRecord,
    revision: u64,
    /// Consumers that exist: what they have acknowledged up to.
    consumers: BTreeMap<String, u64>,
    /// What each configured lane has never settled.
    owed: BTreeMap<String, BTreeSet<u64>>,
    drafts: BTreeMap<u8, (u64, TrimRecord)>,
    older_lanes: Vec<String>,
}

impl Model {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Store => {
                self.last += 1;
                self.stored.insert(self.last);
                for owed in self.owed.values_mut() {
                    owed.insert(self.last);
                }
            }
            Step::Settle { lane, count } => {
                let name = format!("lane-{lane}");
                let Some(acknowledged) = self.consumers.get_mut(&name) else { return };
                for _ in 0..count {
                    if let Some(next) = self.stored.range(*acknowledged + 1..).next() {
                        *acknowledged = *next;
                        self.owed.get_mut(&name).unwrap().remove(next);
                    }
                }
            }
            Step::LoseConsumer { lane } => {
                self.consumers.remove(&format!("lane-{lane}"));
            }
            Step::Repair => {
                // Deliveries after the recorded floor are repeated; what was settled before stays settled.
                for (name, floor) in &self.record.lanes {
                    self.consumers.entry(name.clone()).or_insert(*floor);
                }
            }
            Step::AddLane { lane, held } => {
                let name = format!("lane-{lane}");
                if self.record.lanes.contains_key(&name) {
                    return;
                }
                self.older_lanes = self.record.lanes.keys().cloned().collect();
                let start = self.record.add_lane(&name, if held { 0 } else { self.last });
                self.revision += 1;
                self.consumers.insert(name.clone(), start);
                self.owed.insert(name, self.stored.range(start + 1..).copied().collect());
            }
            Step::RemoveLane { lane } => {
                let name = format!("lane-{lane}");
                self.older_lanes = self.record.lanes.keys().cloned().collect();
                let others: Vec<String> = self.record.lanes.keys().filter(|key| **key != name).cloned().collect();
                if self.record.keep_lanes(others.iter().map(String::as_str)) {
                    self.revision += 1;
                    self.consumers.remove(&name);
                    self.owed.remove(&name);
                }
            }
            Step::Observe { worker, stale_config } => {
                let lanes: Vec<String> =
                    if stale_config { self.older_lanes.clone() } else { self.record.lanes.keys().cloned().collect() };
                let lanes: Vec<&str> = lanes.iter().map(String::as_str).collect();
                if let Some(next) = self.record.advance(&lanes, &self.consumers, u64::MAX) {
                    self.drafts.insert(worker, (self.revision, next));
                }
            }
            Step::Write { worker, killed } => {
                let Some((revision, next)) = self.drafts.remove(&worker) else { return };
                if revision == self.revision {
                    self.record = next;
                    self.revision += 1;
                    if !killed {
                        self.purge();
                    }
                }
            }
            Step::Purge => self.purge(),
        }
    }

    fn purge(&mut self) {
        let floor = self.record.floor;
        self.stored.retain(|sequence| *sequence > floor);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]
    #[test]
    fn no_event_that_a_configured_lane_has_not_settled_is_ever_gone(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::default();
        for step in steps {
            model.apply(step.clone());
            for (lane, owed) in &model.owed {
                for sequence in owed {
                    prop_assert!(model.stored.contains(sequence), "{lane} still owes {sequence}, gone after {step:?}");
                }
            }
        }
    }
}
