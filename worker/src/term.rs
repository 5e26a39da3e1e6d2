//! A right that lasts for a while: who has it does nothing after its end, whenever its process wakes up.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use futures::future::BoxFuture;

/// How long a right lasts that is not renewed.
pub(crate) const LASTS: Duration = Duration::from_secs(10);

/// How much earlier its holder stops.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// How often it is renewed.
pub(crate) const RENEW: Duration = Duration::from_secs(3);

/// A record as it was seen, and since when it is as it is, on our clock.
#[derive(Debug, Default)]
pub(crate) struct Sight(Option<(u64, Instant)>);

impl Sight {
    /// The record has this revision now. Answers for how long it has been seen so.
    pub(crate) fn unchanged(&mut self, revision: u64) -> Duration {
        let since = match self.0 {
            Some((seen, since)) if seen == revision => since,
            _ => Instant::now(),
        };
        self.0 = Some((revision, since));
        since.elapsed()
    }
}

/// The end of a right, by two clocks: the one that can't be set, and the one that goes on while a machine sleeps.
#[derive(Clone, Debug)]
pub(crate) struct Term(Arc<Mutex<(Instant, SystemTime)>>);

impl Term {
    /// A term that was asked for at this moment.
    pub(crate) fn from(asked: (Instant, SystemTime)) -> Self {
        Self(Arc::new(Mutex::new(end(asked))))
    }

    /// Whether it has not ended.
    pub(crate) fn holds(&self) -> bool {
        let (instant, time) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() < instant && SystemTime::now() < time
    }

    /// Counts from this moment on.
    pub(crate) fn extend(&self, asked: (Instant, SystemTime)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end(asked);
    }

    /// The work, for as long as the term holds: nothing of it happens later, whenever this process wakes up. `None` where
    /// the term had ended first.
    pub(crate) fn fence<'a, T>(&self, work: impl Future<Output = T> + Send + 'a) -> Fenced<'a, T> {
        Fenced { term: self.clone(), work: Box::pin(work) }
    }
}

fn end((instant, time): (Instant, SystemTime)) -> (Instant, SystemTime) {
    (instant + (LASTS - MARGIN), time + (LASTS - MARGIN))
}

/// See [`Term::fence`].
pub(crate) struct Fenced<'a, T> {
    term: Term,
    work: BoxFuture<'a, T>,
}

impl<T> Future for Fenced<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if !self.term.holds() {
            return Poll::Ready(None);
        }
        self.work.as_mut().poll(context).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_behind_a_term_that_has_ended_is_not_touched() {
        let long_ago = LASTS - MARGIN;
        let (now, time) = (Instant::now(), SystemTime::now());
        let term = Term::from((now, time));
        assert_eq!(term.fence(async { 1 }).await, Some(1));
        for asked in [(now.checked_sub(long_ago).unwrap(), time), (now, time - long_ago)] {
            term.extend(asked);
            assert_eq!(term.fence(async { panic!("touched") }).await, None::<()>);
        }
    }
}
