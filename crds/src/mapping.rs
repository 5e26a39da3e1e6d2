//! Expressions written in a resource, and the tests that go with them.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret_ref::ConfigMapKeyRef;

/// A VRL program, written here or kept in a ConfigMap: exactly one of the two.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.expression) != has(self.configMapKeyRef)").message("give exactly one of expression and configMapKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The program. Its result is the value of its last expression; `.` hands on the changed event.
    #[schemars(length(min = 1, max = 16384))]
    pub expression: Option<String>,
    /// A key of a ConfigMap with the program.
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

/// One test of the mappings: an event goes in, and for each destination that is named something is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MappingTest {
    /// Name of the test.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The event's data, as the source would deliver it.
    #[schemars(schema_with = "free_json")]
    pub input: Json,
    /// What each destination should get.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["destination".into()]))]
    pub expect: Vec<Expectation>,
}

/// What one destination should get of a test's event: exactly one of record, filtered and error.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
// CEL can't see `record`, since it is free JSON; that exactly one is given is checked where tests are run.
#[x_kube(validation = Rule::new("!has(self.filtered) || !has(self.error)").message("give exactly one of record, filtered and error"))]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// Name of the destination in this Integration.
    #[schemars(length(min = 1, max = 63))]
    pub destination: String,
    /// The record that the destination should get, whole.
    // Without the default, a field with a schema of its own counts as required.
    #[serde(default)]
    #[schemars(schema_with = "free_json")]
    pub record: Option<Json>,
    /// `true`: the destination's filter should keep the event back.
    #[x_kube(validation = Rule::new("self").message("filtered can only be true; expect a record or an error otherwise"))]
    pub filtered: Option<bool>,
    /// The mapping should fail with an error that contains this text.
    #[schemars(length(min = 1, max = 256))]
    pub error: Option<String>,
}

fn free_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// An expression that yields one value of a fixed type.
pub type Expression = String;

/// Order among events with equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ordering {
    /// A VRL expression of type string over the event as received. Events with equal keys are delivered to each destination
    /// in the order in which they were stored. An event for which it fails becomes a dead letter.
    #[schemars(length(min = 1, max = 4096))]
    pub key: Expression,
}

/// De-duplication at the place where a lane takes an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dedup {
    /// A VRL expression of type string over the event as received. Events with equal keys are the same event.
    #[schemars(length(min = 1, max = 4096))]
    pub key: Expression,
    /// How long a key is remembered, from the first event with it. Whole seconds, at least 1s, at most 720h.
    pub window: crate::duration::Duration,
}
