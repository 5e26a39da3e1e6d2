//! A JetStream stream of the user's as a source.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A JetStream stream of yours.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamSource {
    /// Name of the stream. Ropeway's own streams (`ROPEWAY_…`, and its bucket's) are refused.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('ROPEWAY_') && !self.startsWith('KV_ROPEWAY_') && !self.startsWith('OBJ_ROPEWAY_')").message("a stream of Ropeway's own can't be a source"))]
    pub stream: String,
    /// Only events on these subjects; `*` and `>` are wildcards. Default: all.
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(subject, !subject.startsWith('$') && subject != 'ropeway' && !subject.startsWith('ropeway.'))").message("subjects that begin with $ or ropeway. can't be a source"))]
    pub subjects: Option<Vec<Subject>>,
    /// Where the first lanes begin. It can't be changed later. Default New.
    #[x_kube(validation = Rule::new("self == oldSelf").message("startAt can't be changed; make a new Integration"))]
    pub start_at: Option<StreamStart>,
}

/// A NATS subject or a filter on subjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(pub String);

impl JsonSchema for Subject {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Subject".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\s]+$" })
    }
}

/// Where a lane on a stream of yours begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamStart {
    /// With events that arrive after the Integration was made.
    #[default]
    New,
    /// With the oldest event that the stream holds.
    All,
}
