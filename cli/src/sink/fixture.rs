//! An API that is polled, answered from a file: rows page by page, with a token for the next one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The sink's script can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file can't be read.
    #[error("failed to {what}")]
    File {
        /// What was attempted.
        what: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The script, or a row, makes no sense.
    #[error("the sink's script {path} can't be understood: {message}")]
    Script {
        /// Its path.
        path: String,
        /// What is wrong, with line and column.
        message: String,
    },
}

/// How a polled API answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fixture {
    /// A file of rows, one JSON document a line, from the script's folder.
    pub file: PathBuf,
    /// The member of an answer with the rows.
    pub items: String,
    /// Rows on a page.
    pub size: usize,
    /// The member of an answer with the token of the next page, and the query parameter that it is sent in.
    pub next: Next,
    /// Leaves out rows that are older than what a query parameter says.
    pub since: Option<Since>,
    #[serde(skip)]
    rows: Vec<Value>,
}

/// Where the token of the next page stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Next {
    /// The member of an answer.
    pub member: String,
    /// The query parameter.
    pub param: String,
}

/// What leaves rows out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Since {
    /// The query parameter.
    pub param: String,
    /// A JSON pointer to the text in a row that must not come before it.
    pub pointer: String,
}

impl Fixture {
    /// Reads the rows.
    pub(super) fn read(&mut self, folder: &Path) -> Result<(), ScriptError> {
        let path = folder.join(&self.file);
        let shown = path.display().to_string();
        let text = fs::read_to_string(&path)
            .map_err(|source| ScriptError::File { what: format!("read the sink's rows {shown}"), source })?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let row = serde_json::from_str(line).map_err(|error| ScriptError::Script {
                path: shown.clone(),
                message: format!("line {}: {error}", index + 1),
            })?;
            self.rows.push(row);
        }
        Ok(())
    }

    /// The answer to a request with this query.
    pub(super) fn page(&self, query: &str) -> Value {
        let parameter = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let since = self.since.as_ref().and_then(|since| Some((since, parameter(&since.param)?)));
        let within = |row: &&Value| {
            since.as_ref().is_none_or(|(since, from)| row.pointer(&since.pointer).and_then(Value::as_str) >= Some(from))
        };
        let rows: Vec<&Value> = self.rows.iter().filter(within).collect();
        let first = parameter(&self.next.param).and_then(|token| token.parse::<usize>().ok()).unwrap_or(0);
        let size = self.size.max(1);
        let shown: Vec<&Value> = rows.iter().skip(first).take(size).copied().collect();
        let next = (first + size < rows.len()).then(|| (first + size).to_string());
        Value::Object(Map::from_iter([(self.items.clone(), json!(shown)), (self.next.member.clone(), json!(next))]))
    }
}
