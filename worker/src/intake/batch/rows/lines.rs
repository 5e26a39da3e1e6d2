//! One JSON object a line.

use super::{Bounded, Content, Mark, Row};

#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// Where the line begins that is being read.
    pub(super) mark: Mark,
    line: Bounded,
}

impl Lines {
    pub(super) fn new(limit: usize, mark: Mark) -> Self {
        Self { limit, mark, line: Bounded::default() }
    }

    pub(super) fn feed(&mut self, mut chunk: &[u8], rows: &mut Vec<Row>) {
        while let Some(length) = memchr::memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..length], &chunk[length + 1..]);
            // One byte more than a row may have: the carriage return before the line break is no part of it.
            self.line.extend(line, self.limit + 1);
            self.end(1, rows);
            chunk = rest;
        }
        self.line.extend(chunk, self.limit + 1);
    }

    pub(super) fn finish(&mut self, rows: &mut Vec<Row>) {
        self.end(0, rows);
    }

    /// Ends a line that has a line break of this many bytes.
    fn end(&mut self, line_break: u64, rows: &mut Vec<Row>) {
        let at = self.mark;
        self.mark.offset += self.line.length + line_break;
        self.mark.line += line_break;
        if self.line.length == self.line.kept.len() as u64 && self.line.kept.last() == Some(&b'\r') {
            self.line.kept.pop();
            self.line.length -= 1;
        }
        let is_blank = self.line.length <= self.limit as u64 && self.line.kept.iter().all(u8::is_ascii_whitespace);
        if is_blank {
            self.line = Bounded::default();
            return;
        }
        self.mark.row += 1;
        let mut content = self.line.take(self.limit);
        if let Content::Refused(bytes, _) = &mut content {
            bytes.truncate(self.limit);
        }
        rows.push(Row { at, end: self.mark, content });
    }
}
