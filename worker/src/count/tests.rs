use proptest::prelude::*;

use super::*;
use crate::provider;

fn dead(reason: DeadLetterReason) -> Settlement {
    let failure = provider::Failure { code: Some(422), message: "refused".into() };
    Settlement::DeadLetter(DeadLetter { reason, failure })
}

#[test]
fn each_end_of_an_event_is_counted_in_exactly_one_of_the_final_counters() {
    for settlement in [
        Settlement::Done(Done::Delivered),
        Settlement::Done(Done::Filtered),
        Settlement::Done(Done::Deduplicated),
        Settlement::Done(Done::Shadowed),
        dead(DeadLetterReason::Rejected),
        dead(DeadLetterReason::Exhausted),
        dead(DeadLetterReason::MappingFailed),
    ] {
        let counts = counts_of(&settlement);
        let ends = counts.delivered
            + counts.filtered
            + counts.deduplicated
            + counts.shadowed
            + counts.rejected
            + counts.failed;
        assert_eq!((counts.settled, ends), (1, 1), "{settlement:?}");
    }
}

#[test]
fn what_is_taken_for_a_flush_is_not_taken_twice() {
    let tally = Tally::default();
    tally.settled(&dead(DeadLetterReason::Rejected), Timestamp::UNIX_EPOCH);
    assert_eq!(tally.take_unflushed().rejected, 1);
    assert!(tally.take_unflushed().is_zero());
    assert_eq!(tally.total().rejected, 1);
    let report = tally.report("crm");
    assert_eq!((report.recent_attempts, report.recent_failures), (1, 1));
    assert_eq!(report.last_error.unwrap().code, Some(422));
}

fn settlements() -> impl Strategy<Value = Settlement> {
    let failure = || provider::Failure { code: Some(503), message: "it failed".into() };
    let reason = prop::sample::select(vec![
        DeadLetterReason::Rejected,
        DeadLetterReason::Exhausted,
        DeadLetterReason::Unaccounted,
        DeadLetterReason::MappingFailed,
        DeadLetterReason::MappingLimit,
        DeadLetterReason::Undecodable,
        DeadLetterReason::Poison,
    ]);
    let done = prop::sample::select(vec![Done::Delivered, Done::Filtered, Done::Deduplicated, Done::Shadowed]);
    let history = crate::decode::History {
        delivery: "d".into(),
        attempt: 2,
        resend: 0,
        first_failure: None,
        held: Duration::ZERO,
        parks: 1,
    };
    prop_oneof![
        done.prop_map(Settlement::Done),
        reason.prop_map(dead),
        Just(Settlement::Return(Return { cause: None, failure: failure() })),
        Just(Settlement::Park(Park { due: Timestamp::UNIX_EPOCH, history, failure: failure() })),
    ]
}

proptest! {
    /// The model: of so many events that were taken, each ended in one way, or is still owed.
    #[test]
    fn the_sum_holds_whatever_happens_and_whenever_it_is_flushed(
        settlements in prop::collection::vec((settlements(), any::<bool>()), 0..200),
    ) {
        let (tally, mut flushed, mut ended, mut letters) = (Tally::default(), Counts::default(), 0, 0);
        for (settlement, flush) in &settlements {
            tally.settled(settlement, Timestamp::UNIX_EPOCH);
            ended += u64::from(matches!(settlement, Settlement::Done(_) | Settlement::DeadLetter(_)));
            letters += u64::from(matches!(settlement, Settlement::DeadLetter(_)));
            if *flush {
                flushed = flushed.plus(tally.take_unflushed());
            }
        }
        flushed = flushed.plus(tally.take_unflushed());
        prop_assert_eq!(flushed, tally.total());
        let Counts { delivered, filtered, shadowed, deduplicated, rejected, failed, .. } = flushed;
        prop_assert_eq!(flushed.settled, ended);
        prop_assert_eq!(delivered + filtered + shadowed + deduplicated + rejected + failed, ended);
        prop_assert_eq!((flushed.dead_lettered, rejected + failed), (letters, letters));
    }
}
