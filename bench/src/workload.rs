//! What is measured.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is measured. The names are those of `docs/benchmarks.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Workload {
    /// One event a request, from a full stream.
    T1,
    /// A hundred events a request, from a full stream.
    T2,
    /// The latency of single events at a modest rate.
    T5,
    /// A thousand idle lanes in one worker.
    O1,
    /// One of a hundred destinations hangs.
    F4,
    /// Healthy senders among those who mean no good.
    I1,
    /// A request that waits for the destination's answer.
    R1,
    /// Full requests to each vendor, from a full stream.
    V1,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::T1, Self::T2, Self::T5, Self::O1, Self::F4, Self::I1, Self::R1, Self::V1];

    /// Events of one request.
    #[must_use]
    pub fn batch(self) -> usize {
        if self == Self::T2 { 100 } else { 1 }
    }

    /// Requests at a time. A lane's consumer hands out 1 000 events at most, which are ten batches of a hundred.
    #[must_use]
    pub fn in_flight(self) -> usize {
        if self == Self::T2 { 8 } else { 64 }
    }
}

/// Why a figure is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMeasured(pub String);
