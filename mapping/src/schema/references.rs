//! The references of a schema: they stay inside it, and following them comes to an end, soon and without deep recursion.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{SchemaError, cut};

/// Keywords whose schemas judge the same value as the schema they stand in.
pub(super) const IN_PLACE: [&str; 10] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies", "extends"];

/// The most places that one reference may lead through for one and the same value: two references in each of twenty
/// definitions would be a million.
pub(super) const MOST_STEPS: usize = 10_000;

/// The deepest nesting where references are followed. A schema is compiled by recursion.
pub(super) const MOST_LEVELS: usize = 512;

/// Follows every reference: it must lead to a place in this schema, and not back to itself for one and the same value.
pub(super) fn check_references(schema: &Value) -> Result<(), SchemaError> {
    let mut waiting = vec![schema];
    let mut heights = Heights { schema, known: HashMap::new() };
    heights.of(schema, 0)?;
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(members) => {
                // A schema of its own inside would give references another meaning.
                if !std::ptr::eq(value, schema)
                    && let Some(id) = members.get("$id").and_then(Value::as_str)
                {
                    return Err(SchemaError::Remote(cut(id)));
                }
                if let Some(reference) = reference(value) {
                    let mut steps = 0;
                    follow(schema, reference, &mut BTreeSet::new(), &mut steps)?;
                }
                waiting.extend(members.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    Ok(())
}

/// How deep values are nested, what their references lead to included.
struct Heights<'a> {
    schema: &'a Value,
    /// By the value's address; none while it is looked at, which is where a schema leads back to itself.
    known: HashMap<*const Value, Option<usize>>,
}

impl<'a> Heights<'a> {
    fn of(&mut self, value: &'a Value, above: usize) -> Result<usize, SchemaError> {
        let height = match self.known.get(&std::ptr::from_ref(value)) {
            Some(known) => known.unwrap_or_default(),
            None => self.look(value, above)?,
        };
        if above + height > MOST_LEVELS { Err(SchemaError::TooDeep) } else { Ok(height) }
    }

    fn look(&mut self, value: &'a Value, above: usize) -> Result<usize, SchemaError> {
        if above > MOST_LEVELS {
            return Err(SchemaError::TooDeep);
        }
        let mut below: Vec<&Value> = match value {
            Value::Object(members) => members.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => return Ok(0),
        };
        if let Some(fragment) = reference(value).and_then(|reference| reference.strip_prefix('#')) {
            below.extend(targets(self.schema, fragment));
        }
        self.known.insert(value, None);
        let mut height = 0;
        for value in below {
            height = height.max(1 + self.of(value, above + 1)?);
        }
        self.known.insert(value, Some(height));
        Ok(height)
    }
}

/// Where a schema refers to.
pub(super) fn reference(value: &Value) -> Option<&str> {
    let of = |name: &str| value.get(name).and_then(Value::as_str);
    of("$ref").or_else(|| of("$dynamicRef")).or_else(|| of("$recursiveRef"))
}

/// Where a reference may lead: to a place, or to what carries that anchor.
pub(super) fn targets<'a>(schema: &'a Value, fragment: &str) -> Vec<&'a Value> {
    if fragment.is_empty() || fragment.starts_with('/') {
        return schema.pointer(fragment).into_iter().collect();
    }
    let (mut found, mut waiting) = (Vec::new(), vec![schema]);
    while let Some(value) = waiting.pop() {
        let anchors = ["$anchor", "$dynamicAnchor"].map(|name| value.get(name).and_then(Value::as_str));
        if anchors.contains(&Some(fragment)) {
            found.push(value);
        }
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    found
}

/// Walks everything that judges the same value as what a reference leads to.
fn follow<'a>(
    schema: &'a Value,
    reference_: &'a str,
    seen: &mut BTreeSet<&'a str>,
    steps: &mut usize,
) -> Result<(), SchemaError> {
    if !reference_.starts_with('#') {
        return Err(SchemaError::Remote(cut(reference_)));
    }
    if !seen.insert(reference_) {
        return Err(SchemaError::Endless(cut(reference_)));
    }
    let mut waiting = targets(schema, &reference_[1..]);
    while let Some(value) = waiting.pop() {
        *steps += 1;
        if *steps > MOST_STEPS {
            return Err(SchemaError::TooMany(cut(reference_)));
        }
        if let Some(next) = reference(value) {
            follow(schema, next, seen, steps)?;
        }
        for keyword in IN_PLACE {
            match value.get(keyword) {
                Some(Value::Array(items)) => waiting.extend(items),
                Some(inner @ Value::Object(members)) => match keyword {
                    "dependentSchemas" | "dependencies" => waiting.extend(members.values()),
                    _ => waiting.push(inner),
                },
                _ => {}
            }
        }
    }
    seen.remove(reference_);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::Schema;

    /// Definitions, each of which is made of the reference to the next one.
    fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
        let reference = |place: usize| json!({ "$ref": format!("#/$defs/a{place}") });
        let links = (0..length).map(|place| (format!("a{place}"), link(reference(place + 1))));
        let all: Map<String, Value> = links.chain([(format!("a{length}"), json!({ "type": "object" }))]).collect();
        json!({ "$defs": all, "$ref": "#/$defs/a0" })
    }

    #[test]
    fn long_chains_of_references_are_refused_before_they_overflow_the_stack() {
        for link in [|next: Value| next, |next: Value| json!({ "properties": { "x": next } })] {
            assert_eq!(Schema::compile(&chain(20_000, link)).err(), Some(SchemaError::TooDeep));
            assert!(Schema::compile(&chain(100, link)).is_ok());
        }
    }

    #[test]
    fn references_that_multiply_for_one_value_are_refused_before_they_are_followed_for_years() {
        let twice = |next: Value| json!({ "allOf": [next.clone(), next] });
        assert!(matches!(Schema::compile(&chain(60, twice)), Err(SchemaError::TooMany(_))));
        assert!(Schema::compile(&chain(8, twice)).is_ok());
        // For other values they may.
        let apart = |next: Value| json!({ "properties": { "x": next.clone(), "y": next } });
        assert!(Schema::compile(&chain(60, apart)).is_ok());
    }
}
