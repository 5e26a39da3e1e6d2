//! A JSON object whose members are looked at and added to without changing a byte of the others. Pure.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use ropeway_auth::http::Request;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::{RawValue, to_raw_value};

use super::Invalid;

/// The members of an object, in their order.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> Object<'a> {
    /// Reads a record, which has to be an object.
    pub(super) fn record(text: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(text).map_err(|_| Invalid("the record is not an object".into()))
    }

    /// Reads an object at a place in a record.
    pub(super) fn at(place: &str, raw: &'a RawValue) -> Result<Self, Invalid> {
        serde_json::from_str(raw.get()).map_err(|_| Invalid(format!("{place} is not an object")))
    }

    /// The members.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A member that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_ref()).filter(|value| value.get() != "null")
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    /// A member that has to be a text of 1 to `most` characters. `place` is that of the object, with a dot at its end.
    pub(super) fn needs_text(&self, place: &str, name: &str, most: usize) -> Result<String, Invalid> {
        match self.takes_text(place, name, most)? {
            Some(text) => Ok(text),
            None => Err(Invalid(format!("{place}{name} is missing"))),
        }
    }

    /// The same, where it may be left out.
    pub(super) fn takes_text(&self, place: &str, name: &str, most: usize) -> Result<Option<String>, Invalid> {
        let Some(found) = self.get(name) else { return Ok(None) };
        let Some(text) = text(found) else { return Err(Invalid(format!("{place}{name} is not a text"))) };
        match text.chars().count() {
            0 => Err(Invalid(format!("{place}{name} is empty"))),
            length if length > most => {
                Err(Invalid(format!("{place}{name} has {length} characters; {most} are the most")))
            }
            _ => Ok(Some(text)),
        }
    }

    /// A member that has to be an array, if it is there.
    pub(super) fn takes_array(&self, place: &str, name: &str) -> Result<Option<Vec<&RawValue>>, Invalid> {
        let Some(found) = self.get(name) else { return Ok(None) };
        let items = crate::raw_json::elements(found);
        items.map(Some).ok_or_else(|| Invalid(format!("{place}{name} is not an array")))
    }

    /// A member that has to be an object, if it is there.
    pub(super) fn takes_object(&self, place: &str, name: &str) -> Result<Option<Object<'_>>, Invalid> {
        self.get(name).map(|found| Object::at(&format!("{place}{name}"), found)).transpose()
    }

    /// Refuses members that are none of these.
    pub(super) fn knows_only(&self, place: &str, names: &[&str]) -> Result<(), Invalid> {
        match self.members().find(|(name, _)| !names.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(Invalid(format!("{place}{name} is not known; there are {}", names.join(", "))))
            }
        }
    }

    /// Puts a member in, in place of one with this name.
    pub(super) fn set(&mut self, name: &'static str, value: &impl Serialize) {
        let raw = to_raw_value(value).expect("texts, numbers and raw JSON are writable");
        self.0.retain(|(known, _)| known != name);
        self.0.push((Cow::Borrowed(name), Cow::Owned(raw)));
    }

    /// Puts a member in unless there is one.
    pub(super) fn set_missing(&mut self, name: &'static str, value: &impl Serialize) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// The object as JSON.
    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and raw JSON are writable").into()
    }
}

/// The text that a value is, if it is one.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether a value is a number.
pub(super) fn is_number(raw: &RawValue) -> bool {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A request whose body is JSON, and whose answer should be.
pub(super) fn json_request(method: Method, uri: Uri, body: Bytes) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    Request { method, uri, headers, body }
}

/// `{"<before>,"<name>":[` records `]}`: an envelope around the bodies of records.
pub(super) fn envelope<'a>(before: &str, name: &str, bodies: impl Iterator<Item = &'a Bytes>, after: &str) -> Bytes {
    let mut text = format!("{{{before}\"{name}\":[").into_bytes();
    join(&mut text, bodies);
    text.push(b']');
    text.extend_from_slice(after.as_bytes());
    text.push(b'}');
    text.into()
}

/// Writes bodies with commas between them.
pub(super) fn join<'a>(text: &mut Vec<u8>, bodies: impl Iterator<Item = &'a Bytes>) {
    for (index, body) in bodies.enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(body);
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value.as_ref())?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(name), Cow::Borrowed(value)));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_was() {
        let text = br#"{"b": 9007199254740993.00, "a":null,"\u0063" : [1, {"x":1e400}]}"#;
        let mut object = Object::record(text).unwrap();
        object.set_missing("a", &"new");
        object.set_missing("b", &1);
        assert_eq!(object.to_bytes(), &br#"{"b":9007199254740993.00,"c":[1, {"x":1e400}],"a":"new"}"#[..]);
        assert_eq!(object.takes_array("", "c").unwrap().unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let object = Object::record(br#"{"a":1,"b":"","c":"four","d":null}"#).unwrap();
        let told = |result: Result<String, Invalid>| result.unwrap_err().0;
        assert_eq!(told(object.needs_text("events[0].", "a", 9)), "events[0].a is not a text");
        assert_eq!(told(object.needs_text("", "b", 9)), "b is empty");
        assert_eq!(told(object.needs_text("", "c", 3)), "c has 4 characters; 3 are the most");
        assert_eq!(told(object.needs_text("", "d", 3)), "d is missing");
        assert_eq!(object.knows_only("", &["a", "b", "c"]).unwrap_err().0, "d is not known; there are a, b, c");
        assert!(Object::record(b"[]").is_err() && Object::record(b"{").is_err());
    }
}
