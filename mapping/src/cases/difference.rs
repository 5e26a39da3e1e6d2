//! The first place where two JSON values differ, in words.

use serde_json::Value;

/// Longest piece of a value that is shown, in characters.
const MAX_SHOWN: usize = 120;

/// `None` where the values mean the same; otherwise path, expected and got in one line.
pub(super) fn first_difference(expected: &Value, got: &Value) -> Option<String> {
    let mut path = String::new();
    let (expected, got) = find(&mut path, Some(expected), Some(got))?;
    let place = if path.is_empty() { "." } else { &path };
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), short);
    Some(format!("at {place}: expected {}, got {}", shown(expected), shown(got)))
}

type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Leaves the place of the difference in `path`.
fn find<'a>(path: &mut String, expected: Option<&'a Value>, got: Option<&'a Value>) -> Option<Pair<'a>> {
    let mut below = |step: String, expected, got| {
        let length = path.len();
        path.push_str(&step);
        let found = find(path, expected, got);
        if found.is_none() {
            path.truncate(length);
        }
        found
    };
    match (expected, got) {
        (Some(Value::Object(wanted)), Some(Value::Object(found))) => {
            let added = found.keys().filter(|key| !wanted.contains_key(*key));
            wanted.keys().chain(added).find_map(|key| below(field(key), wanted.get(key), found.get(key)))
        }
        (Some(Value::Array(wanted)), Some(Value::Array(found))) => (0..wanted.len().max(found.len()))
            .find_map(|index| below(format!("[{index}]"), wanted.get(index), found.get(index))),
        (Some(wanted), Some(found)) if same(wanted, found) => None,
        different => Some(different),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.is_f64() != right.is_f64() && left.as_f64() == right.as_f64())
        }
        _ => left == right,
    }
}

/// As it would be written in an expression.
fn field(key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !key.is_empty() && !key.starts_with(|c: char| c.is_ascii_digit()) {
        format!(".{key}")
    } else {
        format!(".{key:?}")
    }
}

pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    let mut cut: String = text.chars().take(MAX_SHOWN).collect();
    cut.push('…');
    cut
}
