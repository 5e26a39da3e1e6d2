//! The state machine against a small model: an API of pages whose items are stored, and a poller that dies wherever it
//! likes. No page is skipped, and the cursor is committed for whole runs only.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::plan::When, *};

fn plan(more: Value) -> Plan {
    let mut poll = json!({
        "interval": "10s", "request": { "url": "https://api.example.com/items" }, "items": "/data",
        "pagination": { "cursor": { "pointer": "/next", "param": "at" } },
        "cursor": { "field": "/n", "param": "after", "format": "Number" },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        poll[name] = value.clone();
    }
    Plan::new(serde_json::from_value(poll).unwrap()).unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn facts(next: Option<usize>, highest: u64) -> PageFacts {
    PageFacts {
        items: 1,
        stored: 1,
        highest: Some(highest.to_string()),
        next: next.map(|next| Position::Token(next.to_string())),
        mark: format!("{next:?}"),
        ..PageFacts::default()
    }
}

fn begun(plan: &Plan) -> PollRecord {
    let mut record = PollRecord::default();
    adopt(&mut record, plan, second(0));
    assert_eq!(step(&record, plan, second(0)), Step::Begin(Which::Live));
    begin(&mut record, plan, Which::Live, second(0));
    record
}

/// What may happen to a poller at a page.
#[derive(Clone, Copy, Debug)]
enum Event {
    Stored,
    /// It dies after the page was stored and before that was written.
    Dies,
    Trouble,
    Refused,
    Stale,
}

proptest! {
    #[test]
    fn whatever_dies_or_fails_no_page_is_skipped_and_only_whole_runs_commit(
        pages in 1usize..12,
        events in prop::collection::vec(prop::sample::select(vec![Event::Stored, Event::Stored, Event::Stored, Event::Dies, Event::Trouble, Event::Refused, Event::Stale]), 1..60),
    ) {
        let plan = plan(json!({}));
        let mut record = PollRecord::default();
        let mut stored = vec![false; pages];
        let mut now = second(0);
        adopt(&mut record, &plan, now);
        let mut events = events.into_iter();
        // After all that may happen, everything goes well until two runs are complete.
        let mut complete = 0;
        for _ in 0..400 {
            let durable = record.clone();
            match step(&record, &plan, now) {
                Step::Wait(until) => { prop_assert!(until > now); now = until; }
                Step::Begin(which) => { begin(&mut record, &plan, which, now); stored = vec![false; pages]; }
                Step::Page(which) => {
                    let page = match &current(&record, which).unwrap().position {
                        Position::First => 0,
                        Position::Token(token) => token.parse::<usize>().unwrap(),
                        other => panic!("{other:?}"),
                    };
                    let why = problem("PollRefused", "no");
                    match events.next().unwrap_or(Event::Stored) {
                        event @ (Event::Stored | Event::Dies) => {
                            stored[page] = true;
                            let next = (page + 1 < pages).then_some(page + 1);
                            // The highest value stands on the first page.
                            let ends = advance(&mut record, &plan, which, facts(next, 100 - page as u64), now);
                            prop_assert_eq!(ends, None);
                            if let Event::Dies = event {
                                record = durable;
                                continue;
                            }
                            if next.is_none() {
                                prop_assert!(stored.iter().all(|stored| *stored), "a page was skipped: {stored:?}");
                                prop_assert_eq!(record.cursor.as_deref(), Some("100"));
                                complete += 1;
                            } else if complete == 0 {
                                prop_assert_eq!(record.cursor.as_deref(), None);
                            }
                        }
                        Event::Trouble => retry(&mut record, None, why, now, 0.5),
                        Event::Refused => fail(&mut record, which, why, now, 0.5),
                        Event::Stale if page > 0 => if let Some(why) = restart(&mut record, which, why) { fail(&mut record, which, why, now, 0.5) },
                        Event::Stale => {}
                    }
                }
            }
            if complete == 2 { break }
        }
        prop_assert_eq!(complete, 2);
    }

    #[test]
    fn every_circle_is_noticed_before_it_was_gone_through_three_times(before in 0usize..20, length in 1usize..20) {
        let plan = plan(json!({}));
        let mut record = begun(&plan);
        let mut ended = None;
        for page in 0..(before + 3 * length + 40) {
            let next = if page < before { page } else { before + (page - before) % length };
            if let Some(why) = advance(&mut record, &plan, Which::Live, facts(Some(next), 1), second(1)) {
                ended = Some((page, why.reason));
                break;
            }
        }
        let (page, reason) = ended.expect("a circle has no end");
        prop_assert_eq!(reason, "PollPagination");
        prop_assert!(page <= 2 * (before + length) + length + 2, "{page}");
    }
}

#[test]
fn a_run_that_failed_is_tried_again_after_a_growing_pause_whatever_the_schedule_says() {
    let plan = plan(json!({ "interval": "24h" }));
    let mut record = begun(&plan);
    let mut now = second(0);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        fail(&mut record, Which::Live, problem("PollRefused", "401"), now, 0.0);
        assert_eq!(record.problem.as_ref().map(|problem| problem.reason.as_str()), Some("PollRefused"));
        let Step::Wait(until) = step(&record, &plan, now) else { panic!("no pause") };
        pauses.push(until.duration_since(now).as_secs());
        now = until;
        assert_eq!(step(&record, &plan, now), Step::Begin(Which::Live));
        begin(&mut record, &plan, Which::Live, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(advance(&mut record, &plan, Which::Live, facts(None, 7), now), None);
    assert_eq!((record.problem.clone(), record.failures), (None, 0));
    assert_eq!(step(&record, &plan, now), Step::Wait(record.last_start.unwrap() + SignedDuration::from_hours(24)));
}

#[test]
fn what_the_api_asks_for_is_kept_up_to_an_hour_and_trouble_is_told_from_the_third_time_on() {
    let plan = plan(json!({}));
    let mut record = begun(&plan);
    let trouble = || problem("PollFailing", "503");
    retry(&mut record, Some(Duration::from_secs(90)), trouble(), second(0), 1.0);
    assert_eq!((record.not_before, record.problem.clone()), (Some(second(90)), None));
    retry(&mut record, Some(Duration::from_secs(100_000)), trouble(), second(90), 1.0);
    assert_eq!(record.not_before, Some(second(90 + 3600)));
    retry(&mut record, None, trouble(), second(4000), 1.0);
    assert_eq!(record.problem, Some(trouble()));
    assert_eq!(step(&record, &plan, second(5000)), Step::Page(Which::Live));
}

#[test]
fn a_backfill_gives_way_to_the_live_run_and_leaves_its_cursor_alone() {
    let plan = plan(json!({}));
    let mut record = begun(&plan);
    advance(&mut record, &plan, Which::Live, facts(None, 50), second(1));
    let (id, from) = ("b".to_owned(), "10".to_owned());
    record.backfill = Some(Backfill { id, from, to: Some("90".into()), asked: second(1), run: None, result: None });
    assert_eq!(step(&record, &plan, second(2)), Step::Begin(Which::Backfill));
    begin(&mut record, &plan, Which::Backfill, second(2));
    assert_eq!(current(&record, Which::Backfill).unwrap().from.as_deref(), Some("10"));
    advance(&mut record, &plan, Which::Backfill, facts(Some(1), 80), second(3));
    assert_eq!(step(&record, &plan, second(10)), Step::Begin(Which::Live));
    begin(&mut record, &plan, Which::Live, second(10));
    assert_eq!(current(&record, Which::Live).unwrap().from.as_deref(), Some("50"));
    advance(&mut record, &plan, Which::Live, facts(None, 51), second(11));
    assert_eq!(step(&record, &plan, second(12)), Step::Page(Which::Backfill));
    advance(&mut record, &plan, Which::Backfill, facts(None, 85), second(13));
    assert_eq!(record.cursor.as_deref(), Some("51"));
    assert_eq!(record.backfill.as_ref().unwrap().result.as_ref().unwrap().pages, 2);
    assert_eq!(step(&record, &plan, second(14)), Step::Wait(second(20)));
}

#[test]
fn a_cursor_that_a_person_set_is_where_the_next_run_begins_and_nothing_before_it_is_asked_for() {
    let cursor = json!({ "field": "/at", "param": "since", "lookback": "1h", "initial": "2026-01-01T00:00:00Z" });
    let plan = plan(json!({ "cursor": cursor }));
    let mut record = PollRecord::default();
    adopt(&mut record, &plan, second(0));
    assert_eq!(plan.from(None, None).as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(plan.from(Some("2026-05-05T12:00:00Z"), None).as_deref(), Some("2026-05-05T11:00:00Z"));
    record.set_cursor(Some("2026-05-05T12:00:00Z".into()));
    let from = plan.from(record.cursor.as_deref(), record.floor.as_deref());
    assert_eq!((from.as_deref(), record.era), (Some("2026-05-05T12:00:00Z"), 1));
}

#[test]
fn another_spec_begins_the_run_again_and_is_tried_at_once() {
    let one = plan(json!({}));
    let mut record = begun(&one);
    record.cursor = Some("5".into());
    fail(&mut record, Which::Live, problem("PollRefused", "401"), second(0), 0.0);
    let other = plan(json!({ "items": "/rows" }));
    adopt(&mut record, &other, second(1));
    assert_eq!((record.problem.clone(), record.cursor.as_deref()), (None, Some("5")));
    assert_eq!(step(&record, &other, second(10)), Step::Begin(Which::Live));
}

#[test]
fn a_missed_run_is_made_up_for_once_and_an_interval_counts_from_the_start() {
    let nightly = plan(json!({ "interval": null, "schedule": "0 2 * * *" })).when;
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (monday, thursday) = (at("2026-11-23T02:00:00Z"), at("2026-11-26T15:00:00Z"));
    assert_eq!(nightly.next(Some(monday), monday, thursday), at("2026-11-24T02:00:00Z"), "it is due");
    assert_eq!(nightly.next(Some(thursday), monday, thursday), at("2026-11-27T02:00:00Z"), "and then no more");
    assert_eq!(nightly.next(None, monday, monday), at("2026-11-24T02:00:00Z"), "a new one waits for its time");
    let every = When::Every(Duration::from_secs(60));
    assert_eq!(every.next(None, monday, thursday), thursday);
    assert_eq!(every.next(Some(monday), monday, monday), monday + SignedDuration::from_secs(60));
    assert_eq!(
        every.next(Some(thursday), monday, monday),
        monday + SignedDuration::from_secs(60),
        "a clock was set back"
    );
}
