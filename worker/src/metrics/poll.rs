//! What pollers count.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use ropeway_crds::poll::PollRecord;

use crate::intake::poll::run::{PageFacts, Which};

/// What one poller counts since it started.
#[derive(Debug, Default)]
pub struct PollCounts {
    complete: AtomicU64,
    not_modified: AtomicU64,
    ended_early: AtomicU64,
    failed: AtomicU64,
    stored: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    /// When a run last read everything, in seconds since 1970; zero where none has.
    last_success: AtomicI64,
}

/// One poller as metrics see it.
#[derive(Clone, Debug)]
pub struct PollGauge {
    /// The Integration's name.
    pub integration: String,
    /// What it counts.
    pub counts: Arc<PollCounts>,
}

impl PollCounts {
    /// A page was stored.
    pub(crate) fn page(&self, facts: &PageFacts) {
        self.stored.fetch_add(facts.stored, Ordering::Relaxed);
        self.repeated.fetch_add(facts.repeated, Ordering::Relaxed);
        self.refused.fetch_add(facts.refused, Ordering::Relaxed);
    }

    /// A request failed and is made again.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A run has ended.
    pub(crate) fn ended(&self, record: &PollRecord, which: Which) {
        let ended = match which {
            Which::Live => record.last_run.as_ref(),
            Which::Backfill => record.backfill.as_ref().and_then(|backfill| backfill.result.as_ref()),
        };
        let counter = match ended.map(|ended| ended.outcome.as_str()) {
            Some("Complete") => &self.complete,
            Some("NotModified") => &self.not_modified,
            _ => &self.ended_early,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The record was read or written.
    pub(crate) fn saw(&self, record: &PollRecord) {
        let success = record.last_success.map_or(0, Timestamp::as_second);
        self.last_success.store(success, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Polls(pub(super) Vec<PollGauge>);

impl Collector for Polls {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        type Value = fn(&PollCounts) -> &AtomicU64;
        /// Name, meaning, label, and the values of that label.
        type Family<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, Value)]);
        let runs: [(&str, Value); 3] = [
            ("Complete", |counts| &counts.complete),
            ("NotModified", |counts| &counts.not_modified),
            ("EndedEarly", |counts| &counts.ended_early),
        ];
        let items: [(&str, Value); 3] = [
            ("stored", |counts| &counts.stored),
            ("repeated", |counts| &counts.repeated),
            ("refused", |counts| &counts.refused),
        ];
        let families: [Family<'_>; 3] = [
            ("ropeway_worker_poll_runs", "Runs over a polled API that ended in this worker", "outcome", &runs),
            ("ropeway_worker_poll_items", "Items of a polled API that this worker read", "result", &items),
            (
                "ropeway_worker_poll_requests_failed",
                "Requests to a polled API that failed and were made again",
                "result",
                &[("failed", |counts| &counts.failed)],
            ),
        ];
        for (name, help, label, values) in families {
            for gauge in &self.0 {
                for (word, value) in values {
                    let counter = ConstCounter::new(value(&gauge.counts).load(Ordering::Relaxed));
                    let labels = [("integration", gauge.integration.as_str()), (label, *word)];
                    let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
                    counter.encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let now = Timestamp::now().as_second();
        for gauge in &self.0 {
            let last = gauge.counts.last_success.load(Ordering::Relaxed);
            if last > 0 {
                let age = ConstGauge::new((now - last).max(0));
                let help = "Seconds since a run last read everything, in any worker";
                let name = "ropeway_worker_poll_success_age_seconds";
                let mut family = encoder.encode_descriptor(name, help, None, age.metric_type())?;
                age.encode(family.encode_family(&[("integration", gauge.integration.as_str())])?)?;
            }
        }
        Ok(())
    }
}
