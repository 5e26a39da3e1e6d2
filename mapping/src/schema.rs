//! JSON Schema: compiled once, asked for each event. Nothing is fetched, patterns take linear time, and what is said of a
//! violation comes from the schema alone, so that no payload gets into a status.

use std::{fmt, sync::Arc};

use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use self::{
    growth::check_growth,
    references::{MOST_LEVELS, MOST_STEPS, check_references},
};
use crate::Data;

mod growth;
mod references;
mod step;

/// The longest place in a schema that is told, in characters.
const LONGEST_PLACE: usize = 160;

/// A schema that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON.
    #[error("it is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: usize,
    },
    /// It is JSON, but no schema.
    #[error("it is no JSON Schema: {0}")]
    Invalid(String),
    /// It refers to another document.
    #[error("it refers to {0:?}; only references within the schema (#/…) are followed")]
    Remote(String),
    /// Judging a value would never end.
    #[error("the reference {0:?} leads back to itself without going deeper into the value")]
    Endless(String),
    /// Judging a value would take too many steps.
    #[error(
        "the reference {0:?} leads through more than {MOST_STEPS} schemas for one and the same value; simplify what it refers to"
    )]
    TooMany(String),
    /// Judging a value would take twice as long with each level of it.
    #[error(
        "{0} leads back to itself more than once for the same child of a value, so that each level of an event doubles the time to judge it; describe that child in one place, or choose between the places by if, then and else"
    )]
    Doubles(String),
    /// How long judging a value takes can't be told.
    #[error(
        "the schemas at {0} refer to each other in too many ways to tell how long judging an event takes; simplify them"
    )]
    Unclear(String),
    /// It is nested too deep, references included.
    #[error(
        "it is nested deeper than {MOST_LEVELS} levels where references are followed; shorten the chain of references"
    )]
    TooDeep,
}

/// An event that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The place in the schema, and what it asks for.
    pub place: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the event does not match the schema at {}", self.place)
    }
}

/// A compiled schema. Cloning is cheap.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Fetches nothing.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is another document").into())
    }
}

/// Reads a schema's text.
///
/// # Errors
/// If it is no JSON.
pub fn parse(text: &str) -> Result<Value, SchemaError> {
    serde_json::from_str(text).map_err(|error| SchemaError::NotJson { line: error.line(), column: error.column() })
}

impl Schema {
    /// Compiles a schema of any draft; 2020-12 where it names none.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        check_references(schema)?;
        check_growth(schema)?;
        let options = jsonschema::options();
        let options = options.with_retriever(Nowhere).with_pattern_options(PatternOptions::regex());
        let validator = options.should_validate_formats(true).build(schema);
        let told = |error: ValidationError<'_>| SchemaError::Invalid(cut(&error.to_string()));
        Ok(Self(Arc::new(validator.map_err(told)?)))
    }

    /// Judges an event.
    ///
    /// # Errors
    /// Where it first does not match.
    pub fn check(&self, data: &Data) -> Result<(), Violation> {
        let value = data.to_json();
        self.0.validate(&value).map_err(|error| violation(&error))
    }
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let asked = match error.kind() {
        ValidationErrorKind::Required { property } => format!(": {property} is missing"),
        _ => String::new(),
    };
    Violation { place: cut(&format!("{}{asked}", error.schema_path())) }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_PLACE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(schema: &Value, event: Value) -> Option<String> {
        let data = Data::parse(event.to_string().as_bytes()).unwrap();
        Schema::compile(schema).unwrap().check(&data).err().map(|violation| violation.place)
    }

    #[test]
    fn a_violation_names_the_place_in_the_schema_and_nothing_of_the_event() {
        let schema = json!({
            "type": "object", "required": ["email"],
            "properties": { "email": { "type": "string", "format": "email" }, "age": { "type": "integer" } },
            "patternProperties": { "^x-": { "type": "boolean" } },
        });
        assert_eq!(place(&schema, json!({ "email": "a@b.example", "age": 3 })), None);
        assert_eq!(place(&schema, json!({})).as_deref(), Some("/required: \"email\" is missing"));
        let secret = "s3cret";
        for (event, at) in [
            (json!({ "email": secret }), "/properties/email/format"),
            (json!({ "email": "a@b.example", "age": secret }), "/properties/age/type"),
            (json!({ "email": "a@b.example", "x-s3cret": secret }), "/patternProperties/^x-/type"),
        ] {
            assert_eq!(place(&schema, event).as_deref(), Some(at));
        }
    }

    #[test]
    fn references_stay_inside_and_end() {
        let error = |schema: Value| Schema::compile(&schema).unwrap_err();
        assert!(matches!(error(json!({ "$ref": "https://example.com/s" })), SchemaError::Remote(_)));
        assert!(matches!(error(json!({ "$ref": "other.json" })), SchemaError::Remote(_)));
        assert!(matches!(error(json!({ "$ref": "#" })), SchemaError::Endless(_)));
        assert!(matches!(error(json!({ "$anchor": "a", "$ref": "#a" })), SchemaError::Endless(_)));
        assert!(matches!(error(json!({ "$defs": { "a": { "$id": "b" } } })), SchemaError::Remote(_)));
        let round = json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" });
        assert!(matches!(error(round), SchemaError::Endless(_)));
        let tree =
            json!({ "type": "object", "properties": { "children": { "type": "array", "items": { "$ref": "#" } } } });
        assert_eq!(place(&tree, json!({ "children": [{ "children": [] }] })), None);
        assert_eq!(
            place(&tree, json!({ "children": [{ "children": 1 }] })).as_deref(),
            Some("/properties/children/items/$ref/properties/children/type")
        );
        let twice = json!({ "$defs": { "t": { "type": "string" } }, "allOf": [{ "properties": { "a": { "$ref": "#/$defs/t" } } }, { "properties": { "b": { "$ref": "#/$defs/t" } } }] });
        assert_eq!(place(&twice, json!({ "a": "1", "b": "2" })), None);
    }

    #[test]
    fn what_is_no_schema_says_so() {
        assert!(matches!(Schema::compile(&json!({ "type": "objekt" })), Err(SchemaError::Invalid(_))));
        assert!(matches!(Schema::compile(&json!(3)), Err(SchemaError::Invalid(_))));
        assert!(matches!(Schema::compile(&json!({ "pattern": "(a+)+\\1" })), Err(SchemaError::Invalid(_))));
        assert_eq!(parse("{\n nope"), Err(SchemaError::NotJson { line: 2, column: 2 }));
    }

    #[test]
    fn patterns_take_linear_time() {
        let schema = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } });
        let began = std::time::Instant::now();
        assert!(place(&schema, json!({ "a": format!("{}b", "a".repeat(50_000)) })).is_some());
        assert!(began.elapsed().as_secs() < 5, "it backtracked");
    }
}
