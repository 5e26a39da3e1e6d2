//! Portions that are too large for one request: a vendor may work on them as a job, in its own time; otherwise they go in
//! several requests. Everything here is pure: a job says what it needs, and is told what came back.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};

use super::{Fate, Outcome, Verdict};
use crate::map::Record;

/// A vendor that takes more in a portion than in a request.
pub trait Large: Send + Sync {
    /// How many of the first of these records go into one request. At least one.
    fn piece(&self, records: &[&Record]) -> usize;

    /// A job for all of them; none where they go in requests.
    fn job(&self, records: &[&Record]) -> Option<Box<dyn Job>>;
}

/// A job for a portion of records, from its beginning to an outcome for each of them.
pub trait Job: fmt::Debug + Send + Sync {
    /// How long it is worth waiting for.
    fn patience(&self) -> Duration;

    /// What it needs next. The same until it is told that it had it.
    fn need(&self) -> Need;

    /// The pause that it needed is over.
    fn rested(&mut self);

    /// An answer came to the request that it needed. Says what that shows of the destination as a whole, and of its limits.
    fn answered(&mut self, response: &Response, now: Timestamp) -> Verdict;

    /// No answer came to the request that it needed; the outcome says why.
    fn unanswered(&mut self, outcome: Outcome);

    /// Nobody waits for it any longer: this becomes of the records that it has said nothing of. It may need one more request.
    fn give_up(&mut self, outcome: Outcome);

    /// What became of each record, in order. `Again` is what goes in requests. Only once it needs nothing more.
    fn finish(self: Box<Self>) -> Vec<Fate>;
}

/// What a job needs.
#[derive(Debug)]
pub enum Need {
    /// The answer to a request.
    Answer(Box<Request>),
    /// Time.
    Pause(Duration),
    /// Nothing more: it has ended.
    Nothing,
}
