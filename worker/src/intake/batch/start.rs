//! Whether a file is read, from where, or not at all. Pure.

use ropeway_crds::{
    batch_run::Reading,
    source::{Compression, OnUnchanged},
};

use super::from::{Ask, Unchanged};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Not at all: it was read whole and has not changed.
    Unchanged,
    /// Where an earlier run ended.
    Resume,
    /// At its first row, for this reason.
    Anew(&'static str),
}

/// Where reading of an object begins that has this version now.
pub fn start(
    earlier: Option<&Reading>,
    (object, version, shape): (&str, Option<&str>, &str),
    on_unchanged: OnUnchanged,
) -> Start {
    let Some(earlier) = earlier.filter(|earlier| earlier.object == object) else { return Start::Anew("it is new") };
    let is_same = version.is_some() && earlier.version.as_deref() == version;
    if earlier.whole {
        return match (is_same && earlier.shape == shape, on_unchanged) {
            (true, OnUnchanged::Skip) => Start::Unchanged,
            (true, OnUnchanged::Read) => Start::Anew("unchanged files are read again"),
            (false, _) => Start::Anew("it was read whole, in another version"),
        };
    }
    if earlier.shape != shape {
        return Start::Anew("the format was changed since an earlier run ended in the middle");
    }
    // Without a version its first bytes are compared with those that were read.
    let may_be_same = version.is_none() && earlier.version.is_none() && earlier.digest.is_some();
    match is_same || may_be_same {
        _ if earlier.offset == 0 => Start::Anew("nothing of it was read yet"),
        true => Start::Resume,
        false => Start::Anew("it changed since an earlier run ended in the middle"),
    }
}

/// What is asked of an object of which this is known.
pub fn ask<'a>(
    earlier: Option<&'a Reading>,
    object: &str,
    shape: &str,
    on_unchanged: OnUnchanged,
    compression: Compression,
) -> Ask<'a> {
    let anything = Ask { offset: 0, version: None, unless_unchanged: Unchanged::Wanted };
    let Some(earlier) = earlier.filter(|earlier| earlier.object == object && earlier.shape == shape) else {
        return anything;
    };
    let version = earlier.version.as_deref();
    match (earlier.whole, on_unchanged, compression) {
        (true, OnUnchanged::Skip, _) => Ask { version, unless_unchanged: Unchanged::Unwanted, ..anything },
        (true, OnUnchanged::Read, _) => anything,
        (false, _, Compression::None) => Ask { version, offset: earlier.offset, ..anything },
        // What is packed can be unpacked from its beginning only.
        (false, _, Compression::Gzip) => anything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_on_only_where_it_is_the_same_file_in_the_same_format() {
        let reading =
            Reading { object: "a".into(), version: Some("1".into()), shape: "s".into(), ..Reading::default() };
        let middle = Reading { offset: 10, ..reading.clone() };
        let whole = Reading { whole: true, ..middle.clone() };
        let unversioned = Reading { version: None, digest: Some("d".into()), ..middle.clone() };
        let anew = |start| matches!(start, Start::Anew(_));
        for (earlier, now, wanted) in [
            (&middle, ("a", Some("1"), "s"), Some(Start::Resume)),
            (&middle, ("a", Some("2"), "s"), None),
            (&middle, ("a", Some("1"), "t"), None),
            (&middle, ("b", Some("1"), "s"), None),
            (&middle, ("a", None, "s"), None),
            (&unversioned, ("a", None, "s"), Some(Start::Resume)),
            (&unversioned, ("a", Some("1"), "s"), None),
            (&reading, ("a", Some("1"), "s"), None),
            (&whole, ("a", Some("1"), "s"), Some(Start::Unchanged)),
            (&whole, ("a", Some("2"), "s"), None),
            (&whole, ("a", None, "s"), None),
        ] {
            let found = start(Some(earlier), now, OnUnchanged::Skip);
            assert!(wanted.map_or(anew(found), |wanted| wanted == found), "{earlier:?} {now:?}: {found:?}");
        }
        assert!(anew(start(None, ("a", Some("1"), "s"), OnUnchanged::Skip)));
        assert!(anew(start(Some(&whole), ("a", Some("1"), "s"), OnUnchanged::Read)));
    }

    #[test]
    fn only_bytes_that_are_of_use_are_asked_for() {
        let middle = Reading {
            object: "a".into(),
            version: Some("1".into()),
            shape: "s".into(),
            offset: 10,
            ..Reading::default()
        };
        let whole = Reading { whole: true, ..middle.clone() };
        let asked = |earlier, compression| ask(Some(earlier), "a", "s", OnUnchanged::Skip, compression);
        assert_eq!(asked(&middle, Compression::None).offset, 10);
        assert_eq!(asked(&middle, Compression::Gzip).offset, 0);
        assert_eq!(asked(&whole, Compression::None).unless_unchanged, Unchanged::Unwanted);
        assert_eq!(ask(Some(&middle), "b", "s", OnUnchanged::Skip, Compression::None).offset, 0);
    }
}
