//! Stage settle: a [`Settlement`] comes in and takes effect, and then the message's life ends. In this order, always:
//! publish the retry or the dead letter, wait for its acknowledgement, acknowledge the original, wait for that too.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    decide::Settlement,
    fault::{self, Step},
    io::{
        jetstream::{Broker, BrokerError},
        publish::Envelope,
    },
    message::{Message, SettleError},
};

/// A settlement could not take effect. The message comes again.
#[derive(Debug, thiserror::Error)]
pub enum SettleFailure {
    /// The retry or the dead letter could not be written.
    #[error(transparent)]
    Write(BrokerError),
    /// The original could not be acknowledged.
    #[error(transparent)]
    Acknowledge(SettleError),
}

impl SettleFailure {
    /// What lies behind it, in words.
    pub fn cause(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }
}

/// Lets a settlement take effect and ends the message's life. A dead letter is kept for `retention`.
///
/// # Errors
/// If the server does not confirm a step; the message is then dropped, which means that it comes again.
pub async fn settle(
    broker: &Broker,
    envelope: Envelope<'_>,
    message: Message,
    settlement: &Settlement,
    retention: Duration,
    now: Timestamp,
) -> Result<(), SettleFailure> {
    match settlement {
        Settlement::Done(_) => {}
        Settlement::Return(_) => {
            message.give_back().await;
            return Ok(());
        }
        Settlement::Park(park) => {
            broker.park(envelope, park).await.map_err(SettleFailure::Write)?;
            fault::reached(Step::Parked);
        }
        Settlement::DeadLetter(letter) => {
            broker.write_dead_letter(envelope, letter, retention, now).await.map_err(SettleFailure::Write)?;
            fault::reached(Step::DeadLettered);
        }
    }
    message.acknowledge(broker).await.map_err(SettleFailure::Acknowledge)
}
