//! The form that inputs with headers have: a letter that chooses the configuration, lines `name: value`, an empty line,
//! the body. Whatever is no header is left out, so that nearly all bytes mean something.

use http::{HeaderMap, HeaderName, HeaderValue};

/// An input taken apart.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Header lines in their order.
    pub(crate) lines: Vec<(&'a [u8], &'a [u8])>,
    /// What follows them.
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes an input apart.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = end.map_or((rest, &rest[rest.len()..]), |end| (&rest[..end], &rest[end + 1..]));
            rest = after;
            if line.is_empty() {
                break;
            }
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                lines.push((&line[..colon], line[colon + 1..].trim_ascii()));
            }
        }
        Self { lines, body: rest }
    }

    /// Its headers, as an HTTP server would let them through.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.lines {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// The choice that the first byte makes among so many, `a` for the first; and the rest.
pub(crate) fn choose(bytes: &[u8], among: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((usize::from(first.wrapping_sub(b'a')) % among, rest))
}
