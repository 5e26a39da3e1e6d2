//! Every expression of an Integration: found, compiled, and tried on the tests that stand in the resource.

use std::collections::BTreeMap;

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    delivery::DeliveryPolicy,
    mapping::{Expectation as Expected, Mapping as Written},
};
use ropeway_mapping::{
    Case, DestinationMapping, EventAttributes, Expectation, Expected as Outcome, IntegrationName, Limits, Mapping,
    Program, Purpose, run_cases,
};

use super::{Compile, CompileFault, Identity, event_defaults};
use crate::integration::observe::Observed;

/// The sources of all programs, with those from ConfigMaps in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Programs {
    /// `normalize`
    pub normalize: Option<String>,
    /// `source.request.reply`
    pub reply: Option<String>,
    /// `transform` by destination.
    pub transforms: BTreeMap<String, String>,
}

struct Compiler<'a> {
    compile: Compile<'a>,
    findings: &'a mut Vec<Finding>,
}

/// Finds, compiles and tries every expression.
pub(super) fn resolve(
    observed: &Observed,
    identity: &Identity,
    compile: Compile<'_>,
    findings: &mut Vec<Finding>,
) -> Programs {
    let before = findings.len();
    let spec = &observed.integration.spec;
    let mut compiler = Compiler { compile, findings };
    let mut programs = Programs::default();
    if let Some(id) = spec.event.as_ref().and_then(|event| event.id.as_deref()) {
        compiler.program("spec.event.id", id, Purpose::Key);
    }
    if let Some(dedup) = &spec.dedup {
        compiler.program("spec.dedup.key", &dedup.key, Purpose::Key);
    }
    if let Some(ordering) = &spec.ordering {
        compiler.program("spec.ordering.key", &ordering.key, Purpose::Key);
    }
    if let Some(written) = spec.source.request.as_ref().and_then(|request| request.reply.as_ref()) {
        programs.reply = compiler.source(observed, "spec.source.request.reply", written);
        if let Some(source) = &programs.reply {
            compiler.program("spec.source.request.reply", source, Purpose::Transform);
        }
    }
    let mut mapping = Mapping::default();
    if let Some(written) = &spec.normalize {
        programs.normalize = compiler.source(observed, "spec.normalize", written);
        let source = programs.normalize.as_deref();
        mapping.normalize = source.and_then(|source| compiler.program("spec.normalize", source, Purpose::Normalize));
    }
    for destination in &spec.destinations {
        let place = |field: &str| format!("spec.destinations[{}].{field}", destination.name);
        let filter = destination.filter.as_deref();
        let filter = filter.and_then(|source| compiler.program(&place("filter"), source, Purpose::Filter));
        let written = destination.transform.as_ref();
        let transform = written.and_then(|written| compiler.source(observed, &place("transform"), written));
        let program = transform.as_deref();
        let program = program.and_then(|source| compiler.program(&place("transform"), source, Purpose::Transform));
        programs.transforms.extend(transform.map(|source| (destination.name.clone(), source)));
        mapping.destinations.push(DestinationMapping { name: destination.name.clone(), filter, transform: program });
        let account = observed.destinations.get(&destination.r#ref).and_then(Option::as_ref);
        let general = account.and_then(|account| account.spec.delivery.as_ref());
        let policy = DeliveryPolicy::resolve(destination.delivery.as_ref(), general);
        for (index, rule) in policy.outcomes.iter().enumerate() {
            compiler.program(&place(&format!("delivery.outcomes[{index}].when")), &rule.when, Purpose::Outcome);
        }
    }
    for test in spec.tests.iter().flatten() {
        for expected in test.expect.iter().filter(|expected| expectation(expected).is_none()) {
            let message = format!(
                "spec.tests[{}].expect[{}]: give exactly one of record, filtered and error",
                test.name, expected.destination
            );
            findings.push(Finding::fails(ConditionType::MappingValid, Reason::InvalidSpec, message));
        }
    }
    // A test of a mapping that is not whole would only say the same again.
    let whole = !findings.iter().skip(before).any(|finding| finding.kind == ConditionType::MappingValid)
        && findings.iter().all(|finding| finding.reason != Reason::ConfigMapNotFound);
    if whole {
        findings.extend(failing_tests(observed, identity, &mapping));
    }
    programs
}

impl Compiler<'_> {
    fn program(&mut self, place: &str, source: &str, purpose: Purpose) -> Option<Program> {
        match (self.compile)(source, purpose) {
            Ok(program) => Some(program),
            Err(CompileFault::Refused(error)) => {
                let message = format!("{place}: {error}");
                self.findings.push(Finding::fails(ConditionType::MappingValid, Reason::MappingInvalid, message));
                None
            }
            Err(CompileFault::Unable(why)) => {
                let message = format!("{place}: the compiler could not be run: {why}");
                self.findings.push(Finding::unknown(ConditionType::MappingValid, Reason::Failed, message));
                None
            }
        }
    }

    fn source(&mut self, observed: &Observed, place: &str, written: &Written) -> Option<String> {
        let Written { expression, config_map_key_ref } = written;
        if let Some(expression) = expression {
            return Some(expression.clone());
        }
        let Some(key) = config_map_key_ref else {
            let message = format!("{place}: give exactly one of expression and configMapKeyRef");
            self.findings.push(Finding::fails(ConditionType::MappingValid, Reason::InvalidSpec, message));
            return None;
        };
        let found = observed.config_maps.get(&key.name).and_then(Option::as_ref);
        if let Some(source) = found.and_then(|data| data.get(&key.key)) {
            return Some(source.clone());
        }
        let what = match found {
            None => format!("there is no ConfigMap {:?} in this namespace; create it", key.name),
            Some(_) => format!("the ConfigMap {:?} has no key {:?}; add it", key.name, key.key),
        };
        let message = format!("{place}.configMapKeyRef: {what}");
        self.findings.push(Finding::fails(ConditionType::DestinationsResolved, Reason::ConfigMapNotFound, message));
        None
    }
}

fn failing_tests(observed: &Observed, identity: &Identity, mapping: &Mapping) -> Vec<Finding> {
    let defaults = event_defaults(observed, identity);
    let event = EventAttributes {
        id: "test".into(),
        source: defaults.source,
        r#type: defaults.r#type,
        ..EventAttributes::default()
    };
    let tests = observed.integration.spec.tests.iter().flatten();
    let cases: Vec<Case> = tests
        .map(|test| Case {
            name: test.name.clone(),
            event: event.clone(),
            input: test.input.clone(),
            expect: test.expect.iter().filter_map(expectation).collect(),
        })
        .collect();
    let name = IntegrationName { name: identity.name.clone(), namespace: identity.namespace.clone() };
    let failures = run_cases(mapping, &name, &cases, &Limits::default());
    let finding = |failure: ropeway_mapping::CaseFailure| {
        let message = format!("spec.tests: {failure}");
        Finding::fails(ConditionType::MappingValid, Reason::MappingTestFailed, message)
    };
    failures.into_iter().map(finding).collect()
}

fn expectation(written: &Expected) -> Option<Expectation> {
    let Expected { destination, record, filtered, error } = written;
    let expected = match (record, filtered, error) {
        (Some(record), None, None) => Outcome::Record(record.clone()),
        (None, Some(_), None) => Outcome::Filtered,
        (None, None, Some(part)) => Outcome::Error { contains: Some(part.clone()) },
        _ => return None,
    };
    Some(Expectation { destination: destination.clone(), expected })
}
