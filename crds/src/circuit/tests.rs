use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn policy(probes: u32) -> BreakerPolicy {
    BreakerPolicy { half_open_requests: probes, ..BreakerPolicy::resolve(None) }
}

fn trip(cause: Cause) -> Event {
    Event::Trip { cause, reason: "too many fail".into() }
}

fn probe(holder: &str) -> Event {
    Event::Probe { holder: holder.into(), patience: SignedDuration::from_secs(35) }
}

/// Takes events one after the other; those that change nothing are left out.
fn run(events: &[(i64, Event)], policy: &BreakerPolicy) -> CircuitRecord {
    events.iter().fold(CircuitRecord::closed(at(0)), |record, (second, event)| {
        next(&record, event, policy, at(*second)).unwrap_or(record)
    })
}

#[test]
fn it_opens_waits_probes_and_closes() {
    let succeeded = Event::ProbeSucceeded { holder: "a".into() };
    let open = run(&[(1, trip(Cause::Errors))], &policy(1));
    assert_eq!((open.state, open.next_probe, open.opened), (CircuitState::Open, Some(at(61)), 1));
    assert_eq!(next(&open, &probe("a"), &policy(1), at(60)), None);
    let half = run(&[(1, trip(Cause::Errors)), (61, probe("a"))], &policy(1));
    assert_eq!(half.state, CircuitState::HalfOpen);
    assert_eq!(next(&half, &probe("b"), &policy(1), at(62)), None, "only one probe at a time");
    let closed = next(&half, &succeeded, &policy(1), at(63)).unwrap();
    assert_eq!((closed.state, closed.since, closed.cause), (CircuitState::Closed, at(63), Some(Cause::Errors)));
}

#[test]
fn a_probe_that_fails_or_is_lost_leaves_it_open() {
    let failed = Event::ProbeFailed { holder: "a".into(), cause: Cause::Errors, reason: "still".into() };
    let open = run(&[(1, trip(Cause::Errors)), (61, probe("a")), (62, failed)], &policy(1));
    assert_eq!((open.state, open.next_probe, open.since), (CircuitState::Open, Some(at(122)), at(1)));
    let half = run(&[(1, trip(Cause::Errors)), (61, probe("a"))], &policy(1));
    let taken_over = next(&half, &probe("b"), &policy(1), at(96)).unwrap();
    assert_eq!(taken_over.probe.as_ref().map(|probe| probe.holder.as_str()), Some("b"));
    let late = Event::ProbeSucceeded { holder: "a".into() };
    assert_eq!(next(&taken_over, &late, &policy(1), at(97)), None, "the one that was lost has no say");
}

#[test]
fn as_many_probes_in_a_row_must_succeed_as_the_policy_says() {
    let succeeded = Event::ProbeSucceeded { holder: "a".into() };
    let once = run(&[(1, trip(Cause::Errors)), (61, probe("a")), (62, succeeded.clone())], &policy(2));
    assert_eq!((once.state, once.succeeded, once.next_probe), (CircuitState::Open, 1, Some(at(62))));
    let half = next(&once, &probe("a"), &policy(2), at(62)).unwrap();
    assert_eq!(next(&half, &succeeded, &policy(2), at(63)).unwrap().state, CircuitState::Closed);
}

#[test]
fn what_a_person_wishes_comes_first() {
    let by_hand = run(&[(1, Event::OpenManually)], &policy(1));
    assert_eq!((by_hand.cause, by_hand.next_probe), (Some(Cause::Manual), None));
    for event in [trip(Cause::Errors), probe("a"), Event::Resume, Event::OpenManually] {
        assert_eq!(next(&by_hand, &event, &policy(1), at(1_000_000)), None, "{event:?}");
    }
    let tried = next(&by_hand, &Event::CloseManually, &policy(1), at(2)).unwrap();
    assert_eq!((tried.state, tried.next_probe, tried.cause), (CircuitState::Open, Some(at(2)), None));
    let open = run(&[(1, trip(Cause::Gone))], &policy(1));
    assert_eq!(next(&open, &Event::Resume, &policy(1), at(3)).unwrap().next_probe, Some(at(3)));
    assert_eq!(next(&CircuitRecord::closed(at(0)), &Event::Resume, &policy(1), at(3)), None);
}

#[test]
fn refused_credentials_are_tried_again_soon() {
    let open = run(&[(1, trip(Cause::Credentials))], &policy(1));
    assert_eq!(open.next_probe, Some(at(16)));
}

fn events() -> impl Strategy<Value = Event> {
    let holder = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    prop_oneof![
        Just(trip(Cause::Errors)),
        Just(trip(Cause::Credentials)),
        holder().prop_map(|holder| Event::Probe { holder, patience: SignedDuration::from_secs(35) }),
        holder().prop_map(|holder| Event::ProbeSucceeded { holder }),
        holder().prop_map(|holder| Event::ProbeFailed { holder, cause: Cause::Errors, reason: "no".into() }),
        holder().prop_map(|holder| Event::ProbeUnused { holder }),
        Just(Event::Resume),
        Just(Event::OpenManually),
        Just(Event::CloseManually),
    ]
}

proptest! {
    /// The model: it is closed, or somebody may probe at a known time, or a person holds it open. Nobody is stuck.
    #[test]
    fn every_state_has_a_way_out(steps in prop::collection::vec((0i64..100, events()), 0..60), probes in 1u32..4) {
        let policy = policy(probes);
        let (mut record, mut now) = (CircuitRecord::closed(at(0)), 0);
        for (wait, event) in steps {
            now += wait;
            let changed = next(&record, &event, &policy, at(now));
            if let Some(changed) = &changed {
                prop_assert_ne!(changed, &record, "a transition that changes nothing would be written for nothing");
                prop_assert!(changed.opened >= record.opened);
            }
            record = changed.unwrap_or(record);
            match record.state {
                CircuitState::Closed => prop_assert!(record.next_probe.is_none() && record.probe.is_none()),
                CircuitState::Open => {
                    prop_assert_eq!(record.next_probe.is_none(), record.cause == Some(Cause::Manual));
                    prop_assert!(record.probe.is_none());
                }
                CircuitState::HalfOpen => {
                    prop_assert!(record.probe.is_some() && record.next_probe.is_none());
                    prop_assert!(record.cause != Some(Cause::Manual));
                }
            }
        }
        let late = at(now + 1_000_000);
        if record.state != CircuitState::Closed && record.cause != Some(Cause::Manual) {
            let holder = "z".to_owned();
            for _ in 0..probes {
                let patience = SignedDuration::from_secs(1);
                record = next(&record, &Event::Probe { holder: holder.clone(), patience }, &policy, late).unwrap();
                record = next(&record, &Event::ProbeSucceeded { holder: holder.clone() }, &policy, late).unwrap();
                if record.state == CircuitState::Closed {
                    break;
                }
            }
            prop_assert_eq!(record.state, CircuitState::Closed);
        }
    }
}
