//! A lane at work: messages are taken, prepared, put together and sent, as many at a time as the account allows.

mod working;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::jetstream::{Message as JetStreamMessage, consumer::pull, consumer::pull::MessagesError};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use ropeway_crds::integration::State;
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    LOOK, Lane,
    ending::Endings,
    work::{Item, Prepared},
};
use crate::{
    account::Permit,
    batch::{Batcher, Size},
    deliver::Wanted,
    hand::{Hand, PROGRESS},
    io::jetstream::LaneStreams,
    message::{Message, Origin},
    provider,
};

use working::Worked;

/// The most messages that are begun before anything else is looked at.
const AT_ONCE: usize = 16;

/// The bytes around the records in a request to a vendor: names, a key of the account, a time.
const ENVELOPE: usize = 512;

/// What is between a message's arrival and its end.
struct Flow<'a> {
    lane: &'a Lane,
    hand: Hand,
    created: Timestamp,
    preparing: FuturesUnordered<BoxFuture<'a, Prepared>>,
    batcher: Batcher<Item>,
    full: VecDeque<Vec<Item>>,
    working: FuturesUnordered<BoxFuture<'a, Worked>>,
    endings: Endings,
    gate: Option<BoxFuture<'a, Permit>>,
    wanted: Arc<Wanted>,
}

impl Lane {
    /// Takes messages while the state is `Running` and nothing blocks the lane, at most `capacity` at a time, and finishes
    /// what was begun.
    pub(super) async fn flow(
        &self,
        mut streams: LaneStreams,
        capacity: usize,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) {
        let mut flow = Flow::new(self, streams.created, Wanted::new(state.clone(), stop.clone()));
        let (mut circuit, mut hold) = (self.account.circuit_changes(), self.hold.subscribe());
        let mut progress = interval(PROGRESS);
        // One may have changed since it was looked at.
        while self.blocked().is_none() {
            flow.work_on();
            flow.send_what_may_go();
            // Twice as many as are asked for at a time: nothing may wait unseen in the client's buffer.
            let room = flow.hand.len() < 2 * capacity;
            let pause = self.account.retry_pause();
            let due = flow.batcher.due();
            let (next, origin) = tokio::select! {
                () = stop.cancelled() => break,
                changed = state.changed() => match changed {
                    Ok(()) if *state.borrow() == Some(State::Running) => continue,
                    _ => break,
                },
                _ = circuit.changed() => continue,
                _ = hold.changed() => continue,
                Some(worked) = flow.working.next() => {
                    flow.worked(worked);
                    continue;
                }
                Some(prepared) = flow.preparing.next() => {
                    flow.take(prepared);
                    continue;
                }
                permit = until_some(&mut flow.gate) => {
                    flow.send(permit);
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(std::time::Instant::now).into()), if due.is_some() => {
                    let portion = flow.batcher.flush();
                    flow.full.push_back(portion);
                    continue;
                }
                _ = progress.tick() => {
                    let overdue = flow.hand.overdue(Instant::now());
                    Box::pin(self.broker.still_working(overdue)).await;
                    continue;
                }
                next = streams.events.next(), if room => (next, Origin::Events),
                next = streams.retries.next(), if room && pause.is_zero() => (next, Origin::Retries),
                () = sleep(pause), if !pause.is_zero() => continue,
                // What may be sent may have changed while nothing else happened.
                () = sleep(LOOK), if flow.gate.is_some() => continue,
            };
            let stream = match origin {
                Origin::Events => &mut streams.events,
                Origin::Retries | Origin::Held => &mut streams.retries,
            };
            if !flow.take_in(next, origin, stream, 2 * capacity) {
                break;
            }
        }
        Box::pin(give_back_buffered(&mut streams)).await;
        Box::pin(flow.finish()).await;
    }

    /// Gathers records into portions as the lane's destination takes them.
    pub(super) fn batcher(&self) -> Batcher<Item> {
        let size = match self.config.provider.http.as_ref().map(|http| http.format.unwrap_or_default()) {
            None if self.config.provider.capacity().is_some() => |count, bytes| bytes + count + ENVELOPE,
            Some(ropeway_crds::provider::HttpFormat::JsonArray) => {
                |count, bytes| provider::http::body_size(ropeway_crds::provider::HttpFormat::JsonArray, count, bytes)
            }
            Some(ropeway_crds::provider::HttpFormat::Ndjson) => {
                |count, bytes| provider::http::body_size(ropeway_crds::provider::HttpFormat::Ndjson, count, bytes)
            }
            _ => |_: usize, bytes: usize| bytes,
        };
        let mut batcher = Batcher::new(self.config.batch, size);
        batcher.bound(self.bound.load(Ordering::Acquire));
        batcher
    }
}

impl<'a> Flow<'a> {
    fn new(lane: &'a Lane, created: Timestamp, wanted: Wanted) -> Self {
        Self {
            lane,
            hand: Hand::default(),
            created,
            preparing: FuturesUnordered::new(),
            batcher: lane.batcher(),
            full: VecDeque::new(),
            working: FuturesUnordered::new(),
            endings: Endings::default(),
            gate: None,
            wanted: Arc::new(wanted),
        }
    }

    /// Takes a message in, and those that have come with it, without looking at everything else in between. Answers whether
    /// the consumer can be read further.
    fn take_in(
        &mut self,
        first: Option<Result<JetStreamMessage, MessagesError>>,
        origin: Origin,
        stream: &mut pull::Stream,
        most: usize,
    ) -> bool {
        let mut next = first;
        for taken in 1.. {
            match next {
                Some(Ok(message)) => self.begin(message, origin),
                Some(Err(error)) => {
                    tracing::warn!(lane = %self.lane.id, %error, "reading a consumer failed; it is opened again");
                    return false;
                }
                None => return false,
            }
            // Retries are counted out one by one, so that failing ones stay within their budget.
            if taken == AT_ONCE || origin == Origin::Retries || self.hand.len() >= most {
                break;
            }
            match stream.next().now_or_never() {
                Some(more) => next = more,
                None => break,
            }
        }
        true
    }

    /// Takes a message into hand and prepares it; most are prepared at once.
    fn begin(&mut self, message: JetStreamMessage, origin: Origin) {
        let Some(message) = Message::take(message, origin) else { return };
        let place = self.hand.take(message.reply(), Instant::now());
        match self.lane.prepare_at_once(message, place, self.created) {
            Ok(prepared) => self.take(prepared),
            Err(unsure) => {
                let lane = self.lane;
                self.preparing.push(async move { lane.make_sure(unsure).await }.boxed());
            }
        }
    }

    fn take(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Gone => {}
            Prepared::Over(task, settlement) => self.settle(task, settlement, Timestamp::now()),
            Prepared::Ready(item) => {
                let size = Size::of(&item.record);
                self.batcher.bound(self.lane.bound.load(Ordering::Acquire));
                let mut full = Vec::new();
                self.batcher.push(item, size, std::time::Instant::now(), &mut full);
                self.full.extend(full);
            }
        }
    }

    /// Hands back what was not sent yet, and finishes what was.
    async fn finish(mut self) {
        self.gate = None;
        while let Some(prepared) = self.preparing.next().await {
            self.take(prepared);
        }
        for item in self.full.drain(..).flatten().chain(self.batcher.flush()) {
            item.task.message.give_back().await;
        }
        let mut progress = interval(PROGRESS);
        loop {
            self.work_on();
            if self.working.is_empty() {
                return;
            }
            tokio::select! {
                Some(worked) = self.working.next() => self.worked(worked),
                _ = progress.tick() => self.lane.broker.still_working(self.hand.overdue(Instant::now())).await,
            }
        }
    }
}

/// The output of the future, if there is one; otherwise never.
pub(super) async fn until_some<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Hands back what was fetched but not begun, so that nobody waits for its acknowledgement to fall due.
pub(super) async fn give_back_buffered(streams: &mut LaneStreams) {
    for (stream, origin) in [(&mut streams.events, Origin::Events), (&mut streams.retries, Origin::Retries)] {
        while let Some(Some(Ok(message))) = stream.next().now_or_never() {
            if let Some(message) = Message::take(message, origin) {
                message.give_back().await;
            }
        }
    }
}

/// How long a trial waits for an event before it looks again whether it is still wanted.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
