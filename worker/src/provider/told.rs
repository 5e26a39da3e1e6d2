//! What a vendor says about a failure, fit to be shown anywhere: its words without what they quote of the record. Pure.

/// Characters of a vendor's sentence that are kept.
const MOST: usize = 160;

/// A vendor's words with everything left out that could be a person's: what has an @, what is mostly digits, and what is
/// quoted unless it could be a field's name.
pub(super) fn told(words: &str) -> String {
    let mut kept = String::new();
    for word in words.split_whitespace() {
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(if is_plain(word) { word } else { "…" });
        if kept.chars().count() >= MOST {
            break;
        }
    }
    kept.chars().take(MOST).collect()
}

/// Whether a word can only be the vendor's own.
fn is_plain(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let quoted = word.contains(['"', '\'', '`', '“', '”', '{', '[', '<', '=']);
    let name = word.trim_matches(|mark: char| !mark.is_ascii_alphanumeric() && mark != '_' && mark != '$');
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'-'));
    !word.contains('@')
        && digits < 4
        && word.len() <= 64
        && (!quoted || (is_name && name.contains(['_', '$']) || is_lower(name)))
}

/// Whether a quoted word looks like a field's name and not like a person's.
fn is_lower(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_vendor_quotes_of_a_record_is_left_out() {
        for (words, expected) in [
            (
                "The value provided for the 'external_id' field is not a string.",
                "The value provided for the 'external_id' field is not a string.",
            ),
            ("Email address ada@example.com is invalid", "Email address … is invalid"),
            ("Contact already exists. Existing ID: 51403281", "Contact already exists. Existing ID: …"),
            ("invalid value \"Ada\" for {\"name\":\"Lovelace\"}", "invalid value … for …"),
            (
                "'properties.$insert_id' is invalid: must not be missing",
                "'properties.$insert_id' is invalid: must not be missing",
            ),
            ("", ""),
        ] {
            assert_eq!(told(words), expected);
        }
        assert_eq!(told(&"word ".repeat(1_000)).chars().count(), MOST);
    }
}
