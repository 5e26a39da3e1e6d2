//! YAML with the line of every node, so that whatever is found wrong later can still be pointed at.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// One node and where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its line within the document, from 1.
    pub line: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    /// Keys with their lines, in the order of the file.
    Map(Vec<(String, u64, Node)>),
}

impl Node {
    /// The same as plain JSON.
    pub fn json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|(key, _, node)| (key.clone(), node.json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The line of the node at a path such as `spec.destinations[crm].filter`, or of the deepest one on the way to it.
    /// A name in brackets finds the item of a list with that `name`.
    pub fn line_of(&self, path: &str) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty()) {
            let next = match &node.kind {
                Kind::Map(entries) => entries.iter().find(|(key, ..)| key == step).map(|(_, line, node)| (*line, node)),
                Kind::List(items) => match step.parse::<usize>() {
                    Ok(index) => items.get(index),
                    Err(_) => items.iter().find(|item| item.text("name") == Some(step)),
                }
                .map(|item| (item.line, item)),
                Kind::Scalar(_) => None,
            };
            let Some((found, below)) = next else { break };
            (line, node) = (found, below);
        }
        line
    }

    fn text(&self, key: &str) -> Option<&str> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(name, ..)| name == key).and_then(|(_, _, node)| match &node.kind {
            Kind::Scalar(Value::String(text)) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The path and line of the first field that `known`, the same object after a typed reading, does not have.
    pub fn unknown_field(&self, known: &Value, path: &str) -> Option<(String, u64)> {
        match (&self.kind, known) {
            (Kind::Map(entries), Value::Object(fields)) => entries.iter().find_map(|(key, line, node)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match fields.get(key) {
                    // A null and an empty list say nothing, so a typed reading may leave them out.
                    None if node.is_empty() => None,
                    None => Some((path, *line)),
                    Some(known) => node.unknown_field(known, &path),
                }
            }),
            (Kind::List(items), Value::Array(known)) => items
                .iter()
                .zip(known)
                .enumerate()
                .find_map(|(index, (item, known))| item.unknown_field(known, &format!("{path}[{index}]"))),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar(value) => value.is_null(),
            Kind::List(items) => items.is_empty(),
            Kind::Map(entries) => entries.is_empty(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
                Ok(Kind::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
                Ok(Kind::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
                Ok(Kind::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
                Ok(Kind::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
                Ok(Kind::Scalar(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Scalar(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Scalar(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
                Kind::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Kind::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
                let mut map = Vec::new();
                while let Some(key) = entries.next_key::<Spanned<String>>()? {
                    map.push((key.value, key.referenced.line(), entries.next_value()?));
                }
                Ok(Kind::Map(map))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str =
        "spec:\n  destinations:\n    - name: a\n    - name: crm\n      filter: '.x'\n      typo: 1\n  empty: null\n";

    #[test]
    fn every_node_knows_its_line() {
        let node: Node = serde_saphyr::from_str(TEXT).unwrap();
        assert_eq!(node.line_of("spec.destinations[crm].filter"), 5);
        assert_eq!(node.line_of("spec.destinations[0]"), 3);
        assert_eq!(node.line_of("spec.nowhere.at.all"), 1);
        assert_eq!(node.json()["spec"]["destinations"][1]["typo"], json!(1));
    }

    #[test]
    fn a_field_that_a_typed_reading_lost_is_found() {
        let node: Node = serde_saphyr::from_str(TEXT).unwrap();
        let known = json!({"spec": {"destinations": [{"name": "a"}, {"name": "crm", "filter": ".x"}]}});
        assert_eq!(node.unknown_field(&known, ""), Some(("spec.destinations[1].typo".into(), 6)));
    }
}
