//! A global allocator that knows how much memory the current thread holds.
//!
//! In: every allocation of the program. Out: [`held_by_this_thread`], which the mapping guard reads
//! between two expressions to stop a mapping before it takes the process down.
//!
//! The numbers are the thread's own allocations minus its own frees. Memory that is freed on another
//! thread than the one that took it makes both sums drift, so only the difference over one run on
//! one thread means something. That is how the guard uses it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Without a destructor and initialised at compile time, so that reading it never allocates.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Wraps an allocator and counts, for each thread, the bytes it holds.
///
/// ```
/// use ropeway_allocator::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::system();
/// ```
#[derive(Debug, Default)]
pub struct CountingAllocator<A = System> {
    inner: A,
}

impl CountingAllocator {
    /// Counts on top of the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> CountingAllocator<A> {
    /// Counts on top of `inner`.
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

/// Bytes that the current thread took minus those it gave back. Negative where a thread frees what
/// others allocated; always zero where no [`CountingAllocator`] is installed.
#[must_use]
pub fn held_by_this_thread() -> isize {
    HELD.try_with(Cell::get).unwrap_or(0)
}

/// Whether a [`CountingAllocator`] is this program's global allocator.
///
/// Found out by allocating: costs one small allocation, so ask once.
#[must_use]
pub fn is_installed() -> bool {
    let before = held_by_this_thread();
    let probe = std::hint::black_box(Box::new([0_u8; 64]));
    let counted = held_by_this_thread() - before;
    drop(probe);
    counted >= 64
}

fn add(bytes: usize) {
    // A size never exceeds isize::MAX (a rule of `Layout`). `try_with` fails only while a thread
    // ends, when nobody asks any more.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add_unsigned(bytes)));
}

fn subtract(bytes: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub_unsigned(bytes)));
}

// SAFETY: every call goes to `inner` unchanged and its answer is returned unchanged, so whatever
// `inner` guarantees holds here too. Counting touches a thread-local `Cell` without a destructor: it
// doesn't allocate, doesn't unwind and doesn't call back into the allocator.
#[allow(unsafe_code)]
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are passed on.
        let pointer = unsafe { self.inner.alloc(layout) };
        if !pointer.is_null() {
            add(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are passed on.
        let pointer = unsafe { self.inner.alloc_zeroed(layout) };
        if !pointer.is_null() {
            add(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `inner` with this `layout`, because `alloc` hands it through.
        unsafe { self.inner.dealloc(pointer, layout) };
        subtract(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the caller's promises about `new_size` are passed on.
        let moved = unsafe { self.inner.realloc(pointer, layout, new_size) };
        if !moved.is_null() {
            subtract(layout.size());
            add(new_size);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator::system();

    #[test]
    fn counts_what_a_thread_holds_and_forgets_what_it_frees() {
        let before = held_by_this_thread();
        let mut held = Vec::<u8>::with_capacity(1000);
        assert_eq!(held_by_this_thread() - before, 1000);
        held.reserve_exact(3000);
        assert_eq!(held_by_this_thread() - before, 3000);
        drop(held);
        assert_eq!(held_by_this_thread(), before);
        let zeroed = vec![0_u64; 100];
        assert_eq!(held_by_this_thread() - before, 800);
        drop(zeroed);
    }

    #[test]
    fn does_not_count_other_threads() {
        let before = held_by_this_thread();
        let held = std::thread::spawn(|| {
            let before = held_by_this_thread();
            let _held = Vec::<u8>::with_capacity(1 << 20);
            held_by_this_thread() - before
        });
        assert_eq!(held.join().expect("the thread ends"), 1 << 20);
        assert!(held_by_this_thread() - before < 1 << 16);
    }

    #[test]
    fn knows_that_it_is_installed() {
        assert!(is_installed());
    }
}
