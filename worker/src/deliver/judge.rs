//! What an answer means: the user's rules first, then the provider's table, then the default; and what it shows about the
//! destination as a whole. Pure.

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::{account::Cause, delivery::OutcomeKind, worker_config::LaneConfig};
use ropeway_mapping::{Context, Data, EventAttributes, Input, IntegrationName, Limits, Program, run_outcome};

use crate::{
    account::breaker::Sign,
    map::Record,
    provider::{self, Failure, Fate, Outcome, Vendor, Verdict},
};

/// What an answer means. `outcomes` are the compiled programs of the lane's outcome rules.
pub(super) fn judge(
    config: &LaneConfig,
    vendor: Option<&dyn Vendor>,
    outcomes: &[Program],
    response: &Response,
    records: &[&Record],
    now: Timestamp,
) -> Verdict {
    let table = match vendor {
        Some(vendor) => vendor.verdict(response, records, now),
        None if config.provider.webhook.is_some() => provider::webhook::verdict(response, now),
        None => provider::default_verdict(response, now),
    };
    if outcomes.is_empty() {
        return table;
    }
    let headers: Vec<(&str, &str)> =
        response.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let data = Data::from_response(response.status.as_u16(), headers, &response.body);
    let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
    let limits = Limits::default();
    let rules = outcomes.iter().zip(&config.delivery.outcomes);
    for (index, (program, rule)) in rules.enumerate() {
        // A rule that fails on this answer does not match; the next one, or the table, decides.
        if run_outcome(program, Input { data: &data, context: &context }, &limits).unwrap_or(false) {
            return by_rule(index, rule.then, response.status.as_u16(), table);
        }
    }
    table
}

fn by_rule(index: usize, then: OutcomeKind, code: u16, table: Verdict) -> Verdict {
    let Verdict { hint, each, .. } = table;
    let message = format!("the destination answered {code}, and outcome rule {} applies", index + 1);
    let failure = Failure { code: Some(code), message };
    let outcome = match then {
        OutcomeKind::Deliver => Outcome::Delivered,
        OutcomeKind::Retry => Outcome::Retry { after: hint.pause(true), limited: code == 429, failure },
        OutcomeKind::Reject => Outcome::Rejected(failure),
        OutcomeKind::Hold => Outcome::Hold { cause: Cause::Rule, failure },
    };
    // What the vendor said that it took is not sent again.
    let taken = |fate: &Fate| *fate == Fate::Known(Outcome::Delivered);
    let each = if outcome != Outcome::Delivered && each.iter().any(taken) {
        let keep = |fate: Fate| if taken(&fate) { fate } else { Fate::Known(outcome.clone()) };
        each.into_iter().map(keep).collect()
    } else {
        Vec::new()
    };
    Verdict { outcome, hint, by_rule: true, each }
}

/// The outcome that shows most about the destination as a whole: one record's hold or limit is everybody's.
pub(super) fn telling<'a>(whole: &'a Outcome, each: &'a [Fate]) -> &'a Outcome {
    let known = || each.iter().filter_map(|fate| if let Fate::Known(known) = fate { Some(known) } else { None });
    let hold = known().find(|known| matches!(known, Outcome::Hold { .. }));
    hold.or_else(|| known().find(|known| matches!(known, Outcome::Retry { limited: true, .. }))).unwrap_or(whole)
}

/// What an outcome shows about the destination as a whole.
pub(super) fn sign(outcome: &Outcome, by_rule: bool, delivery: &str) -> Sign {
    match outcome {
        Outcome::Rejected(Failure { code: Some(code @ (403 | 410)), .. }) if !by_rule => {
            Sign::Forbidden { code: *code, delivery: delivery.to_owned() }
        }
        Outcome::Delivered | Outcome::Rejected(_) | Outcome::Unaccounted(_) | Outcome::Left(_) => Sign::Answered,
        Outcome::Retry { limited: true, .. } => Sign::Limited,
        Outcome::Retry { failure, .. } => Sign::Failed(failure.message.clone()),
        Outcome::Hold { cause, failure } => Sign::Blocked(*cause, failure.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure { code: Some(207), message: "no".into() }
    }

    /// A rule of the user's can't take back what the vendor said that it took: it would be sent again.
    #[test]
    fn a_rule_speaks_of_what_was_not_taken() {
        let each = vec![Fate::Known(Outcome::Delivered), Fate::Known(Outcome::Rejected(failure())), Fate::Again];
        let table = || Verdict { each: each.clone(), ..Verdict::plain(Outcome::Delivered) };
        let Verdict { outcome, each: kept, .. } = by_rule(0, OutcomeKind::Reject, 207, table());
        assert_eq!(kept[0], Fate::Known(Outcome::Delivered));
        assert_eq!(kept[1..], [Fate::Known(outcome.clone()), Fate::Known(outcome)]);
        assert_eq!(by_rule(0, OutcomeKind::Deliver, 207, table()).each, []);
        let nothing = Verdict { each: vec![Fate::Again; 2], ..Verdict::plain(Outcome::Delivered) };
        assert_eq!(by_rule(0, OutcomeKind::Reject, 400, nothing).each, []);
    }

    #[test]
    fn one_records_hold_or_limit_shows_what_the_destination_can_bear() {
        let hold = Outcome::Hold { cause: Cause::Quota, failure: failure() };
        let limited = Outcome::Retry { after: None, limited: true, failure: failure() };
        let known = |outcome: &Outcome| Fate::Known(outcome.clone());
        let whole = Outcome::Delivered;
        assert_eq!(telling(&whole, &[known(&whole), known(&limited), known(&hold)]), &hold);
        assert_eq!(telling(&whole, &[known(&limited), Fate::Again]), &limited);
        assert_eq!(telling(&whole, &[Fate::Again, known(&whole)]), &whole);
    }
}
