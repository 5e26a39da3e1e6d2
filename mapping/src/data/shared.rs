//! JSON bytes to the engine's value without a copy of the texts in them.
//!
//! In: the body of an event. Out: the value that `vrl` itself would make of it, but texts without escapes are parts of the
//! body: for most events that is one allocation less for each text, when it is read and when it is copied.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use vrl::value::{KeyString, ObjectMap, Value};

/// Parses exactly one JSON value.
pub(super) fn parse(body: &Bytes) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Part(body).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads a value that lies in this body.
#[derive(Clone, Copy)]
struct Part<'a>(&'a Bytes);

impl<'de> DeserializeSeed<'de> for Part<'de> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'de> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    // Numbers that are rare are left to the engine, so that they mean the same here.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => Ok(Value::Integer(value)),
            Err(_) => serde::Deserialize::deserialize(value.into_deserializer()),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        serde::Deserialize::deserialize(value.into_deserializer())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value, E> {
        let part = ByteString::try_from(self.0.slice_ref(value.as_bytes()));
        Ok(part.map_or_else(|_| Value::from(value), Value::from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = ObjectMap::new();
        while let Some(name) = fields.next_key::<KeyString>()? {
            object.insert(name, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}
