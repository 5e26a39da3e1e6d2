//! What a lane works on: portions that are sent, and messages whose lives end.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;

use super::Flow;
use crate::{
    account::Permit,
    decide::Settlement,
    lane::{
        Trial,
        work::{Sent, Task},
    },
};

/// What was worked on.
pub(super) enum Worked {
    /// A portion came back.
    Sent(Sent),
    /// A message was settled on its own.
    Settled,
    /// The lives of several messages ended.
    Ended,
}

impl Flow<'_> {
    /// Takes up everything that is ready, and ends the lives of messages that nothing more is to be done for.
    pub(super) fn work_on(&mut self) {
        loop {
            while let Some(Some(worked)) = self.working.next().now_or_never() {
                self.worked(worked);
            }
            let Some(group) = self.endings.next() else { return };
            let lane = self.lane;
            let ending = async move {
                lane.end_together(group).await;
                Worked::Ended
            };
            self.working.push(ending.boxed());
        }
    }

    pub(super) fn worked(&mut self, worked: Worked) {
        match worked {
            Worked::Sent(sent) => {
                let now = Timestamp::now();
                // What was taken is known first: a dead letter is judged by what else came back, whatever their order.
                let (mut taken, mut others) = (0, Vec::new());
                for (task, settlement) in self.lane.settlements(sent, now) {
                    if let Settlement::Done(why) = settlement {
                        taken += 1;
                        self.endings.push(task, why);
                    } else {
                        others.push((task, settlement));
                    }
                }
                self.lane.guard().note_good(taken, &self.lane.hold_policy, now);
                others.into_iter().for_each(|(task, settlement)| self.settle(task, settlement, now));
            }
            Worked::Settled => {}
            Worked::Ended => self.endings.ended(),
        }
    }

    pub(super) fn settle(&mut self, task: Box<Task>, settlement: Settlement, now: Timestamp) {
        if let Settlement::Done(why) = settlement {
            self.lane.guard().note_good(1, &self.lane.hold_policy, now);
            return self.endings.push(task, why);
        }
        let lane = self.lane;
        let finishing = async move {
            lane.finish(task, settlement, Trial::None, now).await;
            Worked::Settled
        };
        self.working.push(finishing.boxed());
    }

    /// Sends full portions while there are permits at once; for the next one a permit is waited for.
    pub(super) fn send_what_may_go(&mut self) {
        if self.gate.is_some() {
            return;
        }
        while !self.full.is_empty() {
            match self.lane.account.pace().try_permit(&self.lane.account) {
                Some(permit) => self.send(permit),
                None => {
                    let account = Arc::clone(&self.lane.account);
                    self.gate = Some(async move { account.pace().permit(&account).await }.boxed());
                    return;
                }
            }
        }
    }

    pub(super) fn send(&mut self, permit: Permit) {
        self.gate = None;
        let Some(portion) = self.full.pop_front() else { return };
        let lane = self.lane;
        let wanted = Arc::clone(&self.wanted);
        let sending = async move { Worked::Sent(lane.dispatch(portion, permit, Trial::None, Some(&wanted)).await) };
        self.working.push(sending.boxed());
    }
}
