//! What Braze would refuse or drop of one object. Pure.

use serde_json::value::RawValue;

use crate::provider::{
    Invalid,
    object::{Object, is_number, text},
};

/// Bytes of one object that Braze's own partners stop at.
const OBJECT_BYTES: usize = 100 << 10;

/// Characters of names and of texts in properties.
const TEXT: usize = 255;

/// Checks one object of a record.
pub(super) fn check(array: &str, index: usize, raw: &RawValue) -> Result<(), Invalid> {
    let whole = format!("{array}[{index}]");
    let place = format!("{whole}.");
    if raw.get().len() > OBJECT_BYTES {
        return Err(Invalid(format!("{whole} has {} bytes; {OBJECT_BYTES} are the most", raw.get().len())));
    }
    let object = Object::at(&whole, raw)?;
    identified(&place, &object)?;
    match array {
        "events" => {
            object.needs_text(&place, "name", TEXT)?;
            moment(&place, &object)?;
        }
        "purchases" => {
            object.needs_text(&place, "product_id", TEXT)?;
            object.needs_text(&place, "currency", 3)?;
            moment(&place, &object)?;
            if !object.get("price").is_some_and(is_number) {
                return Err(Invalid(format!("{place}price is not a number")));
            }
        }
        _ => {}
    }
    match object.takes_object(&place, "properties")? {
        Some(properties) => properties_of(&format!("{place}properties."), &properties),
        None => Ok(()),
    }
}

/// An object without one of these is dropped.
fn identified(place: &str, object: &Object<'_>) -> Result<(), Invalid> {
    let texts = ["external_id", "braze_id", "email", "phone"];
    for name in texts {
        if object.takes_text(place, name, 997)?.is_some() {
            return Ok(());
        }
    }
    let Some(alias) = object.takes_object(place, "user_alias")? else {
        let texts = texts.join(", ");
        return Err(Invalid(format!("{place}external_id is missing, and so are the other ids: {texts} or user_alias")));
    };
    let place = format!("{place}user_alias.");
    alias.needs_text(&place, "alias_name", TEXT)?;
    alias.needs_text(&place, "alias_label", TEXT).map(drop)
}

/// `time` in ISO 8601 or as `yyyy-MM-dd'T'HH:mm:ss:SSSZ`.
fn moment(place: &str, object: &Object<'_>) -> Result<(), Invalid> {
    let time = object.needs_text(place, "time", 64)?;
    let date = time.split(['T', ' ']).next().unwrap_or_default();
    match date.parse::<jiff::civil::Date>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid(format!("{place}time is not a time in ISO 8601, such as 2026-11-02T09:30:00Z"))),
    }
}

/// One bad property makes Braze drop more than itself.
fn properties_of(place: &str, properties: &Object<'_>) -> Result<(), Invalid> {
    for (name, value) in properties.members() {
        let shown: String = name.chars().take(64).collect();
        match name.chars().count() {
            0 => return Err(Invalid(format!("{place} has a property without a name"))),
            length if length > TEXT => {
                return Err(Invalid(format!("{place}{shown}… has a name of {length} characters; {TEXT} are the most")));
            }
            _ if name.starts_with('$') => {
                return Err(Invalid(format!("{place}{shown} begins with $, which Braze keeps for itself")));
            }
            _ => {}
        }
        if let Some(length) = text(value).map(|text| text.chars().count()).filter(|length| *length > TEXT) {
            return Err(Invalid(format!("{place}{shown} has {length} characters; {TEXT} are the most")));
        }
    }
    Ok(())
}
