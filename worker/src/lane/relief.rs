//! A lane that waits while its events stream fills up sets its oldest events aside in the retries stream, so that its
//! neighbours keep going. No attempt is spent.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;

use super::{Lane, flow::give_back_buffered, work};
use crate::{
    decode,
    io::{jetstream::BrokerError, publish::Envelope},
    message::{Message, Origin},
};

/// How full an events stream may be, in percent, before a lane that waits sets events aside.
const FULL: u64 = 75;

/// How many events are set aside at a time.
const PORTION: usize = 500;

/// How long the next event is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

impl Lane {
    /// Sets events aside if the stream is nearly full.
    pub(super) async fn relieve(&self) {
        if !self.own_stream {
            return;
        }
        match self.broker.fill(&self.events_stream).await {
            Ok(Some(percent)) if percent >= FULL => {}
            _ => return,
        }
        match self.set_aside().await {
            Ok(0) => {}
            Ok(events) => {
                tracing::info!(lane = %self.id, events, "the events stream is nearly full; events were set aside");
            }
            Err(error) => {
                tracing::warn!(lane = %self.id, %error, cause = %error.source, "events could not be set aside; it is tried again");
            }
        }
    }

    async fn set_aside(&self) -> Result<usize, BrokerError> {
        let Ok(mut streams) = self.open(PORTION).await else { return Ok(0) };
        let mut count = 0;
        while count < PORTION {
            let Ok(Some(Ok(message))) = timeout(PATIENCE, streams.events.next()).await else { break };
            let Some(message) = Message::take(message, Origin::Events) else { continue };
            let history = decode::history(message.headers(), &message.position, streams.created);
            let headers = work::headers(&message, None);
            let (owner, body) = (self.owner(), message.body());
            let envelope = Envelope { owner, headers: &headers, body, history: &history, rank: None };
            self.broker.set_aside(envelope).await?;
            self.tally.set_aside();
            // Unconfirmed it comes again, and is set aside again under the same message id.
            if let Err(error) = message.acknowledge(&self.broker).await {
                tracing::warn!(lane = %self.id, %error, "an event that was set aside could not be acknowledged");
            }
            count += 1;
        }
        give_back_buffered(&mut streams).await;
        Ok(count)
    }
}
