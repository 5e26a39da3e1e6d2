//! One lane: the straight line from a message to its settlement, and the loop that keeps it going.
//!
//! ```text
//! pull ─▶ decode ─▶ map ─▶ deliver ─▶ decide ─▶ settle ─▶ count
//! ```

use std::{sync::Arc, time::Duration};

use async_nats::HeaderMap;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use ropeway_crds::{
    headers as h,
    integration::State,
    mapping::Dedup,
    names::{LaneId, ShortUid},
    report::Problem,
    worker_config::{EventDefaults, LaneConfig},
};
use ropeway_mapping::RunError;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    cloud_event::encode_header,
    count::Tally,
    decide::{DeadLetter, DeadLetterReason, Done, Settlement, decide},
    decode::{self, Event, History},
    deliver::Deliverer,
    fault::{self, Step},
    io::{
        jetstream::{Broker, BrokerError, LaneStreams, PULL},
        publish::{Claim, Envelope, Owner},
    },
    map::LaneMapping,
    message::{Message, Origin},
    provider::Failure,
    recent::Recent,
    settle::settle,
};

/// How long to wait before a lane that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(1);

/// One lane with all it needs.
#[derive(Debug)]
pub struct Lane {
    /// Its id.
    pub id: LaneId,
    /// The Integration's name.
    pub integration: String,
    /// The Integration's UID.
    pub uid: ShortUid,
    /// The stream that its events come from.
    pub events_stream: String,
    /// Its configuration.
    pub config: LaneConfig,
    /// Attributes of events that carry none.
    pub defaults: EventDefaults,
    /// De-duplication.
    pub dedup: Option<Dedup>,
    /// How long a dead letter is kept.
    pub retention: Duration,
    /// Its compiled programs.
    pub mapping: LaneMapping,
    /// Its way out.
    pub deliverer: Deliverer,
    /// What it counts.
    pub tally: Arc<Tally>,
    /// What it has lately finished.
    pub recent: Recent,
    /// Its connection.
    pub broker: Broker,
}

impl Lane {
    /// Works until `stop` is cancelled, whenever the wished state is `Running`. What is in hand is finished first.
    pub async fn run(self: Arc<Self>, mut state: watch::Receiver<Option<State>>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wished = *state.borrow_and_update();
            if wished == Some(State::Running) {
                match self.open().await {
                    Ok(streams) => {
                        self.tally.bound();
                        self.tally.take_effect(wished);
                        self.pump(streams, &mut state, &stop).await;
                        continue;
                    }
                    Err(problem) => self.tally.unbound(problem),
                }
            } else {
                // Nothing is in hand here, so a pause has taken effect; the lane is still looked after.
                self.tally.take_effect(wished);
                match self.broker.find_lane(&self.events_stream, &self.id).await {
                    Ok(()) => self.tally.bound(),
                    Err(problem) => self.tally.unbound(problem),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(REOPEN) => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn open(&self) -> Result<LaneStreams, Problem> {
        if let Some(missing) = self.deliverer.missing_secret() {
            return Err(Problem { reason: "SecretMissing".into(), message: missing.to_string() });
        }
        self.broker.open_lane(&self.events_stream, &self.id).await
    }

    /// Takes messages while the state is `Running`, at most [`PULL`] at a time, and finishes what is in hand.
    async fn pump(
        &self,
        mut streams: LaneStreams,
        state: &mut watch::Receiver<Option<State>>,
        stop: &CancellationToken,
    ) {
        let created = streams.created;
        let mut in_hand = FuturesUnordered::new();
        loop {
            let room = in_hand.len() < PULL;
            let (next, origin) = tokio::select! {
                () = stop.cancelled() => break,
                changed = state.changed() => match changed {
                    Ok(()) if *state.borrow() == Some(State::Running) => continue,
                    _ => break,
                },
                Some(()) = in_hand.next(), if !in_hand.is_empty() => continue,
                next = streams.events.next(), if room => (next, Origin::Events),
                next = streams.retries.next(), if room => (next, Origin::Retries),
            };
            match next {
                Some(Ok(message)) => {
                    if let Some(message) = Message::take(message, origin) {
                        in_hand.push(self.handle(message, created));
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(lane = %self.id, %error, "reading a consumer failed; it is opened again");
                    break;
                }
                None => break,
            }
        }
        give_back_buffered(&mut streams).await;
        while in_hand.next().await.is_some() {}
    }

    /// The line from a message to its settlement. A message that can't be settled comes again.
    async fn handle(&self, message: Message, created: Timestamp) {
        let history = decode::history(message.headers(), &message.position, created);
        if self.recent.knows(&history) {
            // A broker that crashed had forgotten our acknowledgement.
            if let Err(error) = message.acknowledge().await {
                tracing::warn!(lane = %self.id, %error, "a finished event could not be acknowledged; it comes again");
            }
            return;
        }
        let mut headers = message.headers().cloned().unwrap_or_default();
        let decoded = decode::event(message.headers(), &message.body(), &history.delivery, &self.defaults);
        let settlement = match decoded {
            Err(error) => give_up(DeadLetterReason::Undecodable, error.to_string()),
            Ok(event) => {
                keep_attributes(&mut headers, &event);
                match self.outcome(&message, &event, &history).await {
                    Ok(settlement) => settlement,
                    Err(error) => {
                        tracing::warn!(lane = %self.id, error = %error, cause = %error.source, "an event could not be worked on; it comes again");
                        return;
                    }
                }
            }
        };
        let now = Timestamp::now();
        let owner = self.owner();
        let envelope = Envelope { owner, headers: &headers, body: message.body(), history: &history };
        match settle(&self.broker, envelope, message, &settlement, self.retention, now).await {
            Ok(()) => {
                if matches!(settlement, Settlement::Done(_)) {
                    self.recent.remember(&history);
                }
                self.tally.settled(&settlement, now);
            }
            Err(error) => tracing::warn!(lane = %self.id, %error, "an event could not be settled; it comes again"),
        }
    }

    /// What is to become of an event: de-duplicated, mapped, delivered, decided.
    async fn outcome(&self, message: &Message, event: &Event, history: &History) -> Result<Settlement, BrokerError> {
        if message.origin == Origin::Events && self.is_repeat(event, history).await? {
            return Ok(Settlement::Done(Done::Deduplicated));
        }
        let record = match self.mapping.record(event) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Settlement::Done(Done::Filtered)),
            Err(error) => {
                let reason = match error.limit() {
                    Some(_) => DeadLetterReason::MappingLimit,
                    None => DeadLetterReason::MappingFailed,
                };
                return Ok(give_up(reason, error.to_string()));
            }
        };
        fault::reached(Step::Mapped);
        let outcome = self.deliverer.deliver(&record).await;
        Ok(decide(outcome, history, &self.config.delivery, Timestamp::now(), rand::random::<f64>()))
    }

    /// Whether another event has claimed this one's key. A key that can't be computed is no repeat: nothing is lost by
    /// delivering, and the mapping has its own say.
    async fn is_repeat(&self, event: &Event, history: &History) -> Result<bool, BrokerError> {
        let Some(dedup) = &self.dedup else { return Ok(false) };
        let key = match self.mapping.dedup_key(event) {
            Ok(Some(key)) => key,
            Ok(None) => return Ok(false),
            Err(RunError::Failed { .. } | RunError::Limit(_) | RunError::Panicked) => return Ok(false),
        };
        let claim = self.broker.claim(self.owner(), &key, &history.delivery, dedup.window.std()).await?;
        Ok(claim == Claim::Taken)
    }

    fn owner(&self) -> Owner<'_> {
        Owner { uid: &self.uid, integration: &self.integration, destination: &self.config.destination, lane: &self.id }
    }
}

/// An event that no attempt could help.
fn give_up(reason: DeadLetterReason, message: String) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason, failure: Failure { code: None, message } })
}

/// Writes an event's id, source and type into its headers, so that they are the same when it comes again.
fn keep_attributes(headers: &mut HeaderMap, event: &Event) {
    for (name, value) in
        [("id", &event.attributes.id), ("source", &event.attributes.source), ("type", &event.attributes.r#type)]
    {
        let name = format!("{}{name}", h::CLOUD_EVENT_PREFIX);
        if headers.get(name.as_str()).is_none() {
            headers.insert(name, encode_header(value));
        }
    }
}

/// Hands back what was fetched but not begun, so that nobody waits for its acknowledgement to fall due.
async fn give_back_buffered(streams: &mut LaneStreams) {
    for (stream, origin) in [(&mut streams.events, Origin::Events), (&mut streams.retries, Origin::Retries)] {
        while let Some(Some(Ok(message))) = stream.next().now_or_never() {
            if let Some(message) = Message::take(message, origin) {
                message.give_back().await;
            }
        }
    }
}
