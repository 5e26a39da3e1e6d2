//! The steps from a value to its children that a schema takes, and whether two of them may take the same one.

use std::rc::Rc;

use regex::Regex;
use serde_json::{Map, Value};

/// Which children of a value a schema within it judges.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// The member of an object with this name.
    Member(&'a str),
    /// Members whose names match.
    Matching(Pattern<'a>),
    /// Members that neither a name nor a pattern of the same schema speaks of.
    Others { names: Option<&'a Map<String, Value>>, patterns: Rc<[Pattern<'a>]> },
    /// The item of an array at this place.
    Item(usize),
    /// Items from this place on.
    Items(usize),
}

/// A pattern of names.
#[derive(Clone, Debug)]
pub(super) struct Pattern<'a> {
    text: &'a str,
    /// None where it can't be read here; then it may match anything.
    compiled: Option<Regex>,
}

impl<'a> Pattern<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, compiled: Regex::new(text).ok() }
    }

    fn may_match(&self, name: &str) -> bool {
        self.compiled.as_ref().is_none_or(|compiled| compiled.is_match(name))
    }

    /// Whether one name may match both. Told apart are only patterns with different beginnings, such as `^x-` and `^y-`.
    fn meets(&self, other: &Self) -> bool {
        match (beginning(self.text), beginning(other.text)) {
            (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
            _ => true,
        }
    }
}

/// What a name that matches begins with, if the pattern says so in plain characters.
fn beginning(pattern: &str) -> Option<&str> {
    let rest = pattern.strip_prefix('^').filter(|rest| !rest.contains('|'))?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | ' ' | '/');
    let plain = rest.find(|letter| !is_plain(letter)).unwrap_or(rest.len());
    // A character that may be missing or come again says nothing of where the name goes on.
    let counted = rest[plain..].starts_with(['?', '*', '+', '{']);
    Some(&rest[..plain.saturating_sub(usize::from(counted))])
}

impl Step<'_> {
    /// Whether both may take the same child.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Member(one), Self::Member(other)) => one == other,
            (Self::Member(name), Self::Matching(pattern)) | (Self::Matching(pattern), Self::Member(name)) => {
                pattern.may_match(name)
            }
            (Self::Member(name), Self::Others { names, patterns })
            | (Self::Others { names, patterns }, Self::Member(name)) => {
                !names.is_some_and(|names| names.contains_key(*name))
                    && !patterns.iter().any(|pattern| pattern.compiled.is_some() && pattern.may_match(name))
            }
            (Self::Matching(one), Self::Matching(other)) => one.meets(other),
            (Self::Matching(pattern), Self::Others { patterns, .. })
            | (Self::Others { patterns, .. }, Self::Matching(pattern)) => {
                !patterns.iter().any(|other| other.text == pattern.text)
            }
            (Self::Others { .. }, Self::Others { .. }) | (Self::Items(_), Self::Items(_)) => true,
            (Self::Item(one), Self::Item(other)) => one == other,
            (Self::Item(at), Self::Items(from)) | (Self::Items(from), Self::Item(at)) => at >= from,
            (Self::Member(_) | Self::Matching(_) | Self::Others { .. }, Self::Item(_) | Self::Items(_))
            | (Self::Item(_) | Self::Items(_), Self::Member(_) | Self::Matching(_) | Self::Others { .. }) => false,
        }
    }
}

/// The steps of a schema alone, without what judges the same value, and the schemas that they lead to.
pub(super) fn steps(schema: &Value) -> Vec<(Step<'_>, &Value)> {
    let Value::Object(keywords) = schema else { return Vec::new() };
    let object = |keyword: &str| keywords.get(keyword).and_then(Value::as_object);
    let list = |keyword: &str| keywords.get(keyword).and_then(Value::as_array);
    let (names, of_patterns) = (object("properties"), object("patternProperties"));
    let pattern = |(text, inner)| (Pattern::new(text), inner);
    let matching: Vec<(Pattern<'_>, &Value)> =
        of_patterns.into_iter().flatten().map(|(text, inner)| pattern((text.as_str(), inner))).collect();
    let patterns: Rc<[Pattern<'_>]> = matching.iter().map(|(pattern, _)| pattern.clone()).collect();
    let mut found: Vec<(Step<'_>, &Value)> = Vec::new();
    found.extend(names.into_iter().flatten().map(|(name, inner)| (Step::Member(name), inner)));
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        found
            .extend(keywords.get(keyword).map(|inner| (Step::Others { names, patterns: Rc::clone(&patterns) }, inner)));
    }
    let first = list("prefixItems").or_else(|| list("items"));
    let behind = first.map_or(0, Vec::len);
    found.extend(first.into_iter().flatten().enumerate().map(|(at, inner)| (Step::Item(at), inner)));
    for keyword in ["items", "additionalItems", "unevaluatedItems"] {
        found.extend(keywords.get(keyword).map(|inner| (Step::Items(behind), inner)));
    }
    found.extend(keywords.get("contains").map(|inner| (Step::Items(0), inner)));
    found.extend(matching.iter().map(|(pattern, inner)| (Step::Matching(pattern.clone()), *inner)));
    // A schema that is true or false judges no further; a list was taken apart above.
    found.retain(|(_, inner)| inner.is_object());
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_told_apart_by_their_beginnings() {
        for (one, other, meets) in [
            ("^x-", "^y-", false),
            ("^x-", "^x-a", true),
            ("^x-", "^.-", true),
            ("x-", "^y-", true),
            ("^xa?", "^xb", true),
            ("^a|b", "^c", true),
            ("^x", "^y|x", true),
        ] {
            assert_eq!(Pattern::new(one).meets(&Pattern::new(other)), meets, "{one} {other}");
        }
    }

    #[test]
    fn steps_meet_where_one_child_may_take_both() {
        let schema = json!({
            "properties": { "a": {}, "x-b": {} }, "patternProperties": { "^x-": {} }, "additionalProperties": {},
            "prefixItems": [{}, {}], "items": {}, "contains": {},
        });
        let steps = steps(&schema);
        let meets: Vec<(usize, usize)> = (0..steps.len())
            .flat_map(|one| (one + 1..steps.len()).map(move |other| (one, other)))
            .filter(|(one, other)| steps[*one].0.meets(&steps[*other].0))
            .collect();
        // In the order a, x-b, others, item 0, item 1, items, contains, ^x-.
        assert_eq!(meets, [(1, 7), (3, 6), (4, 6), (5, 6)]);
    }
}
