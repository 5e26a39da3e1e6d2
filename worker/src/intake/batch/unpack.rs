//! Packed bytes in, unpacked ones out, in steps so small that a bomb can't fill the memory. Pure.

use std::{borrow::Cow, io::Write};

use flate2::write::MultiGzDecoder;
use ropeway_crds::source::Compression;

use super::rows::FileFault;

/// So many packed bytes are unpacked at once. Deflate makes at most about a thousand of one.
pub const STEP: usize = 8 << 10;

/// Unpacks.
#[derive(Debug)]
pub enum Unpack {
    /// Nothing is packed.
    Plain,
    /// With gzip.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpack {
    /// For files that are packed like this.
    pub fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
        }
    }

    /// Unpacks at most [`STEP`] bytes.
    ///
    /// # Errors
    /// If they are not packed like this.
    pub fn feed<'a>(&mut self, packed: &'a [u8]) -> Result<Cow<'a, [u8]>, FileFault> {
        match self {
            Self::Plain => Ok(Cow::Borrowed(packed)),
            Self::Gzip(decoder) => {
                decoder.write_all(packed).map_err(|error| FileFault::Gzip(error.to_string()))?;
                Ok(Cow::Owned(std::mem::take(decoder.get_mut())))
            }
        }
    }

    /// Takes the end.
    ///
    /// # Errors
    /// If it comes too early.
    pub fn finish(&mut self) -> Result<Vec<u8>, FileFault> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| FileFault::Gzip(error.to_string()))?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression as Level, write::GzEncoder};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], step: usize) -> Result<Vec<u8>, FileFault> {
        let mut unpack = Unpack::new(Compression::Gzip);
        let mut all = Vec::new();
        for chunk in packed.chunks(step) {
            all.extend_from_slice(&unpack.feed(chunk)?);
        }
        all.extend(unpack.finish()?);
        Ok(all)
    }

    #[test]
    fn several_members_in_any_cut_are_one_file_and_half_a_file_is_a_fault() {
        let file = [packed(b"one\n"), packed(b"two\n")].concat();
        for step in [1, 3, STEP] {
            assert_eq!(unpacked(&file, step).unwrap(), b"one\ntwo\n", "in steps of {step}");
            assert!(unpacked(&file[..file.len() - 5], step).is_err(), "in steps of {step}");
        }
        assert!(unpacked(b"id,name\n", STEP).is_err());
    }

    #[test]
    fn one_step_of_a_bomb_stays_below_ten_mebibytes() {
        let bomb = packed(&vec![0; 64 << 20]);
        let mut unpack = Unpack::new(Compression::Gzip);
        let most = bomb.chunks(STEP).map(|chunk| unpack.feed(chunk).unwrap().len()).max();
        assert!(most.unwrap_or_default() < 10 << 20, "{most:?}");
    }
}
