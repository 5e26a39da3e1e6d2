//! What a poller was told, with nothing left open.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    cursor::CursorFormat,
    names::hash,
    schedule::{Schedule, ScheduleError},
    source::{Cursor, Poll},
};

/// How long the memory of what was stored outlasts the lookback, at least.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How many times the longest pause between two runs it outlasts.
const PAUSES_REMEMBERED: u32 = 3;

/// When runs start.
#[derive(Clone, Debug)]
pub enum When {
    /// So long after the start of the last one.
    Every(Duration),
    /// At these times.
    At(Box<Schedule>),
}

impl When {
    /// When the next run starts, after one that started at `last`, or after polling was looked at first. What lies in the
    /// past is due now, and once.
    pub fn next(&self, last: Option<Timestamp>, since: Timestamp, now: Timestamp) -> Timestamp {
        // A clock that was set back must not make a run wait for what it showed before.
        let last = last.map(|last| last.min(now));
        match self {
            Self::Every(interval) => match (last, SignedDuration::try_from(*interval)) {
                (Some(last), Ok(interval)) => last.checked_add(interval).unwrap_or(Timestamp::MAX),
                _ => now,
            },
            Self::At(schedule) => schedule.next(last.unwrap_or(since.min(now))).unwrap_or(Timestamp::MAX),
        }
    }

    /// The longest pause between two starts that is to be expected.
    fn longest_pause(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(interval) => *interval,
            Self::At(schedule) => schedule.longest_gap(now),
        }
    }
}

/// What a poller was told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When runs start.
    pub when: When,
    /// What the user says.
    pub poll: Poll,
    /// How long one answer may take.
    pub timeout: Duration,
    /// The most pages of one run.
    pub max_pages: u64,
    /// The largest answer that is read, in bytes.
    pub max_page_bytes: usize,
    /// What stands for the part of the spec that requests are made of.
    pub spec: String,
}

impl Plan {
    /// Reads what the user says.
    ///
    /// # Errors
    /// If the schedule is none; the operator has checked it.
    pub fn new(poll: Poll) -> Result<Self, ScheduleError> {
        let when = match (&poll.schedule, poll.interval) {
            (Some(schedule), _) => When::At(Box::new(Schedule::parse(schedule, poll.time_zone.as_deref())?)),
            (None, interval) => When::Every(interval.map_or(Duration::from_secs(3600), |interval| interval.std())),
        };
        let Poll { request, auth, tls, items, pagination, cursor, max_pages, max_page_bytes, .. } = &poll;
        let written = serde_json::to_vec(&(request, auth, tls, items, pagination, cursor, max_pages, max_page_bytes));
        Ok(Self {
            spec: hash(&written.unwrap_or_default(), 10),
            when,
            timeout: poll.timeout.map_or(Duration::from_secs(30), |timeout| timeout.std()),
            max_pages: poll.max_pages.and_then(|most| u64::try_from(most).ok()).unwrap_or(1000),
            max_page_bytes: poll.max_page_bytes.and_then(|most| usize::try_from(most.bytes()).ok()).unwrap_or(8 << 20),
            poll,
        })
    }

    /// The cursor's format.
    pub fn format(&self) -> CursorFormat {
        self.poll.cursor.as_ref().and_then(|cursor| cursor.format).unwrap_or_default()
    }

    /// The cursor's lookback.
    pub fn lookback(&self) -> Duration {
        let lookback = self.poll.cursor.as_ref().and_then(|cursor| cursor.lookback);
        lookback.map_or(Duration::ZERO, |lookback| lookback.std())
    }

    /// The value that a run begins with, given the committed cursor and the value that a person set it to.
    pub fn from(&self, cursor: Option<&str>, floor: Option<&str>) -> Option<String> {
        let Cursor { initial, .. } = self.poll.cursor.as_ref()?;
        let Some(committed) = cursor else { return initial.clone() };
        let earlier = self.format().before(committed, self.lookback());
        self.format().later(Some(earlier), floor.map(str::to_owned))
    }

    /// How long what was stored is remembered. It is remembered anew when it is seen again and half of that is over.
    pub fn memory(&self, now: Timestamp) -> Duration {
        let pauses = self.when.longest_pause(now).saturating_mul(PAUSES_REMEMBERED);
        self.lookback().saturating_add(pauses.max(REMEMBERED))
    }
}
