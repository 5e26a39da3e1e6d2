//! The tests that stand in a resource.
//!
//! In: a compiled [`Mapping`] and [`Case`]s. Out: the [`CaseFailure`]s, each with the first place
//! where what came out differs from what was expected.

use std::fmt;

use serde_json::Value;

use crate::cases::difference::first_difference;
use crate::context::{Context, EventAttributes, IntegrationName};
use crate::data::Data;
use crate::guard::Limits;
use crate::mapping::{MapError, Mapped, Mapping};
use crate::run::Input;

mod difference;

/// One test: an event and what each destination should make of it.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Named in failures.
    pub name: String,
    /// `%event` of the test.
    pub event: EventAttributes,
    /// The event's data, before `normalize`.
    pub input: Value,
    /// Destinations that are not mentioned are not looked at.
    pub expect: Vec<Expectation>,
}

/// What one destination should make of a case's event.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The destination's name within the Integration.
    pub destination: String,
    /// What should come out.
    pub expected: Expected,
}

/// What should come out for one destination.
#[derive(Debug, Clone)]
pub enum Expected {
    /// This record. Numbers are compared by value: `1` is `1.0`.
    Record(Value),
    /// Nothing: the filter says no.
    Filtered,
    /// The mapping fails.
    Error {
        /// A part of the message; any failure where it is missing.
        contains: Option<String>,
    },
}

/// A test that did not come out as expected. Contains data of the test, none of any event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// Name of the test.
    pub case: String,
    /// Name of the destination.
    pub destination: String,
    /// What was expected and what came out, in one line.
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, destination, message } = self;
        write!(f, "test {case:?}, destination {destination:?}: {message}")
    }
}

/// Runs every case through the mapping, with the code and the limits that the worker uses.
#[must_use]
pub fn run_cases(
    mapping: &Mapping,
    integration: &IntegrationName,
    cases: &[Case],
    limits: &Limits,
) -> Vec<CaseFailure> {
    cases.iter().flat_map(|case| run_case(mapping, integration, case, limits)).collect()
}

fn run_case(mapping: &Mapping, integration: &IntegrationName, case: &Case, limits: &Limits) -> Vec<CaseFailure> {
    let data = Data::from(case.input.clone());
    let context = Context::new(&case.event, integration);
    let input = Input { data: &data, context: &context };
    let normalized = mapping.normalize(input, limits);
    let check = |expectation: &Expectation| {
        let Expectation { destination, expected } = expectation;
        let failure = match mapping.destination(destination) {
            None => Some(format!("the Integration has no destination named {destination:?}")),
            Some(mapping) => {
                let outcome = normalized.as_ref().map_err(MapError::clone);
                let outcome = outcome.and_then(|data| {
                    let data = data.as_ref();
                    mapping.apply(Input { data, ..input }, limits)
                });
                mismatch(expected, &outcome)
            }
        };
        failure.map(|message| CaseFailure { case: case.name.clone(), destination: destination.clone(), message })
    };
    case.expect.iter().filter_map(check).collect()
}

fn mismatch(expected: &Expected, outcome: &Result<Mapped, MapError>) -> Option<String> {
    let contains = |error: &MapError, part: &Option<String>| {
        part.as_ref().is_none_or(|part| error.to_string().contains(part.as_str()))
    };
    match (expected, outcome) {
        (Expected::Record(expected), Ok(Mapped::Record(record))) => {
            // Through `Data`, so that large integers are strings on both sides.
            first_difference(&Data::from(expected.clone()).to_json(), &record.to_json())
        }
        (Expected::Filtered, Ok(Mapped::Filtered)) => None,
        (Expected::Error { contains: part }, Err(error)) if contains(error, part) => None,
        (Expected::Error { contains: Some(part) }, Err(error)) => {
            Some(format!("expected an error containing {part:?}, got: {error}"))
        }
        (expected, outcome) => {
            let expected = match expected {
                Expected::Record(_) => "a record",
                Expected::Filtered => "the event to be filtered out",
                Expected::Error { .. } => "an error",
            };
            let got = match outcome {
                Ok(Mapped::Record(record)) => {
                    format!("a record: {}", difference::short(&record.to_json()))
                }
                Ok(Mapped::Filtered) => "it was filtered out".to_owned(),
                Err(error) => format!("an error: {error}"),
            };
            Some(format!("expected {expected}, got {got}"))
        }
    }
}

#[cfg(test)]
mod tests;
