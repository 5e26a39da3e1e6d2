//! Metrics in the Prometheus text format. Labels are bounded: Integration and destination. Every counter is there from the
//! start, at zero.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use ropeway_crds::counters::Counts;

use crate::{
    account::{Account, Circuit},
    count::Tally,
};

mod poll;

pub use poll::{PollCounts, PollGauge};

/// One lane as metrics see it.
#[derive(Clone, Debug)]
pub struct LaneGauge {
    /// The Integration's name.
    pub integration: String,
    /// The destination's name within it.
    pub destination: String,
    /// What it counts.
    pub tally: Arc<Tally>,
    /// Its Destination, as all lanes know it.
    pub account: Arc<Account>,
}

/// Name, meaning and value of a gauge.
type Gauge<'a> = (&'a str, &'a str, &'a dyn Fn(&LaneGauge) -> i64);

#[derive(Debug)]
struct Lanes(Vec<LaneGauge>);

impl Collector for Lanes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for word in Counts::WORDS {
            let name = format!("ropeway_worker_{word}");
            let help = "What this worker counted since it started; the counter stream has the sum of all workers";
            for lane in &self.0 {
                let value = lane.tally.total().entries().find(|(name, _)| name == word).map_or(0, |(_, value)| value);
                let labels = [("integration", lane.integration.as_str()), ("destination", lane.destination.as_str())];
                let counter = ConstCounter::new(value);
                let mut family = encoder.encode_descriptor(&name, help, None, counter.metric_type())?;
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        let now = Timestamp::now();
        let bound = |lane: &LaneGauge| i64::from(lane.tally.report("").bound);
        let open = |lane: &LaneGauge| i64::from(lane.account.circuit(now) != Circuit::Closed);
        let under_way = |lane: &LaneGauge| i64::try_from(lane.account.pace().under_way()).unwrap_or(i64::MAX);
        let gauges: [Gauge<'_>; 3] = [
            ("ropeway_worker_lane_bound", "Whether the lane reads its consumers", &bound),
            ("ropeway_worker_circuit_open", "Whether the circuit of the lane's Destination is not closed", &open),
            ("ropeway_worker_requests_under_way", "Requests of this worker to the lane's Destination", &under_way),
        ];
        for (name, help, value) in gauges {
            for lane in &self.0 {
                let gauge = ConstGauge::new(value(lane));
                let labels = [("integration", lane.integration.as_str()), ("destination", lane.destination.as_str())];
                let mut family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// A registry with the counters of these lanes and pollers.
pub fn registry(lanes: Vec<LaneGauge>, polls: Vec<PollGauge>) -> Registry {
    let mut registry = Registry::default();
    if !polls.is_empty() {
        registry.register_collector(Box::new(poll::Polls(polls)));
    }
    registry.register_collector(Box::new(Lanes(lanes)));
    registry
}

/// The text that Prometheus reads.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = encode(&mut text, registry);
    text
}
