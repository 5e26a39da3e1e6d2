//! Columns apart by a delimiter, as RFC 4180 and what people make of it: any line break, quoted values with line breaks in
//! them, rows of another length than the header's (which are refused).

use std::collections::BTreeSet;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use ropeway_crds::source;

use super::{Bounded, Content, FileFault, Mark, Row, breaks, too_long};

/// The most columns that are told apart.
const MOST_COLUMNS: usize = 2048;

#[derive(Debug)]
pub(super) struct Csv {
    core: Reader,
    quote: char,
    limit: usize,
    /// Columns that must be there.
    wanted: Vec<String>,
    columns: Option<Vec<String>>,
    /// Each column's name as JSON, with what stands around it.
    keys: Vec<Vec<u8>>,
    /// Where the row begins that is being read.
    pub(super) mark: Mark,
    raw: Bounded,
    values: Vec<u8>,
    values_end: usize,
    ends: Vec<usize>,
    ends_end: usize,
    /// The row has more values or longer ones than are kept.
    overflows: bool,
}

impl Csv {
    pub(super) fn new(
        csv: &source::Csv,
        wanted: Vec<String>,
        columns: Option<Vec<String>>,
        limit: usize,
        mark: Mark,
    ) -> Result<Self, FileFault> {
        let delimiter = single(csv.delimiter.as_deref().unwrap_or(","))
            .ok_or(FileFault::Format("csv.delimiter must be one ASCII character or \\t"))?;
        let quote = single(csv.quote.as_deref().unwrap_or("\""))
            .ok_or(FileFault::Format("csv.quote must be one ASCII character"))?;
        let mut core = ReaderBuilder::new().delimiter(delimiter).quote(quote).build();
        // It looks for a byte order mark in what it sees first; that is done before, and only at the beginning of a file.
        let _ = core.read_record(b"\n", &mut [0; 1], &mut [0; 1]);
        let mut reader = Self {
            core,
            quote: char::from(quote),
            limit,
            wanted,
            columns: None,
            keys: Vec::new(),
            mark,
            raw: Bounded::default(),
            values: vec![0; 1024],
            values_end: 0,
            ends: vec![0; 64],
            ends_end: 0,
            overflows: false,
        };
        if let Some(columns) = columns {
            reader.learn(columns).map_err(|_| FileFault::Format("csv.columns holds an empty name or one twice"))?;
        }
        Ok(reader)
    }

    pub(super) fn columns(&self) -> &[String] {
        self.columns.as_deref().unwrap_or_default()
    }

    pub(super) fn feed(&mut self, mut chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), FileFault> {
        while !chunk.is_empty() {
            if self.raw.length == 0 {
                let empty = chunk.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.mark.offset += empty as u64;
                self.mark.line += breaks(&chunk[..empty]);
                chunk = &chunk[empty..];
            }
            let (result, taken) = self.read(chunk);
            self.raw.extend(&chunk[..taken], self.limit + 1);
            chunk = &chunk[taken..];
            match result {
                ReadRecordResult::Record => self.end(rows)?,
                ReadRecordResult::OutputFull => self.grow_values(),
                ReadRecordResult::OutputEndsFull => self.grow_ends(),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), FileFault> {
        while self.raw.length > 0 {
            // A line break ends every row but one that is inside a quoted value.
            match self.read(b"\n").0 {
                ReadRecordResult::Record => self.end(rows)?,
                ReadRecordResult::OutputFull => self.grow_values(),
                ReadRecordResult::OutputEndsFull => self.grow_ends(),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {
                    return Err(FileFault::OpenQuote { line: self.mark.line + 1 });
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, chunk: &[u8]) -> (ReadRecordResult, usize) {
        let (values, ends) = (&mut self.values[self.values_end..], &mut self.ends[self.ends_end..]);
        let (result, taken, written, ended) = self.core.read_record(chunk, values, ends);
        self.values_end += written;
        self.ends_end += ended;
        (result, taken)
    }

    fn grow_values(&mut self) {
        if self.values.len() > self.limit {
            self.overflows = true;
            self.values_end = 0;
        } else {
            self.values.resize(self.values.len() * 2, 0);
        }
    }

    fn grow_ends(&mut self) {
        if self.ends.len() > MOST_COLUMNS {
            self.overflows = true;
            self.ends_end = 0;
        } else {
            self.ends.resize(self.ends.len() * 2, 0);
        }
    }

    fn end(&mut self, rows: &mut Vec<Row>) -> Result<(), FileFault> {
        let at = self.mark;
        let raw = std::mem::take(&mut self.raw);
        let (overflows, values, fields) = (self.overflows, self.values_end, self.ends_end);
        (self.overflows, self.values_end, self.ends_end) = (false, 0, 0);
        self.mark.offset += raw.length;
        self.mark.line += raw.breaks;
        if self.columns.is_none() {
            let fault = |why: String| FileFault::Header { line: at.line + 1, why };
            if overflows || raw.length > self.limit as u64 {
                return Err(fault(format!("it is {} bytes long or has too many columns", raw.length)));
            }
            let names = self.texts(values, fields).ok_or_else(|| fault("it is not UTF-8".into()))?;
            return self.learn(names.into_iter().map(str::to_owned).collect()).map_err(fault);
        }
        self.mark.row += 1;
        let content = self.content(raw, overflows, values, fields);
        rows.push(Row { at, end: self.mark, content });
        Ok(())
    }

    fn content(&self, raw: Bounded, overflows: bool, values: usize, fields: usize) -> Content {
        let Bounded { mut kept, length, breaks, last } = raw;
        // The line break at its end is not in it.
        let breaks = breaks - u64::from(last == b'\n');
        let why = if length > self.limit as u64 || overflows {
            let more = match breaks {
                0 => String::new(),
                _ => format!(" and takes {} lines; is a quote {} left open?", breaks + 1, self.quote),
            };
            Some(format!("{}{more}", too_long(length, self.limit)))
        } else if fields != self.keys.len() {
            let open = if breaks > 0 { "; it holds a line break in quotes" } else { "" };
            Some(format!("it has {fields} columns where the header has {}{open}", self.keys.len()))
        } else {
            None
        };
        let made = match why {
            Some(why) => Err(why),
            None => self.object(values, fields).ok_or_else(|| "it is not UTF-8".to_owned()),
        };
        match made {
            Ok(json) if json.len() <= self.limit => Content::Data(json.into()),
            Ok(json) => Content::Refused(kept.into(), format!("as JSON {}", too_long(json.len() as u64, self.limit))),
            Err(why) => {
                kept.truncate(self.limit);
                Content::Refused(kept.into(), why)
            }
        }
    }

    /// The row as a JSON object of strings; none where it is not UTF-8.
    fn object(&self, values: usize, fields: usize) -> Option<Vec<u8>> {
        let mut json = Vec::with_capacity(values * 2 + self.keys.iter().map(Vec::len).sum::<usize>());
        for (key, value) in self.keys.iter().zip(self.texts(values, fields)?) {
            json.extend_from_slice(key);
            serde_json::to_writer(&mut json, value).ok()?;
        }
        json.push(b'}');
        Some(json)
    }

    fn texts(&self, values: usize, fields: usize) -> Option<Vec<&str>> {
        // Each on its own: two halves of a character in two columns are no character.
        let mut begin = 0;
        let mut texts = Vec::with_capacity(fields);
        for end in &self.ends[..fields] {
            texts.push(std::str::from_utf8(self.values.get(begin..(*end).min(values))?).ok()?);
            begin = *end;
        }
        Some(texts)
    }

    fn learn(&mut self, columns: Vec<String>) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for (place, name) in columns.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("column {} has no name", place + 1));
            }
            if !seen.insert(name.as_str()) {
                return Err(format!("the name of column {} stands there twice", place + 1));
            }
        }
        if let Some(missing) = self.wanted.iter().find(|name| !seen.contains(name.as_str())) {
            return Err(format!("it lacks the column {missing:?} of csv.columns"));
        }
        let key = |(place, name): (usize, &String)| {
            let before = if place == 0 { '{' } else { ',' };
            format!("{before}{}:", serde_json::Value::from(name.as_str())).into_bytes()
        };
        self.keys = columns.iter().enumerate().map(key).collect();
        self.columns = Some(columns);
        Ok(())
    }
}

fn single(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"\\t" => Some(b'\t'),
        [byte] if byte.is_ascii_graphic() || *byte == b'\t' => Some(*byte),
        _ => None,
    }
}
