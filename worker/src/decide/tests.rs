use proptest::prelude::*;
use ropeway_crds::{delivery::Delivery, duration::Duration as Span};

use super::*;

fn policy() -> DeliveryPolicy {
    DeliveryPolicy { jitter_percent: 0, ..DeliveryPolicy::resolve(None::<&Delivery>, None) }
}

fn history(attempt: u32) -> History {
    History {
        delivery: "d".into(),
        attempt,
        resend: 0,
        first_failure: (attempt > 1).then_some(Timestamp::UNIX_EPOCH),
        held: Duration::ZERO,
        parks: 0,
    }
}

fn failed(after: Option<u64>) -> Outcome {
    Outcome::Retry {
        after: after.map(Duration::from_secs),
        limited: false,
        failure: Failure { code: Some(503), message: "it failed".into() },
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// How long the event is parked, in seconds.
fn delay(settlement: &Settlement, now: Timestamp) -> i64 {
    match settlement {
        Settlement::Park(park) => park.due.duration_since(now).as_secs(),
        other => panic!("not parked: {other:?}"),
    }
}

fn judge(outcome: Outcome, history: &History, policy: &DeliveryPolicy, now: Timestamp, jitter: f64) -> Settlement {
    decide(outcome, Attempt { history, waited: Duration::ZERO, probe: false }, policy, now, jitter)
}

#[test]
fn delays_double_up_to_the_longest() {
    let policy = DeliveryPolicy { max_attempts: 100, ..policy() };
    for (attempt, seconds) in [(1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (33, 600), (99, 600)] {
        let settlement = judge(failed(None), &history(attempt), &policy, at(0), 0.0);
        assert_eq!(delay(&settlement, at(0)), seconds, "after attempt {attempt}");
    }
}

#[test]
fn linear_delays_grow_by_the_first() {
    let policy = DeliveryPolicy { backoff_policy: BackoffPolicy::Linear, ..policy() };
    let settlement = judge(failed(None), &history(3), &policy, at(0), 0.0);
    assert_eq!(delay(&settlement, at(0)), 6);
}

#[test]
fn what_the_vendor_asks_for_wins_within_bounds() {
    for (asked, granted) in [(0, 0), (7, 7), (600, 600), (1_000_000_000, 3600)] {
        let settlement = judge(failed(Some(asked)), &history(1), &policy(), at(0), 0.9);
        assert_eq!(delay(&settlement, at(0)), granted);
    }
}

#[test]
fn the_last_attempt_ends_in_the_dead_letters() {
    let settlement = judge(failed(None), &history(8), &policy(), at(60), 0.0);
    let Settlement::DeadLetter(letter) = settlement else { panic!("{settlement:?}") };
    assert_eq!(letter.reason, DeadLetterReason::Exhausted);
    assert_eq!(letter.failure.code, Some(503));
    assert!(letter.failure.message.starts_with("given up after 8 attempts"), "{}", letter.failure.message);
}

#[test]
fn elapsed_time_ends_in_the_dead_letters_but_time_on_hold_does_not_count() {
    let policy = DeliveryPolicy { max_elapsed: Span::from_secs(100), ..policy() };
    let spent = judge(failed(None), &history(2), &policy, at(100), 0.0);
    assert!(matches!(spent, Settlement::DeadLetter(_)), "{spent:?}");
    let held = History { held: Duration::from_secs(60), ..history(2) };
    assert!(matches!(judge(failed(None), &held, &policy, at(100), 0.0), Settlement::Park(_)));
}

#[test]
fn time_between_coming_due_and_being_sent_does_not_count() {
    let policy = DeliveryPolicy { max_elapsed: Span::from_secs(100), ..policy() };
    let history = history(2);
    let late = Attempt { history: &history, waited: Duration::from_secs(95), probe: false };
    let Settlement::Park(park) = decide(failed(None), late, &policy, at(100), 0.0) else { panic!("not parked") };
    assert_eq!((park.history.held, park.history.parks), (Duration::from_secs(95), 1));
}

#[test]
fn a_hold_and_a_failed_probe_go_back_with_nothing_spent() {
    let failure = Failure { code: Some(401), message: "refused".into() };
    let outcome = Outcome::Hold { cause: Cause::Credentials, failure };
    let settlement = judge(outcome, &history(8), &policy(), at(0), 0.0);
    assert!(
        matches!(&settlement, Settlement::Return(Return { cause: Some(Cause::Credentials), .. })),
        "{settlement:?}"
    );
    let last = history(8);
    let probe = Attempt { history: &last, waited: Duration::ZERO, probe: true };
    let settlement = decide(failed(None), probe, &policy(), at(1_000_000), 0.0);
    assert!(matches!(&settlement, Settlement::Return(Return { cause: None, .. })), "{settlement:?}");
}

#[test]
fn being_asked_too_often_spends_time_but_no_attempt() {
    let limited = || Outcome::Retry {
        after: None,
        limited: true,
        failure: Failure { code: Some(429), message: "not now".into() },
    };
    let Settlement::Park(park) = judge(limited(), &history(8), &policy(), at(60), 0.0) else { panic!("not parked") };
    assert_eq!((park.history.attempt, park.history.parks), (8, 1));
    let late = judge(limited(), &history(8), &policy(), at(25 * 3600), 0.0);
    assert!(matches!(late, Settlement::DeadLetter(_)), "{late:?}");
}

#[test]
fn a_record_that_no_answer_mentions_is_tried_again_and_then_given_up_with_its_own_reason() {
    let silent = || Outcome::Unaccounted(Failure { code: Some(200), message: "not mentioned".into() });
    assert!(matches!(judge(silent(), &history(1), &policy(), at(0), 0.0), Settlement::Park(_)));
    let Settlement::DeadLetter(letter) = judge(silent(), &history(8), &policy(), at(0), 0.0) else { panic!() };
    assert_eq!(letter.reason, DeadLetterReason::Unaccounted);
}

proptest! {
    #[test]
    fn delays_stay_within_the_policy(attempt in 1u32..100, jitter in 0.0f64..1.0, percent in 0u32..=100) {
        let policy = DeliveryPolicy { max_attempts: 100, jitter_percent: percent, ..policy() };
        let settlement = judge(failed(None), &history(attempt), &policy, at(0), jitter);
        if let Settlement::Park(park) = settlement {
            let delay = Duration::try_from(park.due.duration_since(at(0))).unwrap();
            let full = backoff(&policy, attempt, 0.0);
            prop_assert!(delay <= full && full <= policy.backoff_max.std());
            prop_assert!(delay.as_secs_f64() >= full.as_secs_f64() * (1.0 - f64::from(percent) / 100.0) - 0.001);
        }
    }
}
