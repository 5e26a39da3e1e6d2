//! A lane that kept order once and does so no more: what it held back goes the way of other retries.

use ropeway_crds::integration::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lane::Lane;

impl Lane {
    /// Lets go of what is held, once no worker keeps order any more. Answers whether nothing else came first.
    pub(in crate::lane) async fn free_leftovers(
        &self,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) -> bool {
        if !matches!(self.broker.holds_any(&self.id).await, Ok(true)) {
            return true;
        }
        let Some(mut turn) = self.take_turn(state, stop).await else { return false };
        match self.keeping(&mut turn, self.broker.free_held(&self.id)).await {
            Some(Ok(events)) => {
                tracing::info!(lane = %self.id, events, "the lane keeps order no more; what it held goes on")
            }
            Some(Err(error)) => {
                tracing::warn!(lane = %self.id, %error, cause = %error.source, "what the lane holds could not be let go");
            }
            None => return false,
        }
        self.give_turn_back(turn).await;
        true
    }
}
