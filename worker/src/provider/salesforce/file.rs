//! Records as rows of a file for a job: flat, since a file has columns and no trees.
//!
//! Source: Bulk API 2.0, "Prepare CSV Files", "Relationship Fields in a Header Row", and its limits, 2026. An empty cell leaves a
//! field as it is, `#N/A` clears it.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use bytes::Bytes;
use csv::{Terminator, WriterBuilder};
use serde_json::value::RawValue;

use super::super::object::{Object, is_number, text};
use crate::{map::Record, provider::Invalid};

/// What clears a field.
const NOTHING: &str = "#N/A";

/// The most characters of a field.
const LONGEST_FIELD: usize = 32_000;

/// The most characters of a record.
const LONGEST_RECORD: usize = 400_000;

/// The most characters of the row of names.
const LONGEST_HEADER: usize = 32_000;

/// The most bytes of a file. Salesforce takes 100 MB; a worker has to hold it, and what comes back as well.
const LARGEST_FILE: usize = 32 << 20;

/// A file for a job.
#[derive(Debug)]
pub(super) struct File {
    /// The rows, with one of names before them.
    pub(super) csv: Bytes,
    /// Which record each key stands for; see [`folded`].
    pub(super) records: HashMap<String, usize>,
}

/// One cell of a row.
struct Cell<'a> {
    column: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// A key as it is compared.
pub(super) fn folded(key: &str) -> String {
    key.to_lowercase()
}

/// A number that is equal for records with equal keys, however they are written.
pub(super) fn apart(key: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    folded(&text(key).unwrap_or_else(|| key.get().to_owned())).hash(&mut hasher);
    hasher.finish()
}

/// Checks that a record can be a row.
///
/// # Errors
/// With the field that can't.
pub(super) fn check(record: &Object<'_>) -> Result<(), Invalid> {
    let mut columns = HashMap::new();
    let mut length = 0;
    for cell in cells(record)? {
        let characters = cell.value.chars().count();
        if characters > LONGEST_FIELD {
            return Err(refused(&cell.column, &format!("has {characters} characters; {LONGEST_FIELD} are the most")));
        }
        length += characters;
        if columns.insert(folded(&cell.column), ()).is_some() {
            return Err(refused(&cell.column, "is there twice; names of fields have no case"));
        }
    }
    if length > LONGEST_RECORD {
        return Err(Invalid(format!("the record has {length} characters; with bulk {LONGEST_RECORD} are the most")));
    }
    Ok(())
}

/// A file of these records, with their keys in the column of this name. None where they make no file: it would be too large,
/// or two of them have one key.
pub(super) fn file(records: &[&Record], key: &str) -> Option<File> {
    let mut columns: Vec<String> = vec![key.to_owned()];
    let mut numbers: HashMap<String, usize> = [(folded(key), 0)].into();
    let mut rows: Vec<Vec<(usize, String)>> = Vec::with_capacity(records.len());
    let mut known = HashMap::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let record = Object::record(&record.body).ok()?;
        let mut row = Vec::with_capacity(record.len());
        for Cell { column, value } in cells(&record).ok()? {
            let number = *numbers.entry(folded(&column)).or_insert_with(|| {
                columns.push(column.clone().into_owned());
                columns.len() - 1
            });
            row.push((number, value.into_owned()));
        }
        let (_, own) = row.iter().find(|(number, _)| *number == 0)?;
        if known.insert(folded(own), index).is_some() {
            return None;
        }
        rows.push(row);
    }
    let header: usize = columns.iter().map(|column| column.chars().count() + 1).sum();
    let least = rows.len().saturating_mul(columns.len());
    if header > LONGEST_HEADER || least > LARGEST_FILE {
        return None;
    }
    let mut writer = WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::with_capacity(least));
    writer.write_record(&columns).ok()?;
    for row in rows {
        let mut line = vec![""; columns.len()];
        for (number, value) in &row {
            line[*number] = value;
        }
        writer.write_record(line).ok()?;
    }
    let csv = writer.into_inner().ok().filter(|csv| csv.len() <= LARGEST_FILE)?;
    Some(File { csv: csv.into(), records: known })
}

/// The cells of a record.
fn cells<'a>(record: &'a Object<'a>) -> Result<Vec<Cell<'a>>, Invalid> {
    let fields = record.members().filter(|(name, _)| *name != "attributes");
    let cell = |(name, raw): (&'a str, &'a RawValue)| {
        if raw.get().starts_with('{') {
            return reference(name, raw);
        }
        Ok(Cell { column: Cow::Borrowed(name), value: value(name, raw)? })
    };
    fields.map(cell).collect()
}

/// Another record that is named by a field of its own: `{"Account": {"Number__c": "7"}}` is the column `Account.Number__c`.
/// Where several kinds of records may stand there, `attributes.type` says which.
fn reference<'a>(name: &str, raw: &'a RawValue) -> Result<Cell<'a>, Invalid> {
    let other = Object::at(name, raw)?;
    let kind = other.takes_object(&format!("{name}."), "attributes")?.and_then(|attributes| attributes.text("type"));
    let mut fields = other.members().filter(|(field, _)| *field != "attributes");
    let (Some((field, raw)), None) = (fields.next(), fields.next()) else {
        return Err(refused(name, "has to name the other record by one field"));
    };
    let place = format!("{name}.{field}");
    let value = value(&place, raw)?.into_owned();
    let column = kind.map_or_else(|| place.clone(), |kind| format!("{kind}:{place}"));
    Ok(Cell { column: column.into(), value: value.into() })
}

fn value<'a>(place: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, Invalid> {
    match raw.get() {
        "null" => Ok(NOTHING.into()),
        plain @ ("true" | "false") => Ok(plain.into()),
        plain if is_number(raw) => Ok(plain.into()),
        _ => match text(raw) {
            Some(text) if text.is_empty() => Ok(NOTHING.into()),
            Some(text) if text == NOTHING => Err(refused(place, "is the text #N/A, which clears a field; give null")),
            Some(text) => Ok(text.into()),
            None => Err(refused(place, "is an array or an object")),
        },
    }
}

/// The name is the mapping's, the value is not shown.
fn refused(place: &str, what: &str) -> Invalid {
    let place: String = place.chars().take(80).collect();
    Invalid(format!("{place} {what} (with provider.salesforce.bulk a record is a row of a file)"))
}
