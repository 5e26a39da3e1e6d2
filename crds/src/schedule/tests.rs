use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn fires(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, Some(zone)).unwrap();
    let first = schedule.next(at(after));
    std::iter::successors(first, |last| schedule.next(*last)).take(count).map(|fire| fire.to_string()).collect()
}

#[test]
fn a_time_that_a_clock_jumps_over_comes_once_and_at_once_after_the_jump() {
    // Berlin, 2026-03-29: after 01:59 comes 03:00.
    let nightly = fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
    assert_eq!(nightly, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let quarters = fires("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:40:00Z", 3);
    assert_eq!(quarters, ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"]);
    // Lord Howe sets its clocks by half an hour: 02:00 becomes 02:30 on 2026-10-04.
    let half = fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1);
    assert_eq!(half, ["2026-10-03T15:30:00Z"]);
}

#[test]
fn a_time_of_day_that_comes_twice_fires_the_first_time_and_every_hour_means_every_hour() {
    // New York, 2026-11-01: after 01:59 comes 01:00 again.
    let daily = fires("30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", 2);
    assert_eq!(daily, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    let hourly = fires("30 * * * *", "America/New_York", "2026-11-01T05:00:00Z", 3);
    assert_eq!(hourly, ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"]);
    // Asked within the second pass, the first one is not repeated.
    let asked = fires("15,45 1 * * *", "America/New_York", "2026-11-01T06:20:00Z", 1);
    assert_eq!(asked, ["2026-11-02T06:15:00Z"]);
}

#[test]
fn what_is_no_schedule_says_what_one_looks_like() {
    for (text, zone, word) in [
        ("* * * *", None, "4 fields"),
        ("0 * * * * *", None, "6 fields"),
        ("61 * * * *", None, "not a cron expression"),
        ("@often", None, "not a cron expression"),
        ("", None, "0 fields"),
        ("0 0 31 2 *", None, "no such date"),
        ("0 0 * * *", Some("Mars/Olympus"), "IANA"),
    ] {
        let error = Schedule::parse(text, zone).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    assert!(Schedule::parse("0 0 29 2 *", None).is_ok());
    let field = |text, zone| Schedule::parse(text, Some(zone)).unwrap_err().field();
    assert_eq!((field("0 0 30 2 *", "UTC"), field("@daily", "Mars/Base")), ("schedule", "timeZone"));
}

#[test]
fn what_a_cluster_would_refuse_is_refused_and_what_it_takes_is_taken() {
    for text in [
        "0 2 * * *",
        "*/15 8-18 * JAN,jul MON-FRI",
        "0 0 1 */3 ?",
        "30 4 * * 0,6",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
    ] {
        assert!(Schedule::parse(text, None).is_ok(), "{text}");
    }
    for text in ["0 2 L * *", "0 2 * * 5L", "0 2 * * 5#2", "0 2 * * 7", "0 2 * * fri-sun", "0 2 15W * *"] {
        assert!(Schedule::parse(text, None).is_err(), "{text}");
    }
}

#[test]
fn words_stand_for_expressions() {
    for (word, expected) in
        [("@hourly", "2026-11-25T11:00:00Z"), ("@daily", "2026-11-25T23:00:00Z"), ("@midnight", "2026-11-25T23:00:00Z")]
    {
        assert_eq!(fires(word, "Europe/Berlin", "2026-11-25T10:30:00Z", 1), [expected], "{word}");
    }
    // An hour that comes twice is every hour's hour too.
    let hourly = fires("@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", 3);
    assert_eq!(hourly, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
}

#[test]
fn the_longest_gap_spans_a_weekend() {
    let schedule = Schedule::parse("0 9 * * 1-5", Some("UTC")).unwrap();
    assert_eq!(schedule.longest_gap(at("2026-11-25T10:00:00Z")), Duration::from_secs(3 * 24 * 3600));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Against the definition: of each clock time that matches, the first moment that shows it, or the moment after the
    /// jump; none twice and none missed.
    #[test]
    fn every_matching_clock_time_fires_exactly_once(
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "America/St_Johns"]),
        minute in prop::sample::select(vec!["0", "7", "*/20", "15,45"]),
        hour in prop::sample::select(vec!["0", "1", "2", "3", "1-4", "*/2"]),
        day in 0i64..366,
    ) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), Some(zone)).unwrap();
        let begin = at("2026-01-01T00:00:00Z") + jiff::SignedDuration::from_hours(24 * day);
        let end = begin + jiff::SignedDuration::from_hours(72);
        let found: Vec<Timestamp> = std::iter::successors(schedule.next(begin), |last| schedule.next(*last))
            .take_while(|fire| *fire < end).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        let place = TimeZone::get(zone).unwrap();
        let mut expected = std::collections::BTreeSet::new();
        let mut clock = place.to_datetime(begin) - jiff::SignedDuration::from_hours(3);
        clock = clock.with().second(0).subsec_nanosecond(0).build().unwrap();
        while let Some(next) = schedule.next_civil(clock, Bound::After) {
            clock = next;
            let moment = match place.to_ambiguous_timestamp(clock).offset() {
                jiff::tz::AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).unwrap(),
                jiff::tz::AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).unwrap(),
                jiff::tz::AmbiguousOffset::Gap { after, .. } => {
                    let early = after.to_timestamp(clock).unwrap();
                    place.following(early).next().unwrap().timestamp()
                }
            };
            if moment >= end { break }
            if moment > begin { expected.insert(moment); }
        }
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
