//! What is remembered of each Integration between two visits: the last plan, when everything was last looked at, how often
//! it failed in a row. Nothing of it is needed for correctness: after a restart it is made again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use ropeway_crds::{
    Integration,
    account::{CircuitRecord, LimitRecord},
    condition::Finding,
    counters::Counts,
    proof::ProofRecord,
    report::LaneReport,
    status::IntegrationStatus,
};

use crate::{
    integration::{
        apply::RemovedLane,
        observe::References,
        plan::{Plan, expose::HttpRoute},
        resolve::Resolved,
    },
    io::reports::Figures,
};

/// Everything is looked at again at least this often: an event that was missed costs minutes, never correctness.
pub const FULL_INTERVAL: Duration = Duration::from_secs(300);

/// Namespace and name.
pub type Key = (String, String);

/// The last full visit to an Integration.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What of the object was seen: only another mark makes a new visit.
    pub mark: Mark,
    /// When.
    pub time: Instant,
    /// Whether something has happened since that it did not see.
    pub stale: bool,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// The last plan that could be made.
    pub plan: Option<Arc<Planned>>,
    /// The workers' Deployment as it was then.
    pub deployment: Option<Deployment>,
    /// The HTTPRoute as it was then, where one was asked for.
    pub route: Option<HttpRoute>,
    /// Lanes that still have to be emptied.
    pub removed: Vec<RemovedLane>,
    /// Whether configurations that nobody uses may still be there.
    pub unpruned: bool,
    /// The figures as they were last read, and when.
    pub figures: Option<(Figures, Instant)>,
}

/// A plan and what it was made of.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it was made of.
    pub resolved: Resolved,
    /// The plan.
    pub plan: Plan,
}

/// One lane as a Destination sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneView {
    /// Name of the Destination.
    pub reference: String,
    /// Its counters.
    pub counts: Counts,
    /// What it has not settled yet.
    pub pending: u64,
    /// Its dead letters.
    pub dead_letters: u64,
    /// What live workers say about it.
    pub reports: Vec<LaneReport>,
    /// The circuit of the Destination.
    pub circuit: Option<CircuitRecord>,
    /// The rate limit of the Destination.
    pub limit: Option<LimitRecord>,
    /// What the Destination's probe showed.
    pub proof: Option<ProofRecord>,
}

/// What of an object wakes the reconciler: everything but its status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    uid: Option<String>,
    generation: Option<i64>,
    deleted: bool,
    finalizers: Vec<String>,
    annotations: Vec<(String, String)>,
}

impl Mark {
    /// The mark of an object.
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            uid: meta.uid.clone(),
            generation: meta.generation,
            deleted: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            annotations: meta.annotations.clone().unwrap_or_default().into_iter().collect(),
        }
    }
}

#[derive(Debug, Default)]
struct Memory {
    visits: HashMap<Key, Visit>,
    references: HashMap<Key, References>,
    touched: HashSet<Key>,
    failures: HashMap<Key, u32>,
    written: HashMap<Key, (IntegrationStatus, Instant)>,
    lanes: HashMap<Key, Vec<LaneView>>,
}

/// What is remembered of every Integration.
#[derive(Debug, Default)]
pub struct Visits(Mutex<Memory>);

impl Visits {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The last full visit, if nothing that matters has changed since.
    pub fn recent(&self, integration: &Integration) -> Option<Visit> {
        let key = key_of(integration);
        let mut memory = self.memory();
        let touched = memory.touched.remove(&key);
        let visit = memory.visits.get_mut(&key)?;
        // Stays so until a full visit came to its end.
        visit.stale |= touched;
        let fresh = !visit.stale && visit.mark == Mark::of(integration) && visit.time.elapsed() < FULL_INTERVAL;
        fresh.then(|| visit.clone())
    }

    /// Remembers a visit.
    pub fn remember(&self, integration: &Integration, visit: Visit) {
        self.memory().visits.insert(key_of(integration), visit);
    }

    /// The last plan, whatever has changed since.
    pub fn last(&self, integration: &Integration) -> Option<Visit> {
        self.memory().visits.get(&key_of(integration)).cloned()
    }

    /// Remembers what an Integration refers to.
    pub fn refer(&self, integration: &Integration, references: References) {
        self.memory().references.insert(key_of(integration), references);
    }

    /// Marks an Integration so that its next visit is a full one.
    pub fn touch(&self, key: Key) {
        self.memory().touched.insert(key);
    }

    /// Marks the Integrations of a namespace whose references match, and names them.
    pub fn touch_where(&self, namespace: &str, matches: impl Fn(&References) -> bool) -> Vec<Key> {
        let mut memory = self.memory();
        let found: Vec<Key> = memory
            .references
            .iter()
            .filter(|((space, _), references)| space == namespace && matches(references))
            .map(|(key, _)| key.clone())
            .collect();
        memory.touched.extend(found.iter().cloned());
        found
    }

    /// The status that was last written, and when.
    pub fn written(&self, integration: &Integration) -> Option<(IntegrationStatus, Instant)> {
        self.memory().written.get(&key_of(integration)).cloned()
    }

    /// Remembers a status that was written.
    pub fn wrote(&self, integration: &Integration, status: IntegrationStatus) {
        self.memory().written.insert(key_of(integration), (status, Instant::now()));
    }

    /// Remembers the lanes of an Integration, for its Destinations.
    pub fn see_lanes(&self, integration: &Integration, lanes: Vec<LaneView>) {
        self.memory().lanes.insert(key_of(integration), lanes);
    }

    /// The lanes of a namespace's Integrations that lead to a Destination.
    pub fn lanes_to(&self, namespace: &str, destination: &str) -> Vec<LaneView> {
        let memory = self.memory();
        let of_namespace = memory.lanes.iter().filter(|((space, _), _)| space == namespace);
        of_namespace.flat_map(|(_, lanes)| lanes).filter(|lane| lane.reference == destination).cloned().collect()
    }

    /// How many Integrations of a namespace name a Destination.
    pub fn users_of(&self, namespace: &str, destination: &str) -> usize {
        let memory = self.memory();
        let of_namespace = memory.references.iter().filter(|((space, _), _)| space == namespace);
        of_namespace.filter(|(_, references)| references.destinations.contains(destination)).count()
    }

    /// Counts a failure and answers how many there were in a row.
    pub fn failed(&self, key: Key) -> u32 {
        let mut memory = self.memory();
        let failures = memory.failures.entry(key).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }

    /// Forgets the failures.
    pub fn succeeded(&self, integration: &Integration) {
        self.memory().failures.remove(&key_of(integration));
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        let mut memory = self.memory();
        memory.visits.remove(key);
        memory.references.remove(key);
        memory.touched.remove(key);
        memory.failures.remove(key);
        memory.written.remove(key);
        memory.lanes.remove(key);
    }
}

/// Namespace and name of an Integration.
pub fn key_of(integration: &Integration) -> Key {
    (integration.namespace().unwrap_or_default(), integration.name_any())
}

/// The pause after that many failures in a row: 1 s, 2 s, … at most 5 minutes, half of it random. `jitter` is at least 0
/// and below 1.
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    let full = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    full.mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_half_of_one_is_random() {
        assert_eq!(backoff(1, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(4, 0.0), Duration::from_secs(8));
        assert_eq!(backoff(u32::MAX, 0.0), Duration::from_secs(300));
        assert!(backoff(4, 0.999) > Duration::from_secs(4));
    }
}
