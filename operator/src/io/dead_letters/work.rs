//! Sending dead letters again and removing them. Each entry is done with before it counts as done: the message is stored
//! for its lane, then counted, then the entry goes. A crash between any two steps leaves the entry where it is, and the
//! message ids make the repeat harmless for as long as the streams remember them; after that it is a second delivery.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use ropeway_crds::headers as h;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{DeadLetters, SCAN, Scan};
use crate::{
    dead_letters::{Entry, Selector, resend::resend},
    io::jetstream::NatsError,
};

/// The counter of dead letters that were sent again.
const RESENT: &str = "resent";

/// So many entries are worked on at once: one after the other, each would wait for three answers.
const AT_ONCE: usize = 16;

/// What is to be done with entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Each goes to its lane again, at most so many a second.
    Resend(NonZeroU32),
    /// Each is removed.
    Purge,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries that were done with, all of them gone from the dead letters.
    pub done: u64,
    /// Whether all that were there at the beginning were looked at.
    pub complete: bool,
}

/// It did not come to its end. What was done is done, and the rest is where it was.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Nobody would take what is sent again.
    #[error("no lane takes dead letters of the destination {destination:?}: it was removed from the Integration")]
    LaneGone {
        /// The destination.
        destination: String,
        /// What was done before.
        progress: Progress,
    },
    /// NATS could not be asked.
    #[error("stopped after {} entries", .progress.done)]
    Nats {
        /// What was done before.
        progress: Progress,
        /// What went wrong.
        #[source]
        source: NatsError,
    },
}

impl DeadLetters {
    /// Does it with every entry that is meant and was there at the beginning, the oldest first, until `stop` is cancelled;
    /// what is in hand then is finished. `tell` hears of the progress now and then.
    ///
    /// # Errors
    /// See [`WorkError`].
    pub async fn work(
        &self,
        selector: &Selector,
        action: Action,
        stop: &CancellationToken,
        mut tell: impl FnMut(Progress),
    ) -> Result<Progress, WorkError> {
        let mut progress = Progress::default();
        let failed = |progress, source| WorkError::Nats { progress, source };
        let stream = self.names.dead_letters_stream();
        let info = self.jetstream.stream(&stream).await.map_err(|source| failed(progress, source))?;
        // What becomes a dead letter meanwhile, perhaps because of this very work, is not meant.
        let through = info.map_or(0, |info| info.state.last_sequence);
        let (began, mut begun, mut after) = (Instant::now(), 0, 0);
        while !progress.complete && !stop.is_cancelled() {
            let Scan { meant, last, over, .. } =
                self.scan(selector, after, SCAN).await.map_err(|source| failed(progress, source))?;
            after = last;
            if let Action::Resend(_) = action {
                self.lanes_are_there(&meant, progress).await?;
            }
            let mut in_hand = FuturesUnordered::new();
            let mut failure = None;
            let mut entries = meant.into_iter().filter(|entry| entry.sequence <= through);
            while failure.is_none()
                && let Some(entry) = entries.next()
            {
                if let Action::Resend(rate) = action {
                    let due = sleep_until(began + Duration::from_secs(1) * begun / rate.get());
                    stop.run_until_cancelled(due).await;
                }
                if stop.is_cancelled() {
                    break;
                }
                begun += 1;
                in_hand.push(self.finish(entry, action));
                if in_hand.len() >= AT_ONCE {
                    settle(in_hand.next().await, &mut progress, &mut failure);
                    tell(progress);
                }
            }
            while let Some(result) = in_hand.next().await {
                settle(Some(result), &mut progress, &mut failure);
            }
            if let Some(source) = failure {
                return Err(failed(progress, source));
            }
            progress.complete = (over || after >= through) && !stop.is_cancelled();
            tell(progress);
        }
        Ok(progress)
    }

    async fn lanes_are_there(&self, entries: &[Entry], progress: Progress) -> Result<(), WorkError> {
        let destinations: BTreeSet<&String> = entries.iter().map(|entry| &entry.destination).collect();
        for destination in destinations {
            match self.is_taken(destination).await {
                Ok(true) => {}
                Ok(false) => return Err(WorkError::LaneGone { destination: destination.clone(), progress }),
                Err(source) => return Err(WorkError::Nats { progress, source }),
            }
        }
        Ok(())
    }

    async fn finish(&self, entry: Entry, action: Action) -> Result<(), NatsError> {
        let sequence = entry.sequence;
        if let Action::Resend(_) = action {
            let message = resend(&self.names, &entry);
            // A message that the stream knows already is there: an earlier try got so far.
            self.jetstream.publish(message.subject, message.headers, entry.body).await?;
            let mut headers = HeaderMap::new();
            headers.insert(h::INCREMENT, "+1");
            headers.insert(h::MESSAGE_ID, message.count_id);
            let counter = self.names.count(&self.integration, &entry.lane, RESENT);
            self.jetstream.publish(counter, headers, Bytes::new()).await?;
        }
        self.jetstream.delete_message(&self.names.dead_letters_stream(), sequence).await
    }
}

fn settle(result: Option<Result<(), NatsError>>, progress: &mut Progress, failure: &mut Option<NatsError>) {
    match result {
        Some(Ok(())) => progress.done += 1,
        Some(Err(error)) => *failure = failure.take().or(Some(error)),
        None => {}
    }
}
