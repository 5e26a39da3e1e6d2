//! The retry budget of one Destination: failing retries are limited to a share of its recent traffic, so that an outage is
//! not made worse. A retry that succeeds costs nothing: after the outage the backlog is not slowed down. Pure.

/// Failing retries a second that are always allowed, in thousandths of a token.
const FLOOR: i64 = 10_000;

/// What a request adds, in thousandths of a token: a fifth of the traffic may be failing retries.
const SHARE: i64 = 200;

/// The most that is saved up, in thousandths of a token.
const MOST: i64 = 100_000;

/// One token.
const TOKEN: i64 = 1_000;

/// What is left for failing retries.
#[derive(Clone, Debug)]
pub struct Budget {
    left: i64,
    filled: i64,
}

impl Budget {
    /// A full budget. `now` is in milliseconds of any clock that doesn't go back.
    pub fn new(now: i64) -> Self {
        Self { left: MOST, filled: now }
    }

    /// Notes that a request was sent.
    pub fn sent(&mut self) {
        self.left = (self.left + SHARE).min(MOST);
    }

    /// Notes that a retry failed.
    pub fn retry_failed(&mut self) {
        self.left -= TOKEN;
    }

    /// How long to wait before the next retry, in milliseconds; zero means not at all.
    pub fn wait(&mut self, now: i64) -> i64 {
        let passed = (now - self.filled).clamp(0, 60_000);
        self.left = (self.left + passed * FLOOR / 1_000).min(MOST);
        self.filled = now;
        if self.left >= TOKEN { 0 } else { (TOKEN - self.left) * 1_000 / FLOOR + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_retries_are_bounded_and_successful_ones_are_not() {
        let mut budget = Budget::new(0);
        let mut failed = 0;
        for now in 0..10_000 {
            while budget.wait(now) == 0 {
                budget.sent();
                budget.retry_failed();
                failed += 1;
            }
        }
        // Ten a second, the share of the retries' own traffic, and what was saved up.
        assert!((100..=300).contains(&failed), "{failed}");
        let mut budget = Budget::new(0);
        for _ in 0..100_000 {
            assert_eq!(budget.wait(0), 0);
            budget.sent();
        }
    }

    #[test]
    fn a_wait_is_long_enough_and_no_longer() {
        let mut budget = Budget::new(0);
        for _ in 0..100 {
            budget.retry_failed();
        }
        let wait = budget.wait(0);
        assert!((1..=101).contains(&wait), "{wait}");
        assert_eq!(budget.wait(wait), 0);
    }
}
