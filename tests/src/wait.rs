//! Waiting for a condition, with a deadline and without fixed sleeps.

use std::time::{Duration, Instant};

use crate::Error;

/// How long is waited between two looks. Short against anything worth waiting for, long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value; an `Err` says what was seen instead, and the last one is in the error.
///
/// # Errors
/// `Error::Deadline` when `patience` is over.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let deadline = Instant::now() + patience;
    let mut last = "no answer".to_owned();
    loop {
        match tokio::time::timeout_at(deadline.into(), look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            // What was seen before says more than that the last look came too late.
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(Error::Deadline { what: what.to_owned(), patience, last });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
