//! The CloudEvents attributes of what a source delivers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mapping::Expression;

/// The CloudEvents attributes of what a source delivers, where it does not say them itself.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventAttributes {
    /// The `type` of events that carry none, such as `com.example.signup`. Default `ropeway.event`.
    #[schemars(length(min = 1, max = 255))]
    pub r#type: Option<String>,
    /// The `source` of events that carry none. Default `/<namespace>/<integration>`.
    #[schemars(length(min = 1, max = 255))]
    pub source: Option<String>,
    /// A VRL expression of type string over the data as received: the id of events that carry none. An id that the
    /// sender gave is kept. Without either, one is made before the event is stored.
    #[schemars(length(min = 1, max = 4096))]
    pub id: Option<Expression>,
}
