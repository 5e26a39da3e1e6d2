//! Limits of one run: steps, memory and processor time.
//!
//! In: [`Limits`]. Out: a checkpoint that the engine calls before every expression it evaluates, also
//! inside closures, and that ends the run when a limit is passed. A single step can't be interrupted;
//! what one step may cost is bounded by the allow-list ([`crate::functions`]) and by the syntax check
//! (the module `syntax`).
//!
//! **Memory needs the counting allocator.** Where the binary has not installed
//! [`ropeway_allocator::CountingAllocator`], nothing can say what a run holds. Then the clock is read
//! at every step instead of every eighth, and the time limit is all that bounds memory: doubling values
//! reached 110 MB before it ended them.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use vrl::compiler::runtime::ExecutionControl;

/// What one run of one expression may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Expressions evaluated, those in closures counted each time.
    pub steps: u32,
    /// Bytes held at any one moment beyond what was held at the start.
    pub memory_bytes: usize,
    /// Processor time of the thread that runs it; waiting for a processor doesn't count.
    pub cpu_time: Duration,
    /// Approximate size of the result as JSON.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 50_000, memory_bytes: 16 << 20, cpu_time: Duration::from_millis(50), output_bytes: 1 << 20 }
    }
}

/// Stack that a thread needs to run or compile expressions, in bytes: 8 MiB.
///
/// A loop can nest a value about a thousand levels deep before the time limit ends it, and the engine
/// copies and frees it by recursion. Give it to the runtime's `thread_stack_size`.
pub const STACK_SIZE: usize = 8 << 20;

/// The limit that a run has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LimitKind {
    /// More than [`Limits::steps`].
    #[error("steps")]
    Steps,
    /// More than [`Limits::memory_bytes`].
    #[error("memory")]
    Memory,
    /// More than [`Limits::cpu_time`].
    #[error("time")]
    Time,
    /// More than [`Limits::output_bytes`], or nested deeper than [`crate::data::MAX_DEPTH`].
    #[error("output size")]
    Output,
}

/// Steps between two looks at the clock: a look costs about as much as a cheap step.
const CLOCK_INTERVAL: u32 = 8;

static COUNTING: LazyLock<bool> = LazyLock::new(ropeway_allocator::is_installed);

/// Watches one run. Made just before it starts, on the thread that runs it.
pub(crate) struct Guard<'a> {
    limits: &'a Limits,
    steps: u32,
    clock_interval: u32,
    counting: bool,
    held_at_start: isize,
    wall_start: Instant,
    cpu_start: Duration,
    passed: Option<LimitKind>,
}

impl<'a> Guard<'a> {
    pub(crate) fn start(limits: &'a Limits) -> Self {
        let counting = *COUNTING;
        let now = Instant::now();
        Self {
            limits,
            steps: 0,
            clock_interval: if counting { CLOCK_INTERVAL } else { 1 },
            counting,
            held_at_start: ropeway_allocator::held_by_this_thread(),
            wall_start: now,
            cpu_start: thread_cpu_time_about(now),
            passed: None,
        }
    }

    /// One last look after the run, for what its last step did: the limit that was passed, if any.
    pub(crate) fn finish(&mut self) -> Option<LimitKind> {
        if self.passed.is_none() {
            self.passed = self.exceeded(true);
        }
        self.passed
    }

    fn exceeded(&self, look_at_clock: bool) -> Option<LimitKind> {
        if self.steps > self.limits.steps {
            return Some(LimitKind::Steps);
        }
        if self.counting {
            let held = ropeway_allocator::held_by_this_thread().wrapping_sub(self.held_at_start);
            if held > 0 && held.unsigned_abs() > self.limits.memory_bytes {
                return Some(LimitKind::Memory);
            }
        }
        if look_at_clock && self.out_of_time() {
            return Some(LimitKind::Time);
        }
        None
    }

    fn out_of_time(&self) -> bool {
        // The wall clock is read without a system call, and a thread never uses more processor time
        // than has passed.
        self.wall_start.elapsed() > self.limits.cpu_time
            && thread_cpu_time().saturating_sub(self.cpu_start) > self.limits.cpu_time
    }
}

impl ExecutionControl for Guard<'_> {
    fn checkpoint(&mut self) -> ControlFlow<()> {
        self.steps = self.steps.saturating_add(1);
        self.passed = self.exceeded(self.steps.is_multiple_of(self.clock_interval));
        match self.passed {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}

thread_local! {
    /// The last reading of both clocks on this thread.
    static READING: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Oldest reading that is used again. Processor time is a system call, half as long as a short filter.
const READING_AGE: Duration = Duration::from_millis(5);

/// Processor time of the thread at `now`, too late by at most [`READING_AGE`]: where the last reading
/// is recent, as if the thread had not waited since. A run gets that much more than its limit.
fn thread_cpu_time_about(now: Instant) -> Duration {
    let recent = READING.get().and_then(|(wall, cpu)| {
        let age = now.checked_duration_since(wall)?;
        (age < READING_AGE).then(|| cpu + age)
    });
    recent.unwrap_or_else(|| {
        let cpu = thread_cpu_time();
        READING.set(Some((now, cpu)));
        cpu
    })
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
