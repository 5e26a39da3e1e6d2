//! JSON pointers (RFC 6901), as fields of the specs give them.

/// Whether a text is a JSON pointer: it is empty or begins with a slash, and `~` stands in it only as `~0` or `~1`.
pub fn is_pointer(text: &str) -> bool {
    let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.is_empty() || (text.starts_with('/') && escaped)
}

/// The steps of a pointer, from the outside in.
pub fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_from_other_texts_and_taken_apart() {
        for text in ["", "/", "/a/b", "/a~1b/c~0d/0"] {
            assert!(is_pointer(text), "{text}");
        }
        for text in ["a", "a/b", "/a~", "/a~2"] {
            assert!(!is_pointer(text), "{text}");
        }
        assert_eq!(steps("").count(), 0);
        assert_eq!(steps("/a~1b/c~0d/~01/").collect::<Vec<_>>(), ["a/b", "c~d", "~1", ""]);
    }
}
