//! Ways in that are not a stream. They end in the events stream and share the line after it.

pub mod address;
pub mod batch;
pub mod items;
pub mod listen;
pub mod poll;
pub mod refusal;
pub mod request;
pub mod router;
pub mod store;
pub mod tls;
pub mod verify;
pub mod webhook;

use ropeway_crds::report::Problem;
use tokio::sync::watch;

/// Says what keeps a source from receiving, or that nothing does. Nobody is woken for what was said before.
fn tell(problem: &watch::Sender<Option<Problem>>, next: Option<Problem>) {
    problem.send_if_modified(|known| {
        let changed = *known != next;
        *known = next;
        changed
    });
}
