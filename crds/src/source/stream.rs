//! A JetStream stream of the user's as a source.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A JetStream stream of yours.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.startAt) || !has(self.startTime)").message("give at most one of startAt and startTime"))]
#[x_kube(validation = Rule::new("(has(self.startAt) ? self.startAt : 'New') == (has(oldSelf.startAt) ? oldSelf.startAt : 'New') && has(self.startTime) == has(oldSelf.startTime) && (!has(self.startTime) || self.startTime == oldSelf.startTime)").message("startAt and startTime can't be changed; make a new Integration"))]
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
    pub start_at: Option<StreamStart>,
    /// The first lanes begin with what was stored at this time or later, such as `2026-11-01T00:00:00Z`. It can't be changed
    /// later, must not lie in the future, and is refused for a work queue.
    pub start_time: Option<StartTime>,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartTime(pub Timestamp);

impl JsonSchema for StartTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StartTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time", "maxLength": 64 })
    }
}

/// Where the first lanes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With events that arrive after the Integration was made.
    New,
    /// With the oldest event that the stream holds.
    All,
    /// With the first event that was stored then or later.
    Time(Timestamp),
}

impl StreamSource {
    /// Where the first lanes begin.
    pub fn beginning(&self) -> Beginning {
        match (self.start_time, self.start_at.unwrap_or_default()) {
            (Some(StartTime(time)), _) => Beginning::Time(time),
            (None, StreamStart::New) => Beginning::New,
            (None, StreamStart::All) => Beginning::All,
        }
    }
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
