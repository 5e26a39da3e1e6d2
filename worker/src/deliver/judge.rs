//! What an answer means: the user's rules first, then the provider's table, then the default; and what it shows about the
//! destination as a whole. Pure.

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_crds::{account::Cause, delivery::OutcomeKind, worker_config::LaneConfig};
use ropeway_mapping::{Context, Data, EventAttributes, Input, IntegrationName, Limits, Program, run_outcome};

use crate::{
    account::breaker::Sign,
    map::Record,
    provider::{self, Failure, Outcome, Vendor, Verdict, hint::Hint},
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
            return by_rule(index, rule.then, response.status.as_u16(), table.hint);
        }
    }
    table
}

fn by_rule(index: usize, then: OutcomeKind, code: u16, hint: Hint) -> Verdict {
    let message = format!("the destination answered {code}, and outcome rule {} applies", index + 1);
    let failure = Failure { code: Some(code), message };
    let outcome = match then {
        OutcomeKind::Deliver => Outcome::Delivered,
        OutcomeKind::Retry => Outcome::Retry { after: hint.pause(true), limited: code == 429, failure },
        OutcomeKind::Reject => Outcome::Rejected(failure),
        OutcomeKind::Hold => Outcome::Hold { cause: Cause::Rule, failure },
    };
    Verdict { outcome, hint, by_rule: true, each: Vec::new() }
}

/// What an outcome shows about the destination as a whole.
pub(super) fn sign(outcome: &Outcome, by_rule: bool, delivery: &str) -> Sign {
    match outcome {
        Outcome::Rejected(Failure { code: Some(code @ (403 | 410)), .. }) if !by_rule => {
            Sign::Forbidden { code: *code, delivery: delivery.to_owned() }
        }
        Outcome::Delivered | Outcome::Rejected(_) | Outcome::Unaccounted(_) => Sign::Answered,
        Outcome::Retry { limited: true, .. } => Sign::Limited,
        Outcome::Retry { failure, .. } => Sign::Failed(failure.message.clone()),
        Outcome::Hold { cause, failure } => Sign::Blocked(*cause, failure.message.clone()),
    }
}
