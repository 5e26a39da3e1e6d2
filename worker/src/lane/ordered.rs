//! A lane that keeps order. It runs beside [`super::flow`] with the same stages; what differs is who may work, and when
//! an event may go.
//!
//! ```text
//! turn ─▶ learn what is held ─▶ catch up ─▶ order ─▶ prepare ─▶ batch ─▶ deliver ─▶ decide ─▶ settle
//! ```
//!
//! One worker at a time has the lane's [`turn`]. It sends nothing before it has in hand whatever the lane's consumer has
//! handed out and not seen settled, and it counts the consumer's handings-out: one that went elsewhere makes it catch up
//! again. Trouble of any kind ends the session: what was not sent goes back, and the next session begins by catching up.

mod catch_up;
mod learn;
mod leftover;
mod session;
mod task;
mod trial;
mod turn;

use std::sync::Arc;

use ropeway_crds::integration::State;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Lane, MOST_IN_HAND, REOPEN};

/// Fewer than this are never in hand: behind a slow key there must be room for others.
const LEAST_IN_HAND: usize = 256;

impl Lane {
    /// As [`Lane::run`], for a lane that keeps order.
    pub(super) async fn run_ordered(
        self: Arc<Self>,
        mut state: watch::Receiver<Option<State>>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            let wished = *state.borrow_and_update();
            // Nothing is in hand here.
            self.tally.take_effect(wished);
            self.look().await;
            if wished == Some(State::Running)
                && self.knows_what_is_held().await
                && let Some(turn) = self.take_turn(&mut state, &stop).await
            {
                self.serve_ordered(turn, &mut state, &stop).await;
            }
            if *state.borrow() != wished {
                continue;
            }
            // A wish that has changed is followed at once; trouble is given a moment.
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(REOPEN) => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether it was read at least once what is held: nothing may be sent before.
    async fn knows_what_is_held(&self) -> bool {
        match self.learn().await {
            Ok(_) => true,
            Err(problem) => {
                self.tally.unbound(problem);
                false
            }
        }
    }

    /// How many events of an ordered lane may be in hand.
    fn ordered_capacity(&self) -> usize {
        (4 * self.capacity()).clamp(LEAST_IN_HAND, MOST_IN_HAND)
    }
}
