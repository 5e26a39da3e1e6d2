//! Destinations: `watch ─▶ observe ─▶ resolve ─▶ wish ─▶ status`. A Destination has no children: what is sent to it is the business
//! of the Integrations that name it, and its status is folded from theirs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use ropeway_crds::{condition::Finding, status::DestinationStatus};

use crate::integration::visits::{Key, Mark};

pub mod broker;
pub mod observe;
pub mod reconcile;
pub mod resolve;
pub mod status;
pub mod watch;
pub mod wish;

/// What was last found out about a Destination.
#[derive(Clone, Debug)]
pub struct Found {
    /// What of the object was seen.
    pub mark: Mark,
    /// When.
    pub time: Instant,
    /// What it names.
    pub facts: observe::Facts,
    /// What was wrong.
    pub findings: Vec<Finding>,
}

/// What is remembered of every Destination. Nothing of it is needed for correctness.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    found: HashMap<Key, Found>,
    written: HashMap<Key, (DestinationStatus, Instant)>,
    failures: HashMap<Key, u32>,
    attempts: HashMap<Key, broker::Attempt>,
    quiet: HashMap<Key, broker::Quiet>,
}

impl Memory {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What was last found out, if nothing that matters has changed since.
    pub fn recent(&self, key: &Key, mark: &Mark) -> Option<Found> {
        let interval = crate::integration::visits::FULL_INTERVAL;
        let found = self.remembered().found.get(key).cloned();
        found.filter(|found| found.mark == *mark && found.time.elapsed() < interval)
    }

    /// Remembers what was found out.
    pub fn remember(&self, key: Key, found: Found) {
        let mut remembered = self.remembered();
        // The spec may be another one.
        remembered.quiet.remove(&key);
        remembered.found.insert(key, found);
    }

    /// Forgets what was found out about the Destinations of a namespace that name something, and names them.
    pub fn touch_where(&self, namespace: &str, names: impl Fn(&observe::Facts) -> bool) -> Vec<Key> {
        let mut remembered = self.remembered();
        let uses = |(key, found): &(&Key, &Found)| key.0 == namespace && names(&found.facts);
        let keys: Vec<Key> = remembered.found.iter().filter(uses).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            remembered.found.remove(key);
            remembered.quiet.remove(key);
        }
        keys
    }

    /// The status that was last written, and when.
    pub fn written(&self, key: &Key) -> Option<(DestinationStatus, Instant)> {
        self.remembered().written.get(key).cloned()
    }

    /// Remembers a status that was written.
    pub fn wrote(&self, key: Key, status: DestinationStatus) {
        let mut remembered = self.remembered();
        remembered.failures.remove(&key);
        remembered.written.insert(key, (status, Instant::now()));
    }

    /// How the last attempt to refresh a token ended, if it gave nothing.
    pub fn attempt(&self, key: &Key) -> Option<broker::Attempt> {
        self.remembered().attempts.get(key).cloned()
    }

    /// Remembers an attempt that gave nothing.
    pub fn attempted(&self, key: Key, attempt: broker::Attempt) {
        let mut remembered = self.remembered();
        remembered.quiet.remove(&key);
        remembered.attempts.insert(key, attempt);
    }

    /// Forgets such attempts: there is a token, of which nothing is to be done for a while.
    pub fn refreshed(&self, key: Key, quiet: broker::Quiet) {
        let mut remembered = self.remembered();
        remembered.attempts.remove(&key);
        remembered.quiet.insert(key, quiet);
    }

    /// Tokens of which nothing was to be done when they were last looked at.
    pub fn quiet(&self, key: &Key) -> Option<broker::Quiet> {
        self.remembered().quiet.get(key).cloned()
    }

    /// Counts a failure and answers how many there were in a row.
    pub fn failed(&self, key: Key) -> u32 {
        let mut remembered = self.remembered();
        let failures = remembered.failures.entry(key).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }

    /// Forgets a Destination that is gone.
    pub fn forget(&self, key: &Key) {
        let mut remembered = self.remembered();
        remembered.found.remove(key);
        remembered.written.remove(key);
        remembered.failures.remove(key);
        remembered.attempts.remove(key);
        remembered.quiet.remove(key);
    }
}
