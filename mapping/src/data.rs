//! JSON at the edge of the mapping engine: bytes become [`Data`] and [`Data`] becomes bytes.
//!
//! In: the body of an event, of a test case or of a vendor's answer. Out: the engine's own value, so
//! that an event is parsed once and then shared, unconverted, by every expression that reads it.
//!
//! Numbers keep their meaning: an integer outside 64 bits becomes a string of the same digits (an id
//! must not lose its last digits to a float), and a float comes out with the digits it came in with.

use std::borrow::Cow;

use bytes::Bytes;
use vrl::value::{KeyString, ObjectMap, Value};

mod shared;

/// Deepest nesting of arrays and objects that goes in or comes out: what `serde_json` reads back.
pub const MAX_DEPTH: usize = 127;

/// A JSON value in the engine's own form.
///
/// Cloning copies the structure and shares long strings. Equality is by JSON meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Data(pub(crate) Value);

/// The bytes are not JSON.
#[derive(Debug, thiserror::Error)]
#[error("not valid JSON at line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in bytes, from 1; 0 for the end of a line.
    pub column: usize,
    /// What is wrong, without any of the payload.
    pub kind: &'static str,
}

impl ParseError {
    fn of(error: &serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
            kind: match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                _ => "syntax error, number out of range, or nested too deep",
            },
        }
    }
}

impl Data {
    /// Parses the body of an event.
    ///
    /// Keys are sorted and the last of several equal keys wins.
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one JSON value, numbers beyond a float's range, lone surrogates,
    /// and nesting deeper than [`MAX_DEPTH`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let bytes = quote_large_integers(bytes);
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ParseError::of(&error))
    }

    /// Parses the body of an event as [`Data::parse`] does, without a copy of its texts: they keep `bytes` alive.
    ///
    /// # Errors
    ///
    /// As [`Data::parse`].
    pub fn parse_shared(bytes: &Bytes) -> Result<Self, ParseError> {
        let quoted = match quote_large_integers(bytes) {
            Cow::Borrowed(_) => bytes.clone(),
            Cow::Owned(quoted) => quoted.into(),
        };
        shared::parse(&quoted).map(Self).map_err(|error| ParseError::of(&error))
    }

    /// The JSON text, compact, with sorted keys.
    #[must_use]
    pub fn to_json_bytes(&self) -> Vec<u8> {
        // Writing into memory can't fail and every object key is a string, so there is no error to
        // hand on; `expect` states that.
        let mut text = Vec::with_capacity(512);
        serde_json::to_writer(&mut text, &self.0).expect("a mapping value is always writable as JSON");
        text
    }

    /// The same value for code that works with `serde_json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).expect("a mapping value is always writable as JSON")
    }

    /// The text, where the value is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        self.0.to_str_lossy()
    }

    /// The members in key order, where the value is an array. Used to split a batch into events.
    ///
    /// # Errors
    ///
    /// Gives the value back where it is not an array.
    pub fn into_array(self) -> Result<Vec<Self>, Self> {
        match self.0 {
            Value::Array(items) => Ok(items.into_iter().map(Self).collect()),
            other => Err(Self(other)),
        }
    }

    /// Whether the value is a JSON object, which is what expressions run on.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.is_object()
    }

    /// The `.` of an `outcomes` expression: `{status, headers, body}`.
    ///
    /// Header names become lower case and repeated ones are joined by `, `. The body is parsed where
    /// it is JSON and a string otherwise.
    #[must_use]
    pub fn from_response<'a>(status: u16, headers: impl IntoIterator<Item = (&'a str, &'a str)>, body: &[u8]) -> Self {
        let mut lines: std::collections::BTreeMap<String, String> = Default::default();
        for (name, value) in headers {
            lines
                .entry(name.to_ascii_lowercase())
                .and_modify(|line| {
                    line.push_str(", ");
                    line.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
        let headers: ObjectMap =
            lines.into_iter().map(|(name, line)| (KeyString::from(name), Value::from(line))).collect();
        let body =
            Self::parse(body).map_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()), |data| data.0);
        Self(Value::Object(ObjectMap::from([
            ("status".into(), Value::Integer(status.into())),
            ("headers".into(), Value::Object(headers)),
            ("body".into(), body),
        ])))
    }
}

impl From<serde_json::Value> for Data {
    /// Integers above `i64` become strings, as in [`Data::parse`].
    fn from(value: serde_json::Value) -> Self {
        Self(value.into())
    }
}

/// Puts quotes around every integer that doesn't fit an `i64`, and borrows where there is none.
///
/// `serde_json` would hand those above 64 bits over as floats, indistinguishable from real ones.
fn quote_large_integers(json: &[u8]) -> Cow<'_, [u8]> {
    // i64::MAX has 19 digits. Nearly every body ends here.
    if !has_digit_run(json, 19) {
        return Cow::Borrowed(json);
    }
    let mut out = Vec::with_capacity(json.len() + 16);
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let end = match byte {
            b'"' => end_of_string(json, at),
            b'-' | b'0'..=b'9' => end_of_number(json, at),
            _ => at + 1,
        };
        let token = &json[at..end];
        if is_large_integer(token) && !is_key(json, end) {
            out.push(b'"');
            out.extend_from_slice(token);
            out.push(b'"');
        } else {
            out.extend_from_slice(token);
        }
        at = end;
    }
    Cow::Owned(out)
}

fn has_digit_run(json: &[u8], length: usize) -> bool {
    let mut at = length - 1;
    // Looks at every 19th byte only; a run that long can't hide between two of them.
    while at < json.len() {
        if json[at].is_ascii_digit() {
            let before = json[..at].iter().rev().take_while(|b| b.is_ascii_digit());
            let after = json[at..].iter().take_while(|b| b.is_ascii_digit());
            let (before, after) = (before.take(length).count(), after.take(length).count());
            if before + after >= length {
                return true;
            }
        }
        at += length;
    }
    false
}

fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

fn end_of_number(json: &[u8], start: usize) -> usize {
    let part = |b: &&u8| matches!(**b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    start + json[start..].iter().take_while(part).count()
}

fn is_large_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    digits.len() >= 19
        && digits[0] != b'0'
        && digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(token).is_ok_and(|text| text.parse::<i64>().is_err())
}

/// A number in the place of a key is a fault, which quotes would hide.
fn is_key(json: &[u8], end: usize) -> bool {
    let mut after = json[end..].iter().skip_while(|b| b.is_ascii_whitespace());
    after.next() == Some(&b':')
}

#[cfg(test)]
mod tests;
