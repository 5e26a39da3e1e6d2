use ropeway_crds::{
    duration::Duration,
    limits::{BreakerPolicy, CircuitBreaker},
};

use super::*;

fn policy() -> BreakerPolicy {
    BreakerPolicy { window: Duration::from_secs(60), ..BreakerPolicy::resolve(None::<&CircuitBreaker>) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn failed() -> Sign {
    Sign::Failed("it answered 503".into())
}

fn forbidden(delivery: &str) -> Sign {
    Sign::Forbidden { code: 403, delivery: delivery.into() }
}

/// How many of these signs it takes until something follows.
fn until(window: &mut Window, sign: impl Fn(usize) -> Sign, most: usize) -> Option<(usize, Event)> {
    (1..=most).find_map(|count| window.note(&sign(count), &policy(), at(0)).map(|event| (count, event)))
}

#[test]
fn failures_in_a_row_open_it_and_a_success_begins_the_row_anew() {
    let mut window = Window::default();
    let (count, event) = until(&mut window, |_| failed(), 10).unwrap();
    assert_eq!(count, 5);
    let Event::Trip { cause, reason } = event else { panic!("{event:?}") };
    assert_eq!(cause, Cause::Errors);
    assert!(reason.contains("5 requests in a row failed: it answered 503"), "{reason}");
    let mut window = Window::default();
    assert_eq!(until(&mut window, |count| if count.is_multiple_of(5) { Sign::Answered } else { failed() }, 19), None);
}

#[test]
fn a_share_of_failures_opens_it_once_there_are_enough_requests_in_the_window() {
    let mut window = Window::default();
    let alternating = |count: usize| if count.is_multiple_of(2) { failed() } else { Sign::Answered };
    let (count, event) = until(&mut window, alternating, 100).unwrap();
    assert_eq!(count, 20);
    assert!(matches!(event, Event::Trip { cause: Cause::Errors, .. }));
    // What is longer ago than the window does not count.
    let mut window = Window::default();
    for second in 0..400 {
        let sign = if second % 4 == 0 { failed() } else { Sign::Answered };
        assert_eq!(window.note(&sign, &policy(), at(second * 10)), None);
    }
}

#[test]
fn several_different_records_that_are_forbidden_in_a_row_are_the_destinations_fault() {
    let mut window = Window::default();
    let (count, event) = until(&mut window, |count| forbidden(&count.to_string()), 10).unwrap();
    assert_eq!((count, matches!(event, Event::Trip { cause: Cause::Gone, .. })), (5, true));
    let mut same = Window::default();
    assert_eq!(until(&mut same, |_| forbidden("one"), 100), None);
    let mut between = Window::default();
    let mixed = |count: usize| if count.is_multiple_of(5) { Sign::Answered } else { forbidden(&count.to_string()) };
    assert_eq!(until(&mut between, mixed, 100), None);
}

#[test]
fn being_asked_too_often_says_nothing_and_being_blocked_says_all() {
    let mut window = Window::default();
    assert_eq!(until(&mut window, |_| Sign::Limited, 1_000), None);
    let blocked = Sign::Blocked(Cause::Credentials, "refused".into());
    assert_eq!(
        window.note(&blocked, &policy(), at(0)),
        Some(Event::Trip { cause: Cause::Credentials, reason: "refused".into() })
    );
}
