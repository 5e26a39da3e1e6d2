//! What becomes of the trim record when an Integration is looked after. Pure; the record's own rules are in
//! [`ropeway_crds::trim`].

use ropeway_crds::{integration::LaneStart, trim::TrimRecord};

use crate::integration::plan::LanePlan;

/// What is known of the stream that events are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Its last sequence.
    pub last_sequence: u64,
    /// Whether it is one of ours.
    pub own: bool,
    /// What the first lanes of all count as settled: they begin behind it.
    pub begun: u64,
    /// Whether it is a work queue.
    pub work_queue: bool,
}

/// The record with every lane of the plan in it, and with what consumers are known to have settled. Lanes that left the
/// plan stay until they are empty.
pub(super) fn with_lanes(
    before: Option<&TrimRecord>,
    lanes: &[LanePlan],
    source: &Source,
    floors: &[(String, u64)],
) -> TrimRecord {
    let mut record = before.cloned().unwrap_or_default();
    for lane in lanes {
        let start = match (before, lane.start_at) {
            // The first lanes of all begin where the source says.
            (None, _) => source.begun,
            (Some(_), LaneStart::New) => source.last_sequence,
            (Some(_), LaneStart::Held) => record.floor,
        };
        record.add_lane(&lane.destination, start);
    }
    for (destination, floor) in floors {
        if let Some(known) = record.lanes.get_mut(destination) {
            *known = (*known).max(*floor);
        }
    }
    record
}

/// The first sequence of an events stream that is made again: behind everything that a lane has settled, so that a
/// consumer that begins behind its recorded floor misses nothing. `None` for a new one.
pub(super) fn next_sequence(record: &TrimRecord) -> Option<u64> {
    let highest = record.lanes.values().copied().chain([record.floor]).max().unwrap_or(0);
    (highest > 0).then_some(highest + 1)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use ropeway_crds::names::{LaneId, ShortUid};

    use super::*;
    use crate::integration::{plan::streams::lane_consumer, resolve::Identity};

    fn lane(destination: &str, start_at: LaneStart) -> LanePlan {
        let identity =
            Identity { name: "i".into(), namespace: "n".into(), namespace_uid: "nu".into(), uid: "iu".into() };
        let lane = LaneId::new(&ShortUid::of("iu"), destination);
        let consumer = lane_consumer(&identity, &lane, Duration::from_secs(30), Vec::new());
        LanePlan {
            destination: destination.into(),
            lane,
            account: None,
            start_at,
            events: consumer.clone(),
            retries: consumer,
        }
    }

    fn source(own: bool, begun: u64) -> Source {
        Source { last_sequence: 90, own, begun, work_queue: false }
    }

    #[test]
    fn lanes_begin_where_the_spec_says() {
        let record = TrimRecord { lanes: BTreeMap::from([("old".into(), 40)]), floor: 30 };
        let (new, held) = (lane("x", LaneStart::New), lane("x", LaneStart::Held));
        let own = source(true, 0);
        let cases = [
            ("first lane of our own stream", None, &new, own, 0),
            ("first lane, new events of the user's", None, &new, source(false, 90), 90),
            ("first lane, all events of the user's", None, &new, source(false, 0), 0),
            ("first lane, the user's from a time on", None, &new, source(false, 57), 57),
            ("added later, new events", Some(&record), &new, own, 90),
            ("added later, held events", Some(&record), &held, own, 30),
            ("added later to the user's", Some(&record), &new, source(false, 0), 90),
        ];
        for (name, before, lane, source, expected) in cases {
            let next = with_lanes(before, std::slice::from_ref(lane), &source, &[]);
            assert_eq!(next.lanes["x"], expected, "{name}");
        }
    }

    #[test]
    fn a_lane_keeps_its_floor_and_a_removed_one_stays_in_the_record() {
        let record = TrimRecord { lanes: BTreeMap::from([("a".into(), 40), ("gone".into(), 35)]), floor: 30 };
        let next = with_lanes(Some(&record), &[lane("a", LaneStart::New)], &source(true, 0), &[]);
        assert_eq!(next, record);
        let settled = [("a".to_owned(), 50), ("unheard-of".to_owned(), 99)];
        let next = with_lanes(Some(&record), &[lane("a", LaneStart::New)], &source(false, 0), &settled);
        assert_eq!((next.lanes["a"], next.lanes.len()), (50, 2));
    }

    #[test]
    fn a_stream_that_is_made_again_counts_on() {
        assert_eq!(next_sequence(&TrimRecord::default()), None);
        let record = TrimRecord { lanes: BTreeMap::from([("a".into(), 40), ("b".into(), 55)]), floor: 40 };
        assert_eq!(next_sequence(&record), Some(56));
    }
}
