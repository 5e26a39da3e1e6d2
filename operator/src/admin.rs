//! HTTP for the kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, RwLock},
};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Why the operator is not ready. Empty means that it is.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Vec<String>>>);

impl Readiness {
    /// Not ready, for one reason.
    pub fn waiting(reason: &str) -> Self {
        Self(Arc::new(RwLock::new(vec![reason.to_owned()])))
    }

    /// Replaces the reasons.
    pub fn set(&self, reasons: Vec<String>) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = reasons;
    }

    /// The reasons.
    pub fn reasons(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

/// Serves until told to stop.
///
/// # Errors
/// If the address can't be bound.
pub async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Admin { metrics, readiness });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let reasons = admin.readiness.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

async fn metrics_text(State(admin): State<Admin>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], admin.metrics.text())
}
