//! A record for somebody who waits: judged, mapped and sent at once, and what came back is handed on. Nothing is queued,
//! and nothing is tried again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::{integration::Mode, names, schema::OnViolation};
use tokio::time::{Instant, timeout_at};

use super::{Lane, Trial, prepare::mapping_reason};
use crate::{
    account::{Circuit, breaker::Sign},
    decide::{DeadLetterReason, Done},
    decode::Event,
    deliver::Parcel,
    provider::{Failure, Outcome},
};

/// What is asked to come again where nobody says when.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What the one who waits is told.
#[derive(Debug)]
pub enum Answer {
    /// The destination took the record, and said this; nothing where it does not answer, or where nothing is sent.
    Taken(Option<Response>),
    /// The filter keeps such events back.
    Filtered,
    /// The event can't be sent: an expression fails on it, or it does not match the schema.
    Unprocessable {
        /// In one word.
        reason: &'static str,
        /// In a sentence, without payload.
        message: String,
    },
    /// The destination is left alone just now.
    Unavailable(Duration, String),
    /// The limit is used up for now.
    Busy(Duration),
    /// The destination did not answer in time.
    TimedOut(String),
    /// The destination failed, or refused the record.
    Failed(Failure),
}

impl Lane {
    /// Sends what becomes of an event, until `deadline`. `key` is the caller's own idempotency key.
    pub async fn answer(&self, event: Event, key: Option<String>, deadline: Instant) -> Answer {
        if let Err((violation, reaction)) = self.mapping.conforms(&event) {
            self.tally.violated(violation.place.clone());
            if reaction != OnViolation::Pass {
                return self.unprocessable(DeadLetterReason::SchemaViolation, violation.to_string());
            }
        }
        let body = match self.mapping.record(&event) {
            Ok(Some(body)) => body,
            Ok(None) => {
                self.tally.answered(Ok(Done::Filtered), Timestamp::now());
                return Answer::Filtered;
            }
            Err(error) => return self.unprocessable(mapping_reason(&error), error.to_string()),
        };
        if let Err(error) = self.account.look().await {
            return Answer::Unavailable(COME_AGAIN, error.to_string());
        }
        let trial = match self.trial().await {
            Ok(trial) => trial,
            Err(unavailable) => return unavailable,
        };
        let attributes = Arc::new(event.attributes);
        // A vendor's own field takes no text of a caller's.
        let named = |key: String| match self.config.provider.is_vendor() {
            true => names::hash(format!("{}\n{key}", self.id).as_bytes(), 32),
            false => key,
        };
        let key = key.map_or_else(|| self.idempotency_key(&attributes), named);
        let record = match self.deliverer.record(body, key, attributes) {
            Ok(record) => record,
            Err(invalid) => {
                self.tried(trial, None).await;
                let message = format!("the mapping's record: {invalid}");
                return self.unprocessable(DeadLetterReason::InvalidRecord, message);
            }
        };
        let Ok(permit) = timeout_at(deadline, self.account.pace().permit(&self.account)).await else {
            self.tried(trial, None).await;
            return Answer::Busy(COME_AGAIN);
        };
        let left = deadline.saturating_duration_since(Instant::now()).min(self.config.delivery.timeout.std());
        let asked = Instant::now();
        let parcel = Parcel { record: &record, delivery: &record.attributes.id };
        let (outcome, sign, response) = self.deliverer.ask(&self.account, parcel, trial, left, permit).await;
        self.tried(trial, Some(&sign)).await;
        self.told(outcome, response, asked + left)
    }

    /// Whether the destination may be asked, and if it is only to see whether it answers again. Nobody else would try that:
    /// there is no event that a lane could take.
    async fn trial(&self) -> Result<Trial, Answer> {
        let Circuit::Open(wait) = self.account.circuit(Timestamp::now()) else { return Ok(Trial::None) };
        if self.account.take_probe(self.id.as_str(), self.config.delivery.timeout.std()).await {
            return Ok(Trial::Circuit);
        }
        let message = "the destination's circuit is open; see the Destination's status".to_owned();
        Err(Answer::Unavailable(wait.unwrap_or(COME_AGAIN), message))
    }

    /// Says what a trial showed, if it was one.
    async fn tried(&self, trial: Trial, sign: Option<&Sign>) {
        if trial == Trial::Circuit {
            self.account.probed(self.id.as_str(), sign).await;
        }
    }

    fn unprocessable(&self, reason: DeadLetterReason, message: String) -> Answer {
        let failure = Failure { code: None, message: message.clone() };
        self.tally.answered(Err((reason, failure)), Timestamp::now());
        Answer::Unprocessable { reason: reason.as_str(), message }
    }

    fn told(&self, outcome: Outcome, response: Option<Response>, due: Instant) -> Answer {
        let now = Timestamp::now();
        let done = if self.mode == Mode::Shadow { Done::Shadowed } else { Done::Delivered };
        let fails = |reason, failure: &Failure| self.tally.answered(Err((reason, failure.clone())), now);
        match outcome {
            Outcome::Delivered => {
                self.tally.answered(Ok(done), now);
                Answer::Taken(response)
            }
            Outcome::Rejected(failure) => {
                fails(DeadLetterReason::Rejected, &failure);
                Answer::Failed(failure)
            }
            Outcome::Unaccounted(failure) => {
                fails(DeadLetterReason::Unaccounted, &failure);
                Answer::Failed(failure)
            }
            Outcome::Retry { after, limited: true, failure } => {
                fails(DeadLetterReason::Exhausted, &failure);
                Answer::Busy(after.unwrap_or(COME_AGAIN))
            }
            Outcome::Retry { failure, .. } | Outcome::Left(failure) => {
                fails(DeadLetterReason::Exhausted, &failure);
                match failure.code {
                    None if Instant::now() >= due => Answer::TimedOut(failure.message),
                    _ => Answer::Failed(failure),
                }
            }
            Outcome::Hold { failure, .. } => {
                fails(DeadLetterReason::Exhausted, &failure);
                Answer::Unavailable(COME_AGAIN, failure.message)
            }
        }
    }
}
