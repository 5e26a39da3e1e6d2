//! What the operator counts about itself. Labels are bounded: kinds and classes, never names.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

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

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<KindLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    duration: Family<KindLabel, Histogram>,
    status_writes: Family<KindLabel, Counter>,
    watch_errors: Counter,
    unreadable_reports: Counter,
    discarded_messages: Counter,
    released: Counter,
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
            watch_errors: Counter::default(),
            unreadable_reports: Counter::default(),
            discarded_messages: Counter::default(),
            released: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("reconciles", "Reconciles begun", metrics.reconciles.clone());
        registry.register("failures", "Reconciles that failed, by class of the error", metrics.failures.clone());
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
}
