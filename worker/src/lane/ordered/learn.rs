//! What a session makes of what arrives and of what has come to its end.

use std::collections::VecDeque;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    session::Session,
    task::{End, Happened, Slot},
};
use crate::{
    batch::Size,
    decode,
    io::publish::Rank,
    lane::{
        Trial,
        work::{Item, Prepared, Task},
    },
    message::{Message, Origin},
    order::Arrived,
    recent,
};

impl Session<'_> {
    /// An event has come from the lane's events stream.
    pub(super) fn arrive(&mut self, message: async_nats::jetstream::Message) {
        let Some(message) = Message::take(message, Origin::Events) else { return };
        match self.caught_up {
            Some(last) if message.handed_out == last + 1 => self.caught_up = Some(last + 1),
            Some(last) => {
                tracing::info!(lane = %self.lane.id, last, next = message.handed_out, "an event was handed out elsewhere; the lane catches up");
                self.fall_behind();
            }
            None => {}
        }
        let lane = self.lane;
        let place = self.hand.take(message.reply(), Instant::now());
        let sequence = message.position.sequence;
        if self.caught_up.is_none() {
            self.come.insert(sequence);
        }
        let (key, fault) = lane.key_of(&message, self.created);
        let known =
            lane.recent.knows(recent::Key::of(&decode::history(message.headers(), &message.position, self.created)));
        let slot = Slot { message, place, fault };
        if known {
            return self.work(lane.repeat(slot));
        }
        match self.order.arrived(key, sequence, slot) {
            Arrived::Filed => {}
            Arrived::Repeat(slot) => self.work(lane.repeat(slot)),
            // The copy in hand ends them both.
            Arrived::Known(slot) => drop(slot),
        }
    }

    /// An event has come that was sent again out of the dead letters. It stands in no order.
    pub(super) fn arrive_again(&mut self, message: async_nats::jetstream::Message) {
        let Some(message) = Message::take(message, Origin::Retries) else { return };
        let (lane, created) = (self.lane, self.created);
        let place = self.resent.take(message.reply(), Instant::now());
        self.work(async move { Happened::Prepared(None, Box::new(lane.prepare(message, place, created).await)) });
    }

    /// Something that was under way has come to its end.
    pub(super) fn learn(&mut self, happened: Happened) {
        match happened {
            Happened::Prepared(rank, prepared) => self.prepared(rank, *prepared),
            Happened::Ended(ended, trial) => {
                if trial {
                    self.tried();
                }
                ended.into_iter().for_each(|(rank, end)| self.ended(rank, end));
            }
            Happened::NotTried(item) => {
                self.tried();
                self.full.push_front(vec![*item]);
            }
            Happened::NotDue(key, due) => self.order.not_due(&key, due),
            Happened::Missing(key) => self.order.missing(&key),
            Happened::Appended(key, count, last) => self.order.appended(&key, count, last),
            Happened::Acknowledged => {}
            Happened::Trouble => self.over = true,
        }
    }

    fn prepared(&mut self, rank: Option<Rank>, prepared: Prepared) {
        match prepared {
            // It was acknowledged, or it comes again in its own time.
            Prepared::Gone if rank.is_none() => {}
            Prepared::Gone => self.over = true,
            Prepared::Over(mut task, settlement) => {
                let lane = self.lane;
                task.rank = rank;
                self.work(async move {
                    let (rank, end, _) = lane.end(task, settlement, Trial::None, Timestamp::now()).await;
                    Happened::Ended(vec![(rank, end)], false)
                });
            }
            Prepared::Ready(Item { mut task, record }) => match rank {
                Some(rank) if self.caught_up.is_none() => self.come_back(&rank, *task),
                rank => {
                    let size = Size::of(&record);
                    task.rank = rank;
                    let item = Item { task, record };
                    let mut full = Vec::new();
                    self.batcher.push(item, size, std::time::Instant::now(), &mut full);
                    self.full.extend(full);
                }
            },
        }
    }

    fn ended(&mut self, rank: Option<Rank>, end: End) {
        match (rank, end) {
            (Some(rank), End::Finished) => self.order.finished(&rank.key),
            (Some(rank), End::Parked(due)) => self.order.parked(&rank.key, rank.sequence, due),
            (Some(rank), End::Back(task)) => self.come_back(&rank, *task),
            (Some(_), End::Trouble) => self.over = true,
            (None, End::Back(task)) => self.work(async move {
                task.message.give_back().await;
                Happened::Acknowledged
            }),
            // Events that were sent again stand in no order.
            (None, End::Finished | End::Parked(_) | End::Trouble) => {}
        }
    }

    /// An event that could not be tried goes first again.
    pub(super) fn come_back(&mut self, rank: &Rank, task: Task) {
        let Task { message, place, .. } = task;
        let slot = (message.origin == Origin::Events).then(|| {
            let (_, fault) = self.lane.key_of(&message, self.created);
            Slot { message, place, fault }
        });
        self.order.returned(&rank.key, slot);
    }

    /// One event that is ready to be sent.
    pub(super) fn take_one(&mut self) -> Option<Item> {
        let ready: VecDeque<Item> =
            std::mem::take(&mut self.full).into_iter().chain([self.batcher.flush()]).flatten().collect();
        let mut ready = ready;
        let one = ready.pop_front();
        self.full.extend(ready.into_iter().map(|item| vec![item]));
        one
    }
}
