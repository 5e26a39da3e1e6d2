//! Named points at which a test can kill the process, as a machine that loses power would.
//!
//! They exist only in builds with the feature `fault-injection`; in every other build [`reached`] is empty.

/// A step of the loop after which the process may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message was taken from its stream.
    Pulled,
    /// Its record was made.
    Mapped,
    /// The request is about to be written.
    Sending,
    /// The answer was read.
    Answered,
    /// A retry was parked, the original is not acknowledged yet.
    Parked,
    /// A dead letter was written, the original is not acknowledged yet.
    DeadLettered,
    /// An event of an ordered lane was put behind a failing one, the original is not acknowledged yet.
    Held,
    /// An event of an ordered lane was taken back from the retries stream.
    Fetched,
    /// The original is about to be acknowledged.
    Acknowledging,
    /// Rows of a batch source were read, nothing of them is stored yet.
    RowsRead,
    /// Those of them that can be no event are dead letters.
    RowsRefused,
    /// All of them are stored, and the record does not say so yet.
    RowsStored,
    /// The record says so.
    RowsRecorded,
    /// The file is read to its end, and the record does not say so yet.
    FileRead,
    /// The trim record was advanced, nothing is purged yet.
    TrimRecorded,
    /// A page of a polled API was read, nothing of it is stored yet.
    PollFetched,
    /// A part of a page is stored.
    PollStoring,
    /// A whole page is stored, and not remembered yet.
    PollStored,
    /// A page is remembered, the position in the run is not written yet.
    PollRemembered,
    /// The position in the run was written.
    PollAdvanced,
    /// The last page of a run is stored, the cursor is about to be committed.
    PollCommitting,
}

/// Says that a step was reached. With the feature and `ROPEWAY_CRASH_AT=<step>:<n>` in the environment, the `n`th time
/// at that step kills the process with SIGKILL.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn reached(_: Step) {}

/// Says that a step was reached. With the feature and `ROPEWAY_CRASH_AT=<step>:<n>` in the environment, the `n`th time
/// at that step kills the process with SIGKILL.
#[cfg(feature = "fault-injection")]
pub fn reached(step: Step) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };
    static PLAN: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let plan = std::env::var("ROPEWAY_CRASH_AT").ok()?;
        let (step, count) = plan.split_once(':')?;
        Some((step.to_owned(), count.parse().ok()?))
    });
    static SEEN: AtomicU64 = AtomicU64::new(0);
    if step == Step::Sending {
        log_send();
    }
    let Some((wanted, count)) = &*PLAN else { return };
    if format!("{step:?}") == *wanted && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        loop {
            std::thread::park();
        }
    }
}

/// With `ROPEWAY_LOG_SENDS=<file>` in the environment, writes down when a request is sent: microseconds since 1970, one a line.
#[cfg(feature = "fault-injection")]
fn log_send() {
    use std::{
        fs::{File, OpenOptions},
        io::Write,
        sync::{LazyLock, Mutex, PoisonError},
    };
    static LOG: LazyLock<Option<Mutex<File>>> = LazyLock::new(|| {
        let path = std::env::var_os("ROPEWAY_LOG_SENDS")?;
        OpenOptions::new().create(true).append(true).open(path).ok().map(Mutex::new)
    });
    if let Some(log) = &*LOG {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // A line that is lost shows in the test that counts them.
        let _ = writeln!(log, "{}", jiff::Timestamp::now().as_microsecond());
    }
}

/// Kills the process if the event is one that does so in a test.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn poisoned(_: &crate::decode::Event) {}

/// Kills the process if `ROPEWAY_POISON` is in the environment and is the event's id; with `ROPEWAY_PANIC` it panics with the
/// event in its words.
#[cfg(feature = "fault-injection")]
pub fn poisoned(event: &crate::decode::Event) {
    if std::env::var("ROPEWAY_PANIC").is_ok_and(|panics| panics == event.attributes.id) {
        panic!("a planted panic at {event:?}");
    }
    if std::env::var("ROPEWAY_POISON").is_ok_and(|poison| poison == event.attributes.id) {
        std::process::abort();
    }
}

/// A request that is about to be sent with our credentials.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn proved(_: &ropeway_auth::http::Request) {}

/// With `ROPEWAY_PANIC_SENDING=<path>` in the environment, panics with the headers of a request to that path in its words, be
/// they secret or not.
#[cfg(feature = "fault-injection")]
pub fn proved(request: &ropeway_auth::http::Request) {
    if std::env::var("ROPEWAY_PANIC_SENDING").is_ok_and(|path| path == request.uri.path()) {
        let values: Vec<_> = request.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        panic!("a planted panic at {values:?}");
    }
}

/// A deadline for senders.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn deadline(deadline: std::time::Duration) -> std::time::Duration {
    deadline
}

/// A deadline for senders; with `ROPEWAY_DEADLINES_FASTER=<n>` in the environment the `n`th part of it.
#[cfg(feature = "fault-injection")]
pub fn deadline(deadline: std::time::Duration) -> std::time::Duration {
    static FASTER: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var("ROPEWAY_DEADLINES_FASTER").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
    });
    deadline / (*FASTER).max(1)
}
