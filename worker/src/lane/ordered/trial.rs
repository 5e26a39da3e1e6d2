//! An ordered lane that may not work as usual keeps what it has in hand, takes nothing more, and now and then tries the
//! first event of one key, as [`crate::lane`] does for others.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{
    session::Session,
    task::{End, Happened},
};
use crate::{
    account::breaker::Sign,
    lane::{Blocked, Lane, Trial, flow::PATIENCE, work::Item},
};

/// How long to wait after a trial, whatever it showed: what it showed takes a moment to be known.
const PAUSE: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Tries one event, if that is due.
    pub(super) fn try_one(&mut self, blocked: &Blocked) {
        let due = match blocked {
            Blocked::Circuit(wait) => wait.is_some_and(|wait| wait.is_zero()),
            Blocked::Held(wait) => wait.is_zero(),
            Blocked::Crowded => false,
        };
        if !due || self.trying || Instant::now() < self.next_trial {
            return;
        }
        if let Some(item) = self.take_one() {
            self.trying = true;
            let (lane, held) = (self.lane, matches!(blocked, Blocked::Held(_)));
            self.work(async move { if held { lane.try_event(item).await } else { lane.try_account(item).await } });
        } else if self.order.busy() == 0 {
            let now = jiff::Timestamp::now();
            self.order.wake(now);
            if let Some(action) = self.order.next(now) {
                self.start(action);
            }
        }
    }

    /// A trial has ended.
    pub(super) fn tried(&mut self) {
        self.trying = false;
        self.next_trial = Instant::now() + PAUSE;
    }
}

impl Lane {
    /// Tries whether the destination answers again. Only one worker at a time has the right to.
    async fn try_account(&self, item: Item) -> Happened {
        let Ok(permit) = timeout(PATIENCE, self.account.pace().permit(&self.account)).await else {
            return Happened::NotTried(Box::new(item));
        };
        if !self.account.take_probe(self.id.as_str(), self.config.delivery.timeout.std()).await {
            return Happened::NotTried(Box::new(item));
        }
        let (ended, sign, _) = self.send_and_end(vec![item], permit, Trial::Circuit).await;
        self.account.probed(self.id.as_str(), Some(&sign)).await;
        Happened::Ended(ended, true)
    }

    /// Tries whether the lane's events are accepted again.
    async fn try_event(&self, item: Item) -> Happened {
        if !self.claim_trial().await {
            return Happened::NotTried(Box::new(item));
        }
        let permit = self.account.pace().permit(&self.account).await;
        let (ended, sign, refused) = self.send_and_end(vec![item], permit, Trial::Held).await;
        let done = ended.iter().all(|(_, end)| matches!(end, End::Finished));
        if done && !refused && matches!(sign, Sign::Answered) {
            self.end_hold().await;
        }
        Happened::Ended(ended, true)
    }
}
