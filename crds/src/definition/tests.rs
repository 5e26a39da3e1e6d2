use std::{fs, path::Path};

use super::*;

fn committed() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/yaml"))
}

#[test]
fn the_committed_definitions_are_what_the_types_give() {
    for definition in definitions() {
        let path = committed().join(file_name(&definition));
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == yaml(&definition), "{} is out of date: run `make crds`", path.display());
    }
    assert_eq!(fs::read_dir(committed()).unwrap().count(), definitions().len(), "a file too many in crds/yaml");
}

#[test]
fn each_definition_stays_under_200_kilobytes() {
    for definition in definitions() {
        let size = serde_json::to_vec(&definition).unwrap().len();
        assert!(size < 200_000, "{} has {size} bytes", definition.spec.names.kind);
    }
}

/// Calls `check` with every node below a schema and its path.
fn walk(path: &str, schema: &JSONSchemaProps, check: &mut dyn FnMut(&str, &JSONSchemaProps)) {
    check(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, check);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        walk(&format!("{path}[]"), items, check);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        walk(&format!("{path}{{}}"), values, check);
    }
}

/// Calls `check` with every node of every kind's spec.
fn every_node(check: &mut dyn FnMut(&str, &JSONSchemaProps)) {
    for definition in definitions() {
        let schema = definition.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
        for part in ["spec", "status"] {
            walk(&format!("{}.{part}", definition.spec.names.kind), &schema.properties.as_ref().unwrap()[part], check);
        }
    }
}

#[test]
fn every_field_is_described() {
    let mut bare = Vec::new();
    every_node(&mut |path, schema| {
        let is_field = !path.ends_with("[]") && !path.ends_with("{}");
        if is_field && schema.description.as_deref().unwrap_or_default().is_empty() {
            bare.push(path.to_owned());
        }
    });
    assert!(bare.is_empty(), "fields without a description: {bare:#?}");
}

#[test]
fn no_field_is_nullable_unsigned_or_a_float_and_none_has_a_default() {
    every_node(&mut |path, schema| {
        assert_eq!(schema.nullable, None, "{path}");
        assert_eq!(schema.default, None, "{path}");
        assert_ne!(schema.type_.as_deref(), Some("number"), "{path} is a float");
        assert!(!schema.format.as_deref().unwrap_or_default().starts_with("uint"), "{path} is unsigned");
    });
}

#[test]
fn everything_of_ours_in_a_spec_has_a_maximum() {
    let mut open = Vec::new();
    every_node(&mut |path, schema| {
        // The pod template's inner types are Kubernetes' own.
        let ours = path.contains(".spec") && !path.contains(".template.");
        let string = schema.type_.as_deref() == Some("string") && schema.enum_.is_none() && schema.max_length.is_none();
        let list = schema.type_.as_deref() == Some("array") && schema.max_items.is_none();
        if ours && (string || list) {
            open.push(path.to_owned());
        }
    });
    assert!(open.is_empty(), "no maximum: {open:#?}");
}

#[test]
fn an_expectation_of_a_test_needs_a_destination_and_nothing_else() {
    let mut seen = false;
    every_node(&mut |path, schema| {
        if path == "Integration.spec.tests[].expect[]" {
            seen = true;
            assert_eq!(schema.required.as_deref(), Some(&["destination".to_owned()][..]));
        }
    });
    assert!(seen, "the tests of an Integration have moved");
}
