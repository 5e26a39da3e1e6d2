//! The one way through which every write goes, so that a test can kill the process before or after any of them, and places
//! for panics.
//!
//! Only builds with the feature `fault-injection` can do that; in every other build [`write`] is the call itself, and
//! [`planted`] is empty.

use std::future::Future;

/// Runs a mutating call. `name` says which; with the feature and `ROPEWAY_CRASH_AT_WRITE=<n>:before|after` in the
/// environment, the process is killed with SIGKILL around its `n`th write.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub async fn write<T>(_name: &'static str, call: impl Future<Output = T>) -> T {
    call.await
}

/// Runs a mutating call. `name` says which; with the feature and `ROPEWAY_CRASH_AT_WRITE=<n>:before|after` in the
/// environment, the process is killed with SIGKILL around its `n`th write.
#[cfg(feature = "fault-injection")]
pub async fn write<T>(name: &'static str, call: impl Future<Output = T>) -> T {
    let number = injection::next();
    tracing::info!(number, name, "write");
    injection::reached(number, "before");
    let result = call.await;
    injection::reached(number, "after");
    result
}

/// A place at which a test may plant a panic with a secret in its words.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn planted(_: &str, _: impl FnOnce() -> String) {}

/// With `ROPEWAY_PANIC=<place>` in the environment it panics with these words.
#[cfg(feature = "fault-injection")]
pub fn planted(place: &str, words: impl FnOnce() -> String) {
    if std::env::var("ROPEWAY_PANIC").is_ok_and(|planted| planted == place) {
        panic!("a planted panic at {}", words());
    }
}

#[cfg(feature = "fault-injection")]
mod injection {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    static PLAN: LazyLock<Option<(u64, String)>> = LazyLock::new(|| {
        let plan = std::env::var("ROPEWAY_CRASH_AT_WRITE").ok()?;
        let (number, moment) = plan.split_once(':')?;
        Some((number.parse().ok()?, moment.to_owned()))
    });
    static WRITES: AtomicU64 = AtomicU64::new(0);

    pub fn next() -> u64 {
        WRITES.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn reached(number: u64, moment: &str) {
        let Some((wanted, when)) = &*PLAN else { return };
        if *wanted == number && when == moment {
            let me = rustix::process::getpid();
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
