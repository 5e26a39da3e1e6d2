//! Stage batch: records come in one by one, portions for one request go out. Pure: the time comes in as a value.

use std::{collections::HashSet, time::Instant};

use ropeway_crds::limits::BatchPolicy;

use crate::map::Record;

/// What a record takes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of its body.
    pub bytes: usize,
    /// Items, as the vendor counts them.
    pub weight: usize,
    /// Two with equal numbers can't be in one request.
    pub apart: Option<u64>,
}

impl Size {
    /// The size of a record.
    pub fn of(record: &Record) -> Self {
        Self { bytes: record.body.len(), weight: record.weight, apart: record.apart }
    }
}

/// Gathers what goes into one request.
#[derive(Debug)]
pub struct Batcher<T> {
    policy: BatchPolicy,
    size: fn(usize, usize) -> usize,
    most: usize,
    gathered: Vec<T>,
    bytes: usize,
    weight: usize,
    apart: HashSet<u64>,
    began: Option<Instant>,
}

impl<T> Batcher<T> {
    /// A batcher. `size` says how many bytes so many records of so many bytes take in a body.
    pub fn new(policy: BatchPolicy, size: fn(usize, usize) -> usize) -> Self {
        let most = usize::try_from(policy.max_items).unwrap_or(usize::MAX).max(1);
        Self { policy, size, most, gathered: Vec::new(), bytes: 0, weight: 0, apart: HashSet::new(), began: None }
    }

    /// Adds a record of this size, and hands out the portions that are full: none, one, or two where this one did not
    /// fit any more and is a portion of its own.
    pub fn push(&mut self, item: T, size: Size, now: Instant, full: &mut Vec<Vec<T>>) {
        let limit = usize::try_from(self.policy.max_bytes.bytes()).unwrap_or(usize::MAX);
        let Size { bytes, weight, apart } = size;
        let grown = (self.size)(self.gathered.len() + 1, self.bytes.saturating_add(bytes));
        let heavy = self.weight.saturating_add(weight) > self.most;
        let meets = apart.is_some_and(|apart| self.apart.contains(&apart));
        if !self.gathered.is_empty() && (grown > limit || heavy || meets) {
            full.push(self.flush());
        }
        if self.gathered.is_empty() {
            // One alone needs no room for more; of many, nobody knows how many will come in time.
            self.gathered.reserve_exact(self.most.min(8));
        }
        self.gathered.push(item);
        self.bytes += bytes;
        self.weight += weight;
        self.apart.extend(apart);
        self.began.get_or_insert(now);
        if self.weight >= self.most || (self.size)(self.gathered.len(), self.bytes) >= limit {
            full.push(self.flush());
        }
    }

    /// When what was gathered has waited long enough.
    pub fn due(&self) -> Option<Instant> {
        self.began.map(|began| began + self.policy.max_wait.std())
    }

    /// Hands out what was gathered, however little.
    pub fn flush(&mut self) -> Vec<T> {
        (self.bytes, self.weight) = (0, 0);
        self.apart.clear();
        self.began = None;
        std::mem::take(&mut self.gathered)
    }

    /// Puts no more than so many records into one portion from now on.
    pub fn bound(&mut self, items: usize) {
        self.most = self.most.min(items.max(1));
    }

    /// How many records fill a portion.
    pub fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ropeway_crds::duration::{ByteSize, Duration};

    use super::*;

    fn plain(bytes: usize) -> Size {
        Size { bytes, weight: 1, apart: None }
    }

    #[test]
    fn items_are_counted_as_the_vendor_counts_them_and_what_must_be_apart_is() {
        let (mut batcher, now, mut full) = (batcher(7, 1_000), Instant::now(), Vec::new());
        let heavy = |weight| Size { weight, ..plain(1) };
        for (item, size) in [heavy(3), heavy(3), heavy(3), heavy(9), heavy(1)].into_iter().enumerate() {
            batcher.push(item, size, now, &mut full);
        }
        let twin = |apart| Size { apart: Some(apart), ..plain(1) };
        for (item, size) in [twin(5), twin(6), twin(5), twin(6)].into_iter().enumerate() {
            batcher.push(10 + item, size, now, &mut full);
        }
        full.push(batcher.flush());
        assert_eq!(full, [vec![0, 1], vec![2], vec![3], vec![4, 10, 11], vec![12, 13]]);
    }

    fn batcher(items: u32, bytes: u64) -> Batcher<usize> {
        let max_bytes = ByteSize::from_bytes(bytes);
        let policy = BatchPolicy { max_items: items, max_bytes, max_wait: Duration::from_secs(2) };
        Batcher::new(policy, |count, bytes| bytes + count + 1)
    }

    #[test]
    fn the_first_record_starts_the_clock_and_a_flush_stops_it() {
        let (mut batcher, now, mut full) = (batcher(10, 1_000), Instant::now(), Vec::new());
        assert_eq!(batcher.due(), None);
        batcher.push(1, plain(10), now, &mut full);
        batcher.push(2, plain(10), now + std::time::Duration::from_secs(1), &mut full);
        assert_eq!(batcher.due(), Some(now + std::time::Duration::from_secs(2)));
        assert_eq!((batcher.flush(), batcher.due()), (vec![1, 2], None));
        assert!(full.is_empty());
    }

    #[test]
    fn a_bound_only_ever_goes_down() {
        let mut batcher = batcher(100, 1 << 20);
        batcher.bound(40);
        batcher.bound(80);
        assert_eq!(batcher.most(), 40);
        batcher.bound(0);
        assert_eq!(batcher.most(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_turned_round_and_no_limit_is_passed(sizes in prop::collection::vec(1usize..60, 0..200)) {
            let (mut batcher, now, mut full) = (batcher(7, 100), Instant::now(), Vec::new());
            for (index, size) in sizes.iter().enumerate() {
                batcher.push(index, plain(*size), now, &mut full);
            }
            full.push(batcher.flush());
            for portion in &full {
                let bytes: usize = portion.iter().map(|index| sizes[*index]).sum();
                prop_assert!(portion.len() <= 7);
                prop_assert!(portion.len() == 1 || bytes + portion.len() < 100);
            }
            let all: Vec<usize> = full.into_iter().flatten().collect();
            prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
        }
    }
}
