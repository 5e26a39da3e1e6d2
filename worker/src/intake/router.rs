//! Which address a request is for.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use ropeway_crds::worker_config::MAX_EVENT_BYTES;

use super::{address::read, refusal::Refusal, request::Direct, webhook::Webhook};

/// What is behind an address.
#[derive(Debug)]
pub enum Entrance {
    /// Events are stored.
    Webhook(Box<Webhook>),
    /// The caller waits for the destination's answer.
    Request(Box<Direct>),
}

/// All addresses of a worker, by path.
pub type Entrances = Arc<HashMap<String, Entrance>>;

/// The HTTP routes for these addresses.
pub fn router(entrances: Entrances) -> Router {
    Router::new().fallback(receive).with_state(entrances)
}

async fn receive(State(entrances): State<Entrances>, request: Request) -> Response {
    let taken = match entrances.get(request.uri().path()) {
        Some(Entrance::Webhook(webhook)) => webhook.receive(request).await,
        Some(Entrance::Request(direct)) => return direct.receive(request).await,
        None => Err(unknown(request).await),
    };
    taken.unwrap_or_else(IntoResponse::into_response)
}

/// A path that nobody has takes as long as one whose signature is wrong, so that paths can't be found by their time.
async fn unknown(request: Request) -> Refusal {
    let (parts, body) = request.into_parts();
    let most = usize::try_from(MAX_EVENT_BYTES).unwrap_or(usize::MAX);
    if let Ok(body) = read(&parts.headers, body, most).await {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"nobody's").expect("an HMAC takes a key of any length");
        mac.update(&body);
        let _ = std::hint::black_box(mac.finalize());
    }
    Refusal::Unknown
}
