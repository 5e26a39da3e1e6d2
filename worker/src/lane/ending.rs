//! Messages that nothing more is to be done for: their lives are ended together, so that one confirmation of the server
//! serves many of them. What is parked or dead-lettered is settled one by one.

use futures::future::join_all;
use jiff::Timestamp;

use super::{Lane, Trial, work::Task};
use crate::{
    decide::{Done, Settlement},
    message::Message,
};

/// A message whose life is to end, and why.
#[derive(Debug)]
pub(super) struct Ending {
    task: Box<Task>,
    why: Done,
}

/// Messages whose lives are to end, and those under way to that.
#[derive(Debug, Default)]
pub(super) struct Endings {
    waiting: Vec<Ending>,
    under_way: usize,
}

/// How many messages wait at most while the server has not confirmed an earlier group.
const GROUP: usize = 64;

impl Endings {
    /// Adds one.
    pub(super) fn push(&mut self, task: Box<Task>, why: Done) {
        self.waiting.push(Ending { task, why });
    }

    /// The next group, all of one consumer: at once while none is under way, so that one alone never waits; otherwise not
    /// before there are many.
    pub(super) fn next(&mut self) -> Option<Vec<Ending>> {
        let origin = self.waiting.first()?.task.message.origin;
        if self.under_way > 0 && self.waiting.len() < GROUP {
            return None;
        }
        self.under_way += 1;
        let of_one = |ending: &Ending| ending.task.message.origin == origin;
        if self.waiting.iter().all(of_one) {
            return Some(std::mem::take(&mut self.waiting));
        }
        let (group, rest) = std::mem::take(&mut self.waiting).into_iter().partition(of_one);
        self.waiting = rest;
        Some(group)
    }

    /// A group has ended.
    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }
}

impl Lane {
    /// Ends the lives of messages of one consumer.
    pub(super) async fn end_together(&self, group: Vec<Ending>) {
        let messages = group.iter().map(|ending| &ending.task.message).collect();
        if Message::acknowledge_together(messages, &self.broker).await {
            self.ended(&group);
            return;
        }
        // Nothing is known of any of them, so each is asked about.
        let one_by_one = group.into_iter().map(|Ending { task, why }| {
            Box::pin(self.finish(task, Settlement::Done(why), Trial::None, Timestamp::now()))
        });
        join_all(one_by_one).await;
    }

    fn ended(&self, group: &[Ending]) {
        let now = Timestamp::now();
        self.recent.remember(group.iter().map(|ending| ending.task.key));
        self.tally.done(group.iter().map(|ending| ending.why), now);
    }
}
