//! What a script says of the sink.

use std::collections::BTreeMap;

use ropeway_crds::duration::Duration;
use serde::Deserialize;
use serde_json::Value;

use super::{Fixture, ScriptError, Vendor};

/// How the sink answers, by destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// A JSON pointer to the id in an input of the demo.
    #[serde(default)]
    pub id: String,
    /// Behaviours by the name of the Destination, which is the first segment of the path.
    #[serde(default)]
    pub destinations: BTreeMap<String, Behaviour>,
    /// APIs that are polled, by the name of the Integration, which is then the first segment of the path.
    #[serde(default)]
    pub sources: BTreeMap<String, Fixture>,
}

impl Script {
    /// Reads a script, and the rows that it names, beside it.
    ///
    /// # Errors
    /// With the file's name, and line and column of what can't be understood.
    pub fn read(path: &std::path::Path) -> Result<Self, ScriptError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::File { what: format!("read the sink's script {shown}"), source })?;
        let mut script: Self = serde_saphyr::from_str(&text)
            .map_err(|error| ScriptError::Script { path: shown, message: error.to_string() })?;
        let folder = path.parent().unwrap_or(path);
        script.sources.values_mut().try_for_each(|fixture| fixture.read(folder))?;
        Ok(script)
    }
}

/// How the sink answers for one destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// The vendor that it plays; any API where it is absent. `ropeway dev` knows it from the Destination.
    pub vendor: Option<Vendor>,
    /// A JSON pointer to the id in a record. Where a vendor is played, in one of its items: an event, a call, an input.
    #[serde(default)]
    pub id: String,
    /// Which inputs are expected to arrive; all of them where it is absent.
    pub expects: Option<Expects>,
    /// Refuses the first requests for being too many.
    pub throttle: Option<Throttle>,
    /// Refuses some records for good.
    pub refuse: Option<Refuse>,
    /// How the jobs of a vendor end that has such.
    #[serde(default)]
    pub jobs: Jobs,
}

/// How jobs end.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Jobs {
    /// How often one is looked at until it has ended. With 0 none ever does.
    pub looks: u64,
    /// Whether they fail as a whole.
    pub fail: bool,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { looks: 1, fail: false }
    }
}

/// A rule on an input of the demo.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expects {
    /// A JSON pointer into the input.
    pub pointer: String,
    /// What must stand there.
    pub equals: Value,
}

/// Too many requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Throttle {
    /// How many of the first requests get this answer.
    pub requests: u64,
    /// The status. A vendor that is played has its own.
    #[serde(default = "too_many")]
    pub status: u16,
    /// What `Retry-After` says, or the vendor's own header.
    pub retry_after: Duration,
}

fn too_many() -> u16 {
    429
}

/// A refusal for good.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    /// A JSON pointer into the record.
    pub pointer: String,
    /// How the text there must end.
    pub ends_with: String,
    /// The status. A vendor that is played has its own.
    #[serde(default = "bad_request")]
    pub status: u16,
}

fn bad_request() -> u16 {
    400
}

impl Refuse {
    /// Whether it is meant.
    pub(super) fn means(&self, record: &Value) -> bool {
        record.pointer(&self.pointer).and_then(Value::as_str).unwrap_or_default().ends_with(&self.ends_with)
    }
}
