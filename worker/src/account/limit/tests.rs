use proptest::prelude::*;
use ropeway_crds::duration::Duration as Span;

use super::*;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_800_000_000 * SECOND;

fn policy(requests: u32, per: u64, burst: u32) -> RatePolicy {
    RatePolicy {
        limit: Some(Rate { requests, per: Span::from_secs(per), burst }),
        max_concurrency: None,
        honor_response_headers: true,
    }
}

/// One worker of a simulation: when it is there, and how long it dawdles between two looks.
#[derive(Clone, Debug)]
struct Worker {
    from: i64,
    until: i64,
    pace: i64,
}

/// Lets workers send as fast as they may for `length` microseconds, and answers when they did.
fn simulate(policy: &RatePolicy, workers: &[Worker], length: i64) -> Vec<i64> {
    let rate = policy.limit.unwrap();
    let mut record = LimitRecord::default();
    let mut slots = vec![Slots::default(); workers.len()];
    let mut next: Vec<i64> = workers.iter().map(|worker| worker.from).collect();
    let mut sent = Vec::new();
    loop {
        let (index, now) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
        if now > length {
            return sent;
        }
        let time = START + now;
        match slots[index].take(lateness(&rate, record.factor), time) {
            Take::Now => sent.push(time),
            Take::At(at) => {
                next[index] = (at - START).max(now + 1) + workers[index].pace % 2_000;
                continue;
            }
            Take::Empty => {
                let (changed, lease) = lease(&record, policy, &format!("w{index}"), time);
                record = changed;
                slots[index].add(&lease.unwrap());
            }
        }
        next[index] = now + workers[index].pace.max(1);
        if next[index] > workers[index].until {
            next[index] = i64::MAX;
        }
    }
}

/// The most that lies in any window of one second.
fn densest(sent: &[i64]) -> usize {
    let mut sent = sent.to_vec();
    sent.sort_unstable();
    (0..sent.len())
        .map(|first| sent[first..].iter().take_while(|at| **at < sent[first] + SECOND).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn one_busy_worker_uses_nearly_all_of_the_limit_and_never_more() {
    let policy = policy(50, 1, 1);
    let sent = simulate(&policy, &[Worker { from: 0, until: i64::MAX, pace: 500 }], 10 * SECOND);
    assert!(densest(&sent) <= 51, "{}", densest(&sent));
    assert!(sent.len() >= 480, "{} of 500", sent.len());
}

#[test]
fn a_burst_after_a_pause_is_as_large_as_was_allowed() {
    let policy = policy(10, 1, 5);
    let mut record = LimitRecord::default();
    let (changed, first) = lease(&record, &policy, "w", START);
    record = changed;
    let mut slots = Slots::default();
    slots.add(&first.unwrap());
    let rate = policy.limit.unwrap();
    let at_once = (0..100).take_while(|_| slots.take(lateness(&rate, 1_000), START) == Take::Now).count();
    assert_eq!(at_once, 5);
    assert!(record.next_slot > START);
}

#[test]
fn a_record_from_a_clock_that_was_wrong_does_not_stop_the_world() {
    let record = LimitRecord { next_slot: i64::MAX / 2, ..LimitRecord::default() };
    let (_, lease) = lease(&record, &policy(1, 1, 1), "w", START);
    assert_eq!(lease.unwrap().first, START);
}

#[test]
fn complaints_lower_the_limit_once_a_second_and_it_grows_back_step_by_step() {
    let now = START / 1_000;
    let once = slow_down(&LimitRecord::default(), None, true, now);
    assert_eq!(once.factor, 700);
    assert_eq!(slow_down(&once, None, true, now + 500).factor, 700);
    assert_eq!(slow_down(&once, None, true, now + 1_500).factor, 490);
    let (later, _) = lease(&once, &policy(10, 1, 1), "w", (now + 3_000) * 1_000);
    assert_eq!(later.factor, 850);
    let (whole, _) = lease(&later, &policy(10, 1, 1), "w", (now + 60_000) * 1_000);
    assert_eq!(whole.factor, 1_000);
    // A window that is used up is no complaint.
    assert_eq!(slow_down(&LimitRecord::default(), Some(now + 9), false, now).factor, 1_000);
}

#[test]
fn workers_that_cannot_reach_the_record_keep_to_their_shares_of_the_limit() {
    let rate = policy(40, 1, 10).limit.unwrap();
    let workers = (0..4).map(|number| (format!("w{number}"), START / 1_000)).collect();
    let record = LimitRecord { factor: 1_000, workers, ..LimitRecord::default() };
    let mut sent = Vec::new();
    // All four are on their own for ten seconds; none hears of the others.
    for _ in 0..4 {
        let mut until = 0;
        while until < START + 10 * SECOND {
            let lease = alone(&record, &rate, until, START);
            sent.extend((0..lease.count).map(|index| lease.first + index * lease.step));
            until = lease.first + lease.count * lease.step;
        }
    }
    assert!(densest(&sent) <= 44, "{} within a second", densest(&sent));
    // One that never heard of anybody serves the whole limit, and no more.
    let lease = alone(&LimitRecord { factor: 1_000, ..LimitRecord::default() }, &rate, 0, START);
    assert_eq!((lease.count, lease.step), (40, 25_000));
}

#[test]
fn nothing_is_leased_before_the_time_that_the_destination_asked_for() {
    let closed = slow_down(&LimitRecord::default(), Some(START / 1_000 + 5_000), true, START / 1_000);
    let (_, lease) = lease(&closed, &policy(10, 1, 5), "w", START);
    assert!(lease.unwrap().first >= START + 5 * SECOND);
}

proptest! {
    #[test]
    fn however_workers_come_and_go_no_second_holds_more_than_the_limit(
        requests in 1u32..200,
        burst in 1u32..10,
        workers in prop::collection::vec((0i64..3 * SECOND, SECOND..6 * SECOND, 1i64..30_000), 1..5),
    ) {
        let policy = policy(requests, 1, burst);
        let workers: Vec<Worker> =
            workers.into_iter().map(|(from, length, pace)| Worker { from, until: from + length, pace }).collect();
        let sent = simulate(&policy, &workers, 6 * SECOND);
        // Slots of one second, those of the burst, and one for each end of the window; a timer's inexactness counts
        // where slots are closer to each other than it.
        let timer = 5_000 / step(&policy.limit.unwrap(), 1_000).max(1);
        let most = requests as usize + 2 * burst as usize + 1 + usize::try_from(timer).unwrap();
        prop_assert!(densest(&sent) <= most, "{} in a second, at most {}", densest(&sent), most);
    }

    #[test]
    fn the_shares_of_all_workers_add_up_to_the_whole(most in 0u32..500, live in 1usize..20) {
        let workers = (0..live).map(|index| (format!("w{index:02}"), 0)).collect();
        let record = LimitRecord { workers, ..LimitRecord::default() };
        let sum: usize = record.workers.keys().map(|worker| share(&record, most, worker)).sum();
        prop_assert_eq!(sum, most as usize);
    }
}
