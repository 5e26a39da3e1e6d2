//! A batch source's file: however it is cut into pieces, it holds the same rows, and reading on behind any of them gives
//! the rest.

use std::sync::LazyLock;

use ropeway_crds::source::{BatchFormat, Compression};
use ropeway_worker::intake::batch::{
    rows::{FileFault, Mark, Row, Rows},
    unpack::{STEP, Unpack},
};
use serde_json::json;

use crate::message::choose;

/// The longest row.
const LIMIT: usize = 64;

/// A bomb is a bomb: what is unpacked beyond this is not looked at.
const MOST_UNPACKED: usize = 1 << 20;

/// Chosen by the first byte, from `a` on: each format plain, then each format packed.
static FORMATS: LazyLock<Vec<(BatchFormat, Compression)>> = LazyLock::new(|| {
    let formats = [
        json!({ "ndjson": {} }),
        json!({ "csv": {} }),
        json!({ "csv": { "header": "Absent", "columns": ["x", "y"], "delimiter": ";", "quote": "'" } }),
        json!({ "csv": { "columns": ["x"], "delimiter": "\\t" } }),
        json!({ "jsonArray": {} }),
        json!({ "jsonArray": { "pointer": "/a/b~1c" } }),
    ];
    let read = |format| serde_json::from_value::<BatchFormat>(format).expect("it is a format");
    let formats: Vec<BatchFormat> = formats.into_iter().map(read).collect();
    let with = |compression: Compression| formats.iter().map(move |format| (format.clone(), compression));
    with(Compression::None).chain(with(Compression::Gzip)).collect()
});

/// Where a file is cut.
struct Cuts(u32);

impl Cuts {
    /// The pieces of some bytes, of lengths that only the first number decides.
    fn of<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let most = if self.0 & (1 << 30) == 0 { 3 } else { 40 };
            let (piece, after) = rest.split_at((1 + (self.0 >> 16) as usize % most).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// Rows, how it ended, and the columns.
type Outcome = (Vec<Row>, Result<(), FileFault>, Vec<String>);

fn rows<'a>(
    format: &BatchFormat,
    from: Mark,
    columns: &[String],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut reader = Rows::new(format, LIMIT, from, columns).expect("the format can be used");
    let mut rows = Vec::new();
    let fed = pieces.into_iter().try_for_each(|piece| reader.feed(piece, &mut rows));
    let ended = fed.and_then(|()| reader.finish(&mut rows));
    let columns = reader.columns().to_vec();
    (rows, ended, columns)
}

/// The unpacked bytes; none where there are too many.
fn unpack<'a>(
    compression: Compression,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Vec<u8>>, FileFault> {
    let mut unpack = Unpack::new(compression);
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(&unpack.feed(piece)?);
        if all.len() > MOST_UNPACKED {
            return Ok(None);
        }
    }
    all.extend(unpack.finish()?);
    Ok(Some(all))
}

/// Two letters, the second of which says where to cut, and a file.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes, FORMATS.len()) else { return };
    let Some((cut, file)) = rest.split_first() else { return };
    let (format, compression) = &FORMATS[choice];
    let mut cuts = Cuts(u32::from(*cut));
    let whole = unpack(*compression, file.chunks(STEP));
    let in_pieces = unpack(*compression, cuts.of(file));
    assert_eq!(whole.is_ok(), in_pieces.is_ok(), "unpacking depends on the cut: {whole:?}, {in_pieces:?}");
    let (Ok(Some(file)), Ok(Some(again))) = (whole, in_pieces) else { return };
    assert_eq!(file, again, "unpacking depends on the cut");
    let wanted = rows(format, Mark::default(), &[], [file.as_slice()]);
    let (found, ended, columns) = rows(format, Mark::default(), &[], cuts.of(&file));
    assert_eq!((&found, &ended, &columns), (&wanted.0, &wanted.1, &wanted.2), "the rows depend on the cut");
    // Behind one of the rows; which one, the cut decides.
    let Some(place) = (!found.is_empty()).then(|| usize::from(*cut) % found.len()) else { return };
    let mark = found[place].end;
    let rest = usize::try_from(mark.offset).ok().and_then(|offset| file.get(offset..));
    let rest = rest.expect("a row ends within its file");
    let (later, ended_later, _) = rows(format, mark, &columns, cuts.of(rest));
    assert_eq!((&later[..], &ended_later), (&found[place + 1..], &ended), "reading on gives something else");
}
