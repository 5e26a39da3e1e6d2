//! Which workers are alive, which of them are current, and what they say. Heartbeats are untrusted: a worker's clock may be
//! off, its lanes may be others.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ropeway_crds::{
    integration::State,
    report::{HEARTBEAT_LOST_SECONDS, LaneReport, Problem, WorkerReport},
};

use crate::integration::plan::JetStreamPlan;

/// The workers that are alive.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// Those whose last heartbeat is young enough.
    pub live: Vec<WorkerReport>,
    /// Those of them that run with the current configuration.
    pub current: Vec<WorkerReport>,
    /// Names of those of them that are bound to every lane.
    pub ready: BTreeSet<String>,
    /// For each destination, whether every current worker is bound to it, and if there is one.
    pub bound: BTreeMap<String, bool>,
}

/// Sorts heartbeats by what they are worth.
pub fn judge_workers(reports: &[WorkerReport], fingerprint: &str, plan: &JetStreamPlan, now: Timestamp) -> Workers {
    let age = |report: &WorkerReport| (now.as_second() - report.time.as_second()).abs();
    let live: Vec<WorkerReport> =
        reports.iter().filter(|report| age(report) <= HEARTBEAT_LOST_SECONDS).cloned().collect();
    let current: Vec<WorkerReport> = live.iter().filter(|report| report.config == fingerprint).cloned().collect();
    let lanes: Vec<&str> = plan.lanes.iter().map(|lane| lane.destination.as_str()).collect();
    let is_bound = |report: &WorkerReport, destination: &str| {
        report.lanes.iter().any(|lane| lane.destination == destination && lane.bound)
    };
    let ready = current
        .iter()
        .filter(|report| report.state.is_some() && lanes.iter().all(|lane| is_bound(report, lane)))
        .map(|report| report.worker.clone())
        .collect();
    let bound = lanes
        .iter()
        .map(|lane| ((*lane).to_owned(), !current.is_empty() && current.iter().all(|report| is_bound(report, lane))))
        .collect();
    Workers { live, current, ready, bound }
}

impl Workers {
    /// How many are ready.
    pub fn ready_count(&self) -> i32 {
        i32::try_from(self.ready.len()).unwrap_or(i32::MAX)
    }

    /// The state that has taken effect in every live worker.
    pub fn confirmed_state(&self) -> Option<State> {
        let mut states = self.live.iter().map(|report| report.state);
        let first = states.next()??;
        states.all(|state| state == Some(first)).then_some(first)
    }

    /// What keeps a current worker from receiving.
    pub fn source_problem(&self) -> Option<&Problem> {
        self.current.iter().find_map(|report| report.source_problem.as_ref())
    }

    /// What keeps a lane from its work, with the destination's name.
    pub fn lane_problem(&self) -> Option<(&str, &Problem)> {
        let mut lanes = self.current.iter().flat_map(|report| &report.lanes).filter(|lane| !lane.bound);
        lanes.find_map(|lane| lane.problem.as_ref().map(|problem| (lane.destination.as_str(), problem)))
    }

    /// The reports of all live workers on one lane.
    pub fn lane<'a>(&'a self, destination: &'a str) -> impl Iterator<Item = &'a LaneReport> {
        self.live.iter().flat_map(|report| &report.lanes).filter(move |lane| lane.destination == destination)
    }

    /// Whether a live worker still works on a lane.
    pub fn works_on(&self, destination: &str) -> bool {
        self.lane(destination).next().is_some()
    }
}
