//! The shape that events are expected to have.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret_ref::ConfigMapKeyRef;

/// A JSON Schema that events are judged by as they are received, before anything is mapped. References are followed within
/// the schema only.
// CEL can't see `inline`, since it is free JSON; that exactly one is given is checked where it is compiled.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventSchema {
    /// The schema itself.
    #[serde(default)]
    #[schemars(schema_with = "free_json")]
    pub inline: Option<Json>,
    /// A key of a ConfigMap with the schema as JSON. Give exactly one of this and inline.
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// What becomes of an event that does not match. Default DeadLetter. Whatever it is, the condition `EventsConform` says
    /// that there are such events.
    pub on_violation: Option<OnViolation>,
}

/// What becomes of an event that does not match the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnViolation {
    /// It goes to the dead letters, with the reason SchemaViolation.
    #[default]
    DeadLetter,
    /// It is thrown away and counted as discarded.
    Drop,
    /// It is delivered all the same.
    Pass,
}

fn free_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
