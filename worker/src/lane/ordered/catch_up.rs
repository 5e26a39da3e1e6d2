//! Catching up: nothing is sent before everything that was handed out and is not settled is in hand.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::session::Session;

/// How long one event may be under way while the hand is full, before those behind it go to the retries stream.
const SLOW: Duration = Duration::from_secs(2);

/// How long to wait for what was asked back, before it is asked back again.
const RECALL: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// The server hears of what is still in hand; a full hand is relieved of what waits for a slow event; and while the
    /// lane catches up, it asks whether it has everything.
    pub(super) async fn look_after(&mut self) {
        let broker = &self.lane.broker;
        for hand in [&self.hand, &self.resent] {
            broker.still_working(hand.overdue(Instant::now())).await;
        }
        if self.hand.len() >= self.capacity {
            self.order.press(Timestamp::now(), SLOW);
        }
        if self.over || self.caught_up.is_some() || !self.working.is_empty() {
            return;
        }
        // Nothing is taken while the server answers. What is in hand is unsettled; so equal numbers are equal sets.
        match broker.standing(&self.lane.events_stream, &self.lane.id).await {
            Ok(standing) if standing.unsettled == self.hand.len() => {
                self.caught_up = Some(standing.handed_out);
                self.come.clear();
            }
            // The turn is ours, so whoever has the rest does nothing more with it.
            Ok(standing) if self.next_recall <= Instant::now() => {
                self.next_recall = Instant::now() + RECALL;
                broker.recall(&self.lane.events_stream, &self.lane.id, standing, &self.come).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(lane = %self.lane.id, %error, cause = %error.source, "the lane can't catch up; it is tried again");
            }
        }
    }

    /// Something may be missing: nothing is sent before it is found, not even what was about to be.
    pub(super) fn fall_behind(&mut self) {
        self.caught_up = None;
        let portions = std::mem::take(&mut self.full).into_iter().chain([self.batcher.flush()]);
        for item in portions.flatten() {
            match item.task.rank.clone() {
                Some(rank) => self.come_back(&rank, *item.task),
                None => self.full.push_back(vec![item]),
            }
        }
    }
}
