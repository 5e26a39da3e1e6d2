//! Rows that are stored together: bounded in number and bytes, so that little is read again after a crash.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::rows::{Content, Mark, Row};
use crate::{
    cloud_event::encode_header,
    intake::store::{Incoming, Known, Store},
};

/// The most rows in one.
const MOST_ROWS: usize = 500;

/// The most bytes in one. It is far below the smallest room that is left when rows begin to be stored one by one.
const MOST_BYTES: usize = 256 << 10;

/// Rows that are stored together.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) events: Vec<Incoming>,
    pub(super) refused: Vec<Refusal>,
    pub(super) end: Option<Mark>,
    /// What stands for the bytes up to its end, where the file's version is not known.
    pub(super) digest: Option<String>,
    bytes: usize,
}

/// A row that can be no event.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) line: u64,
    pub(super) place: String,
    pub(super) bytes: Bytes,
    pub(super) why: String,
}

/// What is known of every row of a file.
#[derive(Debug)]
pub(super) struct OfFile<'a> {
    /// The file's name.
    pub(super) object: &'a str,
    /// What tells this reading of it from others.
    pub(super) id: &'a str,
}

impl Portion {
    /// Adds a row as what becomes of it.
    pub(super) fn push(&mut self, row: Row, file: &OfFile<'_>, store: &Store) {
        let Row { at, end, content } = row;
        self.end = Some(end);
        let number = at.row + 1;
        let made = match content {
            Content::Refused(bytes, why) => Err((bytes, why)),
            Content::Data(bytes) => {
                let (subject, row) = (encode_header(file.object), number.to_string());
                let known = Known {
                    other_id: Some(format!("{}:{number}", file.id)),
                    attributes: vec![("ce-subject", &subject), ("ce-row", &row)],
                    ..Known::default()
                };
                let event = store.incoming(bytes.clone(), None, known);
                event.map(|event| (event, bytes.len())).ok_or_else(|| (bytes.clone(), why_not(&bytes)))
            }
        };
        match made {
            Ok((event, length)) => {
                self.bytes += length;
                self.events.push(event);
            }
            Err((bytes, why)) => {
                self.bytes += bytes.len();
                // What is cut in the end is the name of the file, and not the place in it.
                let place = format!("line {}, row {number}, byte {} of {}", at.line + 1, at.offset, file.object);
                self.refused.push(Refusal { line: at.line + 1, place, bytes, why });
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() + self.refused.len() >= MOST_ROWS || self.bytes >= MOST_BYTES
    }
}

/// Why something is no event, without a word of what it holds.
fn why_not(bytes: &Bytes) -> String {
    if std::str::from_utf8(bytes).is_err() {
        return "it is not UTF-8".into();
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(error) => format!("it is not JSON: {error}"),
        Ok(_) => "it is no JSON object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_is_wrong_and_nothing_of_what_is_there() {
        for (bytes, wanted) in [
            (&b"[1]"[..], "it is no JSON object"),
            (b"\"s3cret", "it is not JSON: EOF while parsing a string at line 1 column 7"),
            (b"{\"s3cret\": s3cret}", "it is not JSON: expected value at line 1 column 12"),
            (b"{\"a\": \"\xff\"}", "it is not UTF-8"),
        ] {
            assert_eq!(why_not(&Bytes::from_static(bytes)), wanted);
        }
    }
}
