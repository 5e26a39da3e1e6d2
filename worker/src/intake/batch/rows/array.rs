//! The elements of a JSON array, each as it stands there. What is inside an element is judged by whoever parses it; here
//! only its end is looked for.

use ropeway_crds::pointer::steps;

use super::{Bounded, FileFault, Mark, Row, breaks};

/// A name in the document that is longer can't be part of a pointer.
const LONGEST_NAME: usize = 2048;

#[derive(Debug)]
pub(super) struct Array {
    pointer: String,
    /// The names on the way to the array.
    way: Vec<String>,
    limit: usize,
    /// Where the next byte stands; its row is the one that is being read.
    pub(super) mark: Mark,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The value at this step of the way is expected.
    Value(usize),
    /// In the object whose member at this step is wanted; a name or the end is expected.
    Name(usize),
    /// In a name there.
    InName(usize, Vec<u8>, Escaped),
    /// After a name; whether it is the wanted one.
    Colon(usize, Found),
    /// In the value of another name.
    Skip(usize, Nesting),
    /// After the opening bracket.
    First,
    /// After a comma.
    Next,
    /// After an element.
    After,
    /// In an element that began there.
    Element(Mark, Bounded, Nesting),
    /// After the array.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaped {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Wanted,
    Other,
}

/// How deep in a value we are.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// It is neither string, object nor array.
    is_plain: bool,
}

/// Where a value ends.
enum End {
    /// Not in these bytes.
    Open,
    /// After this many of them.
    At(usize),
}

impl Nesting {
    /// Takes bytes of a value, from its first one on.
    fn take(&mut self, bytes: &[u8]) -> End {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) else { return End::Open };
                at += found + 1;
                if bytes[at - 1] == b'\\' {
                    self.escaped = true;
                } else {
                    self.in_string = false;
                    if self.depth == 0 {
                        return End::At(at);
                    }
                }
                continue;
            }
            let byte = bytes[at];
            match byte {
                b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if self.is_plain => return End::At(at),
                _ if self.is_plain => {}
                // Also what stands before a value.
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return End::At(at + 1);
                    }
                }
                _ if self.depth == 0 => self.is_plain = true,
                _ => {}
            }
            at += 1;
        }
        End::Open
    }
}

impl Array {
    pub(super) fn new(pointer: &str, limit: usize, mark: Mark) -> Self {
        let way = steps(pointer).collect();
        // Whoever goes on does so behind an element.
        let state = if mark.row > 0 { State::After } else { State::Value(0) };
        Self { pointer: pointer.to_owned(), way, limit, mark, state }
    }

    pub(super) fn feed(&mut self, mut chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), FileFault> {
        while !chunk.is_empty() {
            let taken = match &mut self.state {
                State::Element(at, bytes, nesting) => {
                    let end = nesting.take(chunk);
                    let length = match end {
                        End::Open => chunk.len(),
                        End::At(length) => length,
                    };
                    bytes.extend(&chunk[..length], self.limit);
                    if let End::At(_) = end {
                        let (at, content) = (*at, bytes.take(self.limit));
                        self.pass(&chunk[..length]);
                        self.mark.row += 1;
                        rows.push(Row { at, end: self.mark, content });
                        self.state = State::After;
                        chunk = &chunk[length..];
                        continue;
                    }
                    length
                }
                State::Skip(step, nesting) => match nesting.take(chunk) {
                    End::Open => chunk.len(),
                    End::At(length) => {
                        self.state = State::Name(*step);
                        length
                    }
                },
                State::InName(..) => self.name(chunk[0])?,
                _ => self.between(chunk[0])?,
            };
            self.pass(&chunk[..taken]);
            chunk = &chunk[taken..];
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), FileFault> {
        match self.state {
            State::Done => Ok(()),
            State::First | State::Next | State::After | State::Element(..) => {
                Err(self.broken("the file ends before the array does"))
            }
            _ => Err(self.missing("the file ends")),
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.mark.offset += bytes.len() as u64;
        self.mark.line += breaks(bytes);
    }

    fn broken(&self, why: &'static str) -> FileFault {
        FileFault::BrokenArray { line: self.mark.line + 1, why }
    }

    fn missing(&self, why: &'static str) -> FileFault {
        let place = if self.pointer.is_empty() { "the beginning".to_owned() } else { self.pointer.clone() };
        FileFault::NoArray { place, why, line: self.mark.line + 1 }
    }

    /// Takes one byte outside of values and names.
    fn between(&mut self, byte: u8) -> Result<usize, FileFault> {
        if byte.is_ascii_whitespace() {
            return Ok(1);
        }
        self.state = match (&self.state, byte) {
            (State::Value(step), b'[') if *step == self.way.len() => State::First,
            (State::Value(step), b'{') if *step < self.way.len() => State::Name(*step),
            (State::Value(_), _) => return Err(self.missing("something else stands")),
            (State::Name(step), b'"') => State::InName(*step, Vec::new(), Escaped::No),
            // Commas between members: who writes too many of them is not corrected here.
            (State::Name(step), b',') => State::Name(*step),
            (State::Name(_), _) => return Err(self.missing("the name is not found")),
            (State::Colon(step, Found::Wanted), b':') => State::Value(*step + 1),
            (State::Colon(step, Found::Other), b':') => State::Skip(*step, Nesting::default()),
            (State::Colon(..), _) => return Err(self.missing("a colon is missing")),
            (State::First | State::After, b']') => State::Done,
            (State::After, b',') => State::Next,
            (State::After, _) => return Err(self.broken("a comma or ] is missing after an element")),
            (State::Next, b']' | b',') | (State::First, b',') => return Err(self.broken("an element is missing")),
            (State::First | State::Next, _) => {
                self.state = State::Element(self.mark, Bounded::default(), Nesting::default());
                // The element takes its first byte itself.
                return Ok(0);
            }
            // Beyond the array of a pointer lies the rest of the document.
            (State::Done, _) if !self.way.is_empty() => State::Done,
            (State::Done, _) => return Err(self.broken("there is more after the array")),
            (State::InName(..) | State::Skip(..) | State::Element(..), _) => return Ok(0),
        };
        Ok(1)
    }

    /// Takes one byte of a name.
    fn name(&mut self, byte: u8) -> Result<usize, FileFault> {
        let State::InName(step, name, escaped) = &mut self.state else { return Ok(0) };
        match (byte, *escaped) {
            (b'"', Escaped::No) => {
                let quoted = [b"\"", name.as_slice(), b"\""].concat();
                let is_it = serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name == self.way[*step]);
                self.state = State::Colon(*step, if is_it { Found::Wanted } else { Found::Other });
                return Ok(1);
            }
            (b'\\', Escaped::No) => *escaped = Escaped::Yes,
            _ => *escaped = Escaped::No,
        }
        if name.len() < LONGEST_NAME {
            name.push(byte);
        }
        Ok(1)
    }
}
