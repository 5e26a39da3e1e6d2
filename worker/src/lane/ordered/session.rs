//! One session of an ordered lane: from taking the turn until something ends it.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use ropeway_crds::integration::State;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Lane,
        flow::{give_back_buffered, until_some},
        work::Item,
    },
    task::{Happened, Slot},
    turn::Turn,
};
use crate::{
    account::Permit,
    batch::Batcher,
    hand::Hand,
    io::{
        jetstream::{BrokerError, LaneStreams},
        publish::Rank,
    },
    order::{Action, Key, Order},
    term::{Fenced, RENEW},
};

/// How often is looked after what nobody tells.
const TICK: Duration = Duration::from_millis(250);

/// What a session holds.
pub(super) struct Session<'a> {
    pub(super) lane: &'a Lane,
    pub(super) created: Timestamp,
    pub(super) turn: Turn,
    pub(super) order: Order<Slot>,
    /// Events that the lane's consumer of its events stream has handed out.
    pub(super) hand: Hand,
    /// Events that were sent again out of the dead letters.
    pub(super) resent: Hand,
    pub(super) batcher: Batcher<Item>,
    pub(super) full: VecDeque<Vec<Item>>,
    pub(super) working: FuturesUnordered<Fenced<'a, Happened>>,
    pub(super) gate: Option<BoxFuture<'a, Permit>>,
    /// The last handing out, once all before it are in hand or settled. None: nothing may be sent.
    pub(super) caught_up: Option<u64>,
    /// What has come while the lane catches up.
    pub(super) come: HashSet<u64>,
    pub(super) next_recall: Instant,
    /// Nothing new is begun.
    pub(super) over: bool,
    /// A trial is under way.
    pub(super) trying: bool,
    pub(super) next_trial: Instant,
    /// Keys whose held events were looked at since the turn was inherited.
    pub(super) looked_at: HashSet<Key>,
    renewing: Option<BoxFuture<'a, Result<Option<u64>, BrokerError>>>,
    pub(super) capacity: usize,
}

impl Lane {
    /// Works with this turn until something ends it.
    pub(super) async fn serve_ordered(
        &self,
        mut turn: Turn,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) {
        let capacity = self.ordered_capacity();
        let mut order = Order::default();
        match self.keeping(&mut turn, self.broker.held(&self.id)).await {
            Some(Ok(kept)) => kept.into_iter().for_each(|kept| order.learn(kept)),
            Some(Err(error)) => {
                tracing::warn!(lane = %self.id, %error, cause = %error.source, "what the lane holds can't be read");
                return self.give_turn_back(turn).await;
            }
            None => return,
        }
        // Twice as many may be in hand as are asked for at a time: nothing may wait unseen in the client's buffer.
        let mut streams = match self.open(capacity / 2).await {
            Ok(streams) => streams,
            Err(problem) => {
                self.tally.unbound(problem);
                return self.give_turn_back(turn).await;
            }
        };
        self.tally.bound();
        let mut session = Session {
            lane: self,
            created: streams.created,
            turn,
            order,
            hand: Hand::default(),
            resent: Hand::default(),
            batcher: self.batcher(),
            full: VecDeque::new(),
            working: FuturesUnordered::new(),
            gate: None,
            caught_up: None,
            come: HashSet::new(),
            next_recall: Instant::now(),
            over: false,
            trying: false,
            next_trial: Instant::now(),
            looked_at: HashSet::new(),
            renewing: None,
            capacity,
        };
        if session.run(&mut streams, state, stop).await {
            session.give_back(&mut streams).await;
        } else {
            // What is in hand is not ours any more: it comes to the next one when its acknowledgement is overdue.
            tracing::warn!(lane = %self.id, "the turn has ended; another worker goes on");
        }
    }
}

impl<'a> Session<'a> {
    /// Works until it is over. Answers whether the turn is still ours.
    async fn run(
        &mut self,
        streams: &mut LaneStreams,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) -> bool {
        let (mut circuit, mut hold) = (self.lane.account.circuit_changes(), self.lane.hold.subscribe());
        let (mut tick, mut renew) = (interval(TICK), interval(RENEW));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.turn.term.holds() {
            if self.over && self.working.is_empty() {
                return true;
            }
            let free = self.advance();
            let takes = !self.over && (self.caught_up.is_none() || free && self.hand.len() < self.capacity);
            let takes_again = !self.over
                && (free && self.caught_up.is_some() && self.resent.len() < self.capacity)
                && self.lane.account.retry_pause().is_zero();
            let wake = self.wake(free);
            tokio::select! {
                () = stop.cancelled(), if !self.over => self.over = true,
                changed = state.changed(), if !self.over => {
                    self.over = changed.is_err() || *state.borrow() != Some(State::Running);
                }
                _ = circuit.changed() => {}
                _ = hold.changed() => {}
                Some(happened) = self.working.next() => if let Some(happened) = happened { self.learn(happened) },
                permit = until_some(&mut self.gate) => self.send(permit),
                answer = until_some(&mut self.renewing) => {
                    self.renewing = None;
                    if !self.turn.renewed(answer) {
                        return false;
                    }
                }
                _ = renew.tick(), if self.renewing.is_none() => self.renewing = Some(self.lane.renew_turn(&self.turn)),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                _ = tick.tick() => self.look_after().await,
                next = streams.events.next(), if takes => match next {
                    Some(Ok(message)) => self.arrive(message),
                    _ => self.over = true,
                },
                next = streams.retries.next(), if takes_again => match next {
                    Some(Ok(message)) => self.arrive_again(message),
                    _ => self.over = true,
                },
            }
        }
        false
    }

    /// Begins what may begin. Answers whether the lane may work as usual.
    fn advance(&mut self) -> bool {
        let blocked = self.lane.blocked();
        let free = blocked.is_none();
        if self.over || self.caught_up.is_none() {
            return free;
        }
        if self.batcher.due().is_some_and(|due| due <= std::time::Instant::now()) {
            let portion = self.batcher.flush();
            self.full.push_back(portion);
        }
        if let Some(blocked) = blocked {
            self.try_one(&blocked);
            return false;
        }
        let now = Timestamp::now();
        if self.lane.account.retry_pause().is_zero() {
            self.order.wake(now);
        }
        while self.order.busy() < 2 * self.lane.capacity()
            && let Some(action) = self.order.next(now)
        {
            self.start(action);
        }
        while self.gate.is_none() && !self.full.is_empty() {
            match self.lane.account.pace().try_permit(&self.lane.account) {
                Some(permit) => self.send(permit),
                None => {
                    let account = Arc::clone(&self.lane.account);
                    self.gate = Some(Box::pin(async move { account.pace().permit(&account).await }));
                }
            }
        }
        true
    }

    /// When there is something to do without anything having happened.
    fn wake(&self, free: bool) -> Option<Instant> {
        if self.over || self.caught_up.is_none() || !free {
            return None;
        }
        let pause = self.lane.account.retry_pause();
        let due = self.order.next_due().map(|due| {
            let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
            Instant::now() + wait.max(pause)
        });
        due.into_iter().chain(self.batcher.due().map(Into::into)).min()
    }

    /// Puts work under way. Nothing of it happens once the turn has ended.
    pub(super) fn work(&mut self, work: impl Future<Output = Happened> + Send + 'a) {
        self.working.push(self.turn.term.fence(work));
    }

    pub(super) fn start(&mut self, action: Action<Slot>) {
        let (lane, created) = (self.lane, self.created);
        match action {
            Action::Send { key, sequence, item } => {
                self.work(lane.prepare_slot(item, Rank { key, sequence, parked_at: 0 }, created));
            }
            Action::Fetch { key, shelf } => {
                let suspicious = self.turn.inherited && self.looked_at.insert(Arc::clone(&key));
                self.work(lane.fetch(key, shelf, suspicious, created));
            }
            Action::Append { key, items } => self.work(lane.append(key, items, created)),
        }
    }

    fn send(&mut self, permit: Permit) {
        self.gate = None;
        if self.over || self.caught_up.is_none() || self.lane.blocked().is_some() {
            return;
        }
        let Some(portion) = self.full.pop_front() else { return };
        self.work(self.lane.send_ordered(portion, permit));
        self.batcher.bound(self.lane.bound.load(Ordering::Acquire));
    }

    /// Hands back what was not sent, and then the turn.
    async fn give_back(mut self, streams: &mut LaneStreams) {
        self.gate = None;
        for item in self.full.drain(..).flatten().chain(self.batcher.flush()) {
            item.task.message.give_back().await;
        }
        for slot in self.order.into_waiting() {
            slot.message.give_back().await;
        }
        give_back_buffered(streams).await;
        self.lane.give_turn_back(self.turn).await;
    }
}
