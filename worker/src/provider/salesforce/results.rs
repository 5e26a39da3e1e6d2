//! What a job says of its records: lists as CSV, in any order. Pure.
//!
//! Source: Bulk API 2.0, "Get Job Successful", "… Failed" and "… Unprocessed Record Results", 2026. A row holds what was sent,
//! in columns whose names Salesforce knows, and what came of it.

use csv::ReaderBuilder;

use super::answer::Complaint;

/// One of a job's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Records that were taken.
    Successful,
    /// Records that were refused.
    Failed,
    /// Records that it did not get to.
    Unprocessed,
}

/// One record of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What stands in the column of the keys; none where there is none, or nothing in it.
    pub(super) key: Option<String>,
    /// What Salesforce has against it.
    pub(super) error: Option<String>,
}

impl List {
    /// The last part of its address.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Successful => "successfulResults",
            Self::Failed => "failedResults",
            Self::Unprocessed => "unprocessedrecords",
        }
    }

    /// The one to read after it, where something is still unexplained.
    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::Successful => Some(Self::Failed),
            Self::Failed => Some(Self::Unprocessed),
            Self::Unprocessed => None,
        }
    }
}

/// The rows of a list; none where it is no CSV. `key` is the name of the column of the keys, which has no case.
pub(super) fn rows(body: &[u8], key: &str) -> Option<Vec<Row>> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(body);
    let names = reader.headers().ok()?;
    let column = |name: &str| names.iter().position(|known| known.eq_ignore_ascii_case(name));
    let (key, error) = (column(key), column("sf__Error"));
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.ok()?;
        let cell = |column: Option<usize>| {
            let text = row.get(column?).filter(|text| !text.is_empty())?;
            Some(text.to_owned())
        };
        rows.push(Row { key: cell(key), error: cell(error) });
    }
    Some(rows)
}

/// What stands in `sf__Error`: `CODE:words:Field,Field --`. The words may hold values and are left out.
pub(super) fn complaint(error: &str) -> Complaint {
    let code = error.split(':').next().unwrap_or_default().trim();
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_name = |name: &&str| {
        let mut bytes = name.bytes();
        name.len() <= 80
            && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let last = error.trim_end().strip_suffix("--").and_then(|error| error.rsplit_once(':'));
    let names = last.map_or("", |(_, names)| names).split(',').map(str::trim);
    Complaint {
        status_code: if is_code { code.chars().take(80).collect() } else { "no code".into() },
        fields: Some(names.filter(is_name).map(str::to_owned).collect()),
    }
}
