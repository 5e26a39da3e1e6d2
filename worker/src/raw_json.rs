//! Parts of a JSON text, found without changing a byte of it: a number that is too large for a float stays what it was. Pure.

use std::collections::HashMap;

use ropeway_crds::pointer::steps;
use serde_json::value::RawValue;

/// What stands at a JSON pointer (RFC 6901).
pub fn at<'a>(whole: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut found = whole;
    for step in steps(pointer) {
        found = match found.get().as_bytes().first()? {
            b'{' => serde_json::from_str::<HashMap<String, &RawValue>>(found.get()).ok()?.get(&step).copied()?,
            b'[' => elements(found)?.get(step.parse::<usize>().ok()?).copied()?,
            _ => return None,
        };
    }
    Some(found)
}

/// The elements of an array; none where it is something else.
pub fn elements(array: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array.get()).ok()
}
