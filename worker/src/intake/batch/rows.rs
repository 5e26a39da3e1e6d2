//! Rows out of bytes: chunks of any size go in, rows come out as soon as they are whole. Pure, so that it can be tested with
//! any cut of any file, and memory stays what one row takes.
//!
//! Each row says where it stands, and where the next one begins: from there a later reader goes on.

use bytes::Bytes;
use ropeway_crds::source::{BatchFormat, CsvHeader};

mod array;
mod csv;
mod lines;
#[cfg(test)]
mod tests;

use array::Array;
use csv::Csv;
use lines::Lines;

/// A place between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes before it.
    pub offset: u64,
    /// Rows before it.
    pub row: u64,
    /// Line breaks before it.
    pub line: u64,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it begins: rows and lines are counted from 0 here, and from 1 for people.
    pub at: Mark,
    /// Where the next one may begin.
    pub end: Mark,
    /// What it holds.
    pub content: Content,
}

/// What a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON, or what should be JSON.
    Data(Bytes),
    /// What can be no event: its bytes up to the limit, and why in a sentence without payload.
    Refused(Bytes, String),
}

/// The file as a whole can't be read, or can't be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The header of a CSV file can't be used.
    #[error("the header in line {line} can't be used: {why}")]
    Header {
        /// Its line.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// A quoted value has no end.
    #[error("the row in line {line} opens a quote that is never closed; what follows can't be told apart")]
    OpenQuote {
        /// The line where the row begins.
        line: u64,
    },
    /// There is no array where one should be.
    #[error("there is no JSON array at {place}: {why} in line {line}")]
    NoArray {
        /// The pointer.
        place: String,
        /// What is there instead.
        why: &'static str,
        /// The line.
        line: u64,
    },
    /// The array is not well formed.
    #[error("the JSON array is broken in line {line}: {why}")]
    BrokenArray {
        /// The line.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The packed file can't be unpacked.
    #[error("the file is no whole gzip file: {0}")]
    Gzip(String),
    /// The format can't be used.
    #[error("spec.source.batch.format: {0}")]
    Format(&'static str),
}

/// Reads rows.
#[derive(Debug)]
pub struct Rows {
    format: Format,
    /// What may be the beginning of a byte order mark.
    bom: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Format {
    Lines(Lines),
    Csv(Box<Csv>),
    Array(Box<Array>),
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Rows {
    /// A reader that begins at this mark. `columns` are those that were found by the reader that came to this mark.
    /// `limit` is the longest row, in bytes.
    ///
    /// # Errors
    /// If the format can't be used.
    pub fn new(format: &BatchFormat, limit: usize, from: Mark, columns: &[String]) -> Result<Self, FileFault> {
        let BatchFormat { ndjson, csv, json_array } = format;
        let format = match (ndjson, csv, json_array) {
            (Some(_), None, None) => Format::Lines(Lines::new(limit, from)),
            (None, Some(csv), None) => {
                let given = csv.columns.iter().flatten().map(|column| column.0.clone()).collect::<Vec<_>>();
                let known = match (csv.header.unwrap_or_default(), columns) {
                    (CsvHeader::Absent, _) => Some(given.clone()),
                    (CsvHeader::Present, []) => None,
                    (CsvHeader::Present, found) => Some(found.to_vec()),
                };
                Format::Csv(Box::new(Csv::new(csv, given, known, limit, from)?))
            }
            (None, None, Some(array)) => {
                Format::Array(Box::new(Array::new(array.pointer.as_deref().unwrap_or_default(), limit, from)))
            }
            _ => return Err(FileFault::Format("give exactly one of ndjson, csv and jsonArray")),
        };
        Ok(Self { format, bom: (from.offset == 0).then(Vec::new) })
    }

    /// Takes the next bytes and adds the rows that they complete.
    ///
    /// # Errors
    /// If the file can't be read on.
    pub fn feed(&mut self, chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), FileFault> {
        let Some(mut held) = self.bom.take() else { return self.take(chunk, rows) };
        let more = chunk.len().min(BOM.len() - held.len());
        held.extend_from_slice(&chunk[..more]);
        if held.len() < BOM.len() && BOM.starts_with(&held) {
            self.bom = Some(held);
            return Ok(());
        }
        if held == BOM {
            self.skip(BOM.len());
        } else {
            self.take(&held, rows)?;
        }
        self.take(&chunk[more..], rows)
    }

    /// Takes the end of the file.
    ///
    /// # Errors
    /// If the file should not end here.
    pub fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), FileFault> {
        if let Some(held) = self.bom.take() {
            self.take(&held, rows)?;
        }
        match &mut self.format {
            Format::Lines(lines) => lines.finish(rows),
            Format::Csv(csv) => csv.finish(rows)?,
            Format::Array(array) => array.finish()?,
        }
        Ok(())
    }

    /// The names of the columns, once they are known.
    pub fn columns(&self) -> &[String] {
        match &self.format {
            Format::Csv(csv) => csv.columns(),
            _ => &[],
        }
    }

    fn take(&mut self, chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), FileFault> {
        match &mut self.format {
            Format::Lines(lines) => lines.feed(chunk, rows),
            Format::Csv(csv) => csv.feed(chunk, rows)?,
            Format::Array(array) => array.feed(chunk, rows)?,
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        let mark = match &mut self.format {
            Format::Lines(lines) => &mut lines.mark,
            Format::Csv(csv) => &mut csv.mark,
            Format::Array(array) => &mut array.mark,
        };
        mark.offset += bytes as u64;
    }
}

/// The first bytes of something that may be endless, and how long it is.
#[derive(Debug, Default)]
struct Bounded {
    kept: Vec<u8>,
    length: u64,
    breaks: u64,
    last: u8,
}

impl Bounded {
    /// Adds bytes; what lies beyond the limit is only counted.
    fn extend(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
        self.breaks += breaks(bytes);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Its bytes, or why they are too many.
    fn take(&mut self, limit: usize) -> Content {
        let Self { kept, length, breaks: _, last: _ } = std::mem::take(self);
        if length > limit as u64 {
            return Content::Refused(kept.into(), too_long(length, limit));
        }
        Content::Data(kept.into())
    }
}

fn too_long(length: u64, limit: usize) -> String {
    format!("it is {length} bytes long; maxRowBytes is {limit}")
}

fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
