//! What the operator counts about itself, and the dead letters that it sees. Labels are bounded: kinds and classes. Only
//! dead letters carry names, one series for each destination that has any, and they go with the object.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::io::reports::Figures;

/// The kinds that are reconciled.
pub const KINDS: [&str; 2] = ["Integration", "Destination"];

/// The label of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    kind: &'static str,
}

/// The labels of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabel {
    kind: &'static str,
    class: &'static str,
}

/// The labels of one destination's dead letters. `namespace` would meet the label of the scraped pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    integration_namespace: String,
    integration: String,
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<KindLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    duration: Family<KindLabel, Histogram>,
    status_writes: Family<KindLabel, Counter>,
    token_refreshes: Family<OutcomeLabel, Counter>,
    watch_errors: Counter,
    unreadable_reports: Counter,
    discarded_messages: Counter,
    released: Counter,
    dead_letters: Family<LaneLabel, Gauge>,
    dead_letter_age: Family<LaneLabel, Gauge>,
    lanes: Mutex<HashMap<(String, String), Vec<LaneLabel>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything; what is known in advance stands at zero from the start.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("ropeway_operator");
        let duration = Family::<KindLabel, Histogram>::new_with_constructor(|| {
            Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
        });
        let metrics = Self {
            reconciles: Family::default(),
            failures: Family::default(),
            duration,
            status_writes: Family::default(),
            token_refreshes: Family::default(),
            watch_errors: Counter::default(),
            unreadable_reports: Counter::default(),
            discarded_messages: Counter::default(),
            released: Counter::default(),
            dead_letters: Family::default(),
            dead_letter_age: Family::default(),
            lanes: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register("reconciles", "Reconciles begun", metrics.reconciles.clone());
        registry.register("failures", "Reconciles that failed, by class of the error", metrics.failures.clone());
        registry.register("token_refreshes", "Refresh tokens exchanged, by outcome", metrics.token_refreshes.clone());
        for outcome in ["granted", "failed"] {
            let _ = metrics.token_refreshes.get_or_create(&OutcomeLabel { outcome });
        }
        registry.register("reconcile_seconds", "How long reconciles took", metrics.duration.clone());
        registry.register("status_writes", "Status writes", metrics.status_writes.clone());
        registry.register("watch_errors", "Errors of watches; each is tried again", metrics.watch_errors.clone());
        registry.register(
            "unreadable_reports",
            "Entries read from NATS that made no sense and were ignored",
            metrics.unreadable_reports.clone(),
        );
        registry.register(
            "discarded_messages",
            "Messages that were discarded with a deleted Integration",
            metrics.discarded_messages.clone(),
        );
        registry.register(
            "released_objects",
            "Deleted objects that were let go although NATS could not be reached",
            metrics.released.clone(),
        );
        registry.register(
            "dead_letters",
            "Dead letters that are there now, of each destination of an Integration",
            metrics.dead_letters.clone(),
        );
        registry.register(
            "dead_letters_oldest_age_seconds",
            "How long ago the oldest dead letter of a destination was written; 0 where there is none",
            metrics.dead_letter_age.clone(),
        );
        for kind in KINDS {
            drop(metrics.reconciles.get_or_create(&KindLabel { kind }));
            drop(metrics.status_writes.get_or_create(&KindLabel { kind }));
        }
        Self { registry, ..metrics }
    }

    /// A reconcile ended.
    pub fn reconciled(&self, kind: &'static str, took: Duration, failure: Option<&'static str>) {
        self.reconciles.get_or_create(&KindLabel { kind }).inc();
        self.duration.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
        if let Some(class) = failure {
            self.failures.get_or_create(&FailureLabel { kind, class }).inc();
        }
    }

    /// A status was written.
    pub fn status_written(&self, kind: &'static str) {
        self.status_writes.get_or_create(&KindLabel { kind }).inc();
    }

    /// A refresh token was exchanged for an access token.
    pub fn token_granted(&self) {
        self.token_refreshes.get_or_create(&OutcomeLabel { outcome: "granted" }).inc();
    }

    /// A refresh token could not be exchanged.
    pub fn token_failed(&self) {
        self.token_refreshes.get_or_create(&OutcomeLabel { outcome: "failed" }).inc();
    }

    /// A watch had an error.
    pub fn watch_failed(&self) {
        self.watch_errors.inc();
    }

    /// Entries read from NATS made no sense.
    pub fn unreadable(&self, count: u64) {
        self.unreadable_reports.inc_by(count);
    }

    /// Messages were discarded with a deleted Integration.
    pub fn discarded(&self, count: u64) {
        self.discarded_messages.inc_by(count);
    }

    /// A deleted object was let go although NATS could not be reached.
    pub fn released(&self) {
        self.released.inc();
    }

    /// An Integration's dead letters as they are at this time. What it had before and has no more is gone.
    pub fn saw_dead_letters(&self, namespace: &str, integration: &str, figures: &Figures, now: Timestamp) {
        let label = |destination: &String| LaneLabel {
            integration_namespace: namespace.to_owned(),
            integration: integration.to_owned(),
            destination: destination.clone(),
        };
        // Lanes without any stand at zero, so that growth from nothing is seen.
        let counts: HashMap<LaneLabel, u64> = figures
            .pending
            .keys()
            .map(|name| (label(name), 0))
            .chain(figures.dead_letters.iter().map(|(name, count)| (label(name), *count)))
            .collect();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lanes.insert((namespace.to_owned(), integration.to_owned()), counts.keys().cloned().collect());
        for gone in known.into_iter().flatten().filter(|label| !counts.contains_key(label)) {
            self.drop_series(&gone);
        }
        for (label, count) in counts {
            let oldest = figures.oldest_by_destination.get(&label.destination);
            let age = oldest.map_or(0, |oldest| (now.as_second() - oldest.as_second()).max(0));
            self.dead_letters.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            self.dead_letter_age.get_or_create(&label).set(age);
        }
    }

    /// An Integration is gone, and its series with it.
    pub fn forget(&self, namespace: &str, integration: &str) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lanes.remove(&(namespace.to_owned(), integration.to_owned()));
        known.into_iter().flatten().for_each(|label| self.drop_series(&label));
    }

    fn drop_series(&self, label: &LaneLabel) {
        self.dead_letters.remove(label);
        self.dead_letter_age.remove(label);
    }

    /// Everything in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_at_zero_from_the_start_and_count() {
        let metrics = Metrics::new();
        assert!(metrics.text().contains(r#"ropeway_operator_reconciles_total{kind="Integration"} 0"#));
        metrics.reconciled("Integration", Duration::from_millis(3), Some("NatsUnavailable"));
        let text = metrics.text();
        assert!(text.contains(r#"reconciles_total{kind="Integration"} 1"#), "{text}");
        assert!(text.contains(r#"class="NatsUnavailable"} 1"#), "{text}");
    }

    #[test]
    fn dead_letters_have_a_series_for_each_destination_which_goes_with_it() {
        let metrics = Metrics::new();
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut figures = Figures {
            pending: [("crm".to_owned(), 3), ("shop".to_owned(), 0)].into(),
            dead_letters: [("crm".to_owned(), 7)].into(),
            oldest_by_destination: [("crm".to_owned(), second(100))].into(),
            ..Figures::default()
        };
        metrics.saw_dead_letters("sales", "signups", &figures, second(160));
        let text = metrics.text();
        let labels = |destination| {
            format!(r#"{{integration_namespace="sales",integration="signups",destination="{destination}"}}"#)
        };
        assert!(text.contains(&format!("ropeway_operator_dead_letters{} 7\n", labels("crm"))), "{text}");
        assert!(text.contains(&format!("ropeway_operator_dead_letters{} 0\n", labels("shop"))), "{text}");
        let age = "ropeway_operator_dead_letters_oldest_age_seconds";
        assert!(text.contains(&format!("{age}{} 60\n", labels("crm"))), "{text}");
        figures.pending.remove("shop");
        metrics.saw_dead_letters("sales", "signups", &figures, second(170));
        assert!(!metrics.text().contains("shop"));
        metrics.forget("sales", "signups");
        assert!(!metrics.text().contains("signups"));
    }
}
