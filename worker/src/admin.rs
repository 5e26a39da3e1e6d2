//! Health checks and metrics. Readiness latches: once the configuration was valid and every lane had found its consumers,
//! trouble with NATS shows as a 503 to senders and not as a refused connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus_client::registry::Registry;

use crate::metrics::{self, LaneGauge, PollGauge};

#[derive(Clone, Debug)]
struct Admin {
    lanes: Arc<Vec<LaneGauge>>,
    registry: Arc<Registry>,
    was_ready: Arc<AtomicBool>,
}

/// The routes `/healthz`, `/readyz` and `/metrics`.
pub fn router(lanes: Vec<LaneGauge>, polls: Vec<PollGauge>) -> Router {
    let admin = Admin {
        registry: Arc::new(metrics::registry(lanes.clone(), polls)),
        lanes: Arc::new(lanes),
        was_ready: Arc::default(),
    };
    Router::new()
        .route("/healthz", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { metrics::text(&admin.registry) }))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    if admin.was_ready.load(Ordering::Relaxed) {
        return (StatusCode::OK, "ready".into());
    }
    // A lane that lacks a Secret must not keep the others out of service.
    let waiting = admin.lanes.iter().find_map(|lane| {
        let report = lane.tally.report(&lane.destination);
        let has_its_consumers = report.bound || report.problem.as_ref().is_some_and(|it| it.reason == "SecretMissing");
        (!has_its_consumers).then(|| match report.problem {
            Some(problem) => format!("the lane to {} waits: {}", lane.destination, problem.message),
            None => format!("the lane to {} has not looked for its consumers yet", lane.destination),
        })
    });
    match waiting {
        Some(waiting) => (StatusCode::SERVICE_UNAVAILABLE, waiting),
        None => {
            admin.was_ready.store(true, Ordering::Relaxed);
            (StatusCode::OK, "ready".into())
        }
    }
}
