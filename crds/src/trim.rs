//! The record that says how far an events stream may be trimmed, and the pure steps on it.
//!
//! It lives in KV and changes by compare-and-set only. The invariant: no event above `floor` is ever purged, `floor` is at
//! most every configured lane's own floor, and a lane that is added starts at or above `floor`. So an event that a
//! configured lane has not settled is never gone, whatever is deleted by hand or killed in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far the events stream of one Integration may be trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrimRecord {
    /// For each configured lane, by destination name, the highest sequence up to which it is known to have settled everything.
    pub lanes: BTreeMap<String, u64>,
    /// The highest sequence that may be purged.
    pub floor: u64,
}

impl TrimRecord {
    /// Adds a lane that starts after `start`, or at the trim floor where that is higher. Answers where it starts: its
    /// consumer is to begin with the next sequence. An existing lane keeps its floor.
    pub fn add_lane(&mut self, destination: &str, start: u64) -> u64 {
        let floor = self.floor;
        *self.lanes.entry(destination.to_owned()).or_insert(start.max(floor))
    }

    /// Removes the lanes that `keep` does not name. Answers whether there were any.
    pub fn keep_lanes<'a>(&mut self, keep: impl IntoIterator<Item = &'a str>) -> bool {
        let keep: std::collections::BTreeSet<&str> = keep.into_iter().collect();
        let before = self.lanes.len();
        self.lanes.retain(|destination, _| keep.contains(destination.as_str()));
        self.lanes.len() != before
    }

    /// The record after a look at the lanes' consumers, or `None` where nothing may or need be changed.
    ///
    /// `acknowledged` holds, for each lane that the observer is configured with, its consumer's floor; a lane whose
    /// consumer is missing is absent and stays at its recorded floor, which stops the trimming. An observer whose lanes
    /// differ from the record's has an older or newer spec and changes nothing. `keep_above` is the highest sequence
    /// that is old enough to go.
    pub fn advance(&self, configured: &[&str], acknowledged: &BTreeMap<String, u64>, keep_above: u64) -> Option<Self> {
        let same_lanes = configured.len() == self.lanes.len()
            && configured.iter().all(|destination| self.lanes.contains_key(*destination));
        if !same_lanes || self.lanes.is_empty() {
            return None;
        }
        let mut next = self.clone();
        for (destination, floor) in &mut next.lanes {
            *floor = acknowledged.get(destination).map_or(*floor, |seen| (*seen).max(*floor));
        }
        let lowest = next.lanes.values().copied().min().unwrap_or(0);
        next.floor = self.floor.max(lowest.min(keep_above));
        (next != *self).then_some(next)
    }
}

#[cfg(test)]
mod tests;
