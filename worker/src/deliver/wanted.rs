//! Until when work is wanted that takes minutes: a pause or a stop does not wait for it.

use ropeway_crds::integration::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether a lane is wished to work.
#[derive(Clone, Debug)]
pub struct Wanted {
    state: watch::Receiver<Option<State>>,
    stop: CancellationToken,
}

impl Wanted {
    /// Wanted while the state is `Running`, and until `stop` is cancelled.
    pub fn new(state: watch::Receiver<Option<State>>, stop: CancellationToken) -> Self {
        Self { state, stop }
    }

    /// Whether it is.
    pub fn holds(&self) -> bool {
        !self.stop.is_cancelled() && *self.state.borrow() == Some(State::Running)
    }

    /// Waits until it is no more.
    pub async fn ended(&self) {
        let mut state = self.state.clone();
        tokio::select! {
            () = self.stop.cancelled() => {}
            _ = state.wait_for(|state| *state != Some(State::Running)) => {}
        }
    }
}
