//! A JSON Schema and an event, one after the other: compiling and judging come to an end and don't overflow the stack.

use ropeway_mapping::{Data, Schema};
use serde_json::Value;

/// Two JSON values.
pub fn run(bytes: &[u8]) {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let Some(Ok(schema)) = values.next() else { return };
    let compiled = match Schema::compile(&schema) {
        Ok(compiled) => compiled,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    if let Some(Ok(event)) = values.next()
        && let Err(violation) = compiled.check(&Data::from(event))
    {
        assert!(violation.place.chars().count() <= 160, "a place that is too long for a status: {violation}");
    }
}
