//! The shape that events are expected to have: found, compiled, and tried on the tests that stand in the resource.

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    schema::EventSchema,
    worker_config::SchemaConfig,
};
use ropeway_mapping::{Data, Schema, SchemaError, schema::parse};
use serde_json::Value;

use crate::integration::observe::Observed;

/// The largest schema in bytes.
const LARGEST: usize = 256 << 10;

/// The schema, if the Integration has one that can be used; what is wrong with it is a finding.
pub(super) fn resolve(observed: &Observed, findings: &mut Vec<Finding>) -> Option<SchemaConfig> {
    let given = observed.integration.spec.schema.as_ref()?;
    let EventSchema { inline, config_map_key_ref, on_violation } = given;
    let fails = |reason, message: String| Finding::fails(ConditionType::MappingValid, reason, message);
    let schema = match (inline, config_map_key_ref) {
        (Some(schema), None) => schema.clone(),
        (None, Some(key)) => {
            let found = observed.config_maps.get(&key.name).and_then(Option::as_ref).and_then(|map| map.get(&key.key));
            let Some(text) = found else {
                let message = format!(
                    "spec.schema.configMapKeyRef: there is no ConfigMap {:?} with the key {:?}; create it",
                    key.name, key.key
                );
                let kind = ConditionType::DestinationsResolved;
                findings.push(Finding::fails(kind, Reason::ConfigMapNotFound, message));
                return None;
            };
            match parse(text) {
                Ok(schema) => schema,
                Err(error) => {
                    findings.push(fails(Reason::InvalidSpec, format!("spec.schema.configMapKeyRef: {error}")));
                    return None;
                }
            }
        }
        _ => {
            let message = "spec.schema: give exactly one of inline and configMapKeyRef";
            findings.push(fails(Reason::InvalidSpec, message.into()));
            return None;
        }
    };
    match compile(&schema) {
        Ok(compiled) => findings.extend(failing_tests(observed, &compiled)),
        Err(why) => {
            findings.push(fails(Reason::InvalidSpec, format!("spec.schema: {why}")));
            return None;
        }
    }
    Some(SchemaConfig { schema, on_violation: on_violation.unwrap_or_default() })
}

fn compile(schema: &Value) -> Result<Schema, String> {
    if schema.to_string().len() > LARGEST {
        return Err(format!("it is larger than {}Ki", LARGEST >> 10));
    }
    Schema::compile(schema).map_err(|error: SchemaError| error.to_string())
}

/// A test whose input does not match would show something that no event ever gets to.
fn failing_tests(observed: &Observed, schema: &Schema) -> Vec<Finding> {
    let tests = observed.integration.spec.tests.iter().flatten();
    let finding = |test: &ropeway_crds::mapping::MappingTest| {
        let data = Data::parse(test.input.to_string().as_bytes()).ok()?;
        let violation = schema.check(&data).err()?;
        let message = format!("spec.tests[{}].input: {violation} (spec.schema)", test.name);
        Some(Finding::fails(ConditionType::MappingValid, Reason::MappingTestFailed, message))
    };
    tests.filter_map(finding).collect()
}
