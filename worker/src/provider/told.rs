//! What a vendor says about a failure, fit to be shown anywhere: its words without what they quote of the record. Pure.

/// Characters of a vendor's sentence that are kept.
const MOST: usize = 160;

/// Names that a vendor may quote: fields of its own requests.
const FIELDS: [&str; 26] = [
    "$insert_id",
    "alias_label",
    "alias_name",
    "app_id",
    "attributes",
    "braze_id",
    "country",
    "currency",
    "distinct_id",
    "email",
    "event",
    "events",
    "external_id",
    "id",
    "inputs",
    "name",
    "phone",
    "price",
    "product_id",
    "properties",
    "purchases",
    "quantity",
    "records",
    "time",
    "user_alias",
    "user_id",
];

/// A vendor's words without what could be a person's: words with a digit, an @ or a capital within the sentence, and
/// whatever is quoted unless it is the name of a field.
pub(super) fn told(words: &str) -> String {
    let mut kept = String::new();
    let mut in_quotes = false;
    for (place, word) in words.split_whitespace().enumerate() {
        let quotes = word.chars().filter(|mark| is_quote(*mark)).count();
        let quoted = in_quotes || quotes > 0;
        // A quotation of several words ends where its second mark is.
        in_quotes ^= quotes % 2 == 1;
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(if is_plain(word, quoted, place == 0) { word } else { "…" });
        if kept.chars().count() >= MOST {
            break;
        }
    }
    kept.chars().take(MOST).collect()
}

fn is_quote(mark: char) -> bool {
    matches!(mark, '"' | '\'' | '`' | '“' | '”' | '‘' | '’')
}

/// Whether a word can only be the vendor's own.
fn is_plain(word: &str, quoted: bool, first: bool) -> bool {
    let bare =
        word.trim_matches(|mark: char| is_quote(mark) || matches!(mark, '.' | ',' | ':' | ';' | '!' | '(' | ')'));
    let steps = || {
        bare.split('.')
            .map(|step| step.trim_end_matches(|mark: char| mark == ']' || mark == '[' || mark.is_ascii_digit()))
    };
    if steps().all(|step| FIELDS.contains(&step)) {
        return true;
    }
    let letters = bare.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'/'));
    let code = bare.len() > 1 && bare.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let small = bare.bytes().all(|byte| !byte.is_ascii_uppercase()) || first || code;
    !quoted && letters && small && word.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_persons_is_left_out() {
        for (words, expected) in [
            (
                "The value provided for the 'external_id' field is not valid.",
                "The value provided for the 'external_id' field is not valid.",
            ),
            ("Email address ada@example.com is invalid", "Email address … is invalid"),
            ("Contact already exists. Existing ID: 51403281", "Contact already exists. … ID: …"),
            ("invalid value \"Ada\" for {\"name\":\"Lovelace\"}", "invalid value … for …"),
            ("Phone +49 170 123 456 is invalid", "Phone … … … … is invalid"),
            ("external_id 'ada_lovelace' is blacklisted", "external_id … is blacklisted"),
            ("the value 'ada m lovelace' is odd", "the value … … … is odd"),
            ("not a valid option: Ada Lovelace", "not a valid option: … …"),
            ("events[0].name NAME_INVALID", "events[0].name NAME_INVALID"),
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
