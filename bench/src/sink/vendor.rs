//! A vendor that takes everything: where the items of its request are, and what it answers. Pure.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

/// A vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    Braze,
    Segment,
    Hubspot,
    Salesforce,
    Ga4,
    Mixpanel,
    Amplitude,
}

type Members<'a> = HashMap<&'a str, &'a RawValue>;

impl Vendor {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "braze" => Self::Braze,
            "segment" => Self::Segment,
            "hubspot" => Self::Hubspot,
            "salesforce" => Self::Salesforce,
            "ga4" => Self::Ga4,
            "mixpanel" => Self::Mixpanel,
            "amplitude" => Self::Amplitude,
            _ => return None,
        })
    }

    /// What each item of a request carries, and the answer that takes them all.
    pub(super) fn answer(self, body: &[u8]) -> (Vec<&RawValue>, Bytes) {
        let whole = || serde_json::from_slice::<Members<'_>>(body).ok();
        let list = |name: &str| whole().and_then(|whole| elements(whole.get(name)?)).unwrap_or_default();
        match self {
            Self::Braze => (list("events"), Bytes::from_static(br#"{"message":"success"}"#)),
            Self::Segment => (list("batch"), Bytes::from_static(br#"{"success":true}"#)),
            Self::Hubspot => {
                let inputs = list("inputs");
                let result = |input: &&RawValue| {
                    let trace = member(input, "objectWriteTraceId").map_or("null", RawValue::get);
                    format!(r#"{{"id":"1","new":true,"properties":{{}},"objectWriteTraceId":{trace}}}"#)
                };
                let results: Vec<String> = inputs.iter().map(result).collect();
                let answer = format!(r#"{{"status":"COMPLETE","results":[{}]}}"#, results.join(","));
                (inner(inputs, "properties"), answer.into())
            }
            Self::Salesforce => {
                let records = list("records");
                let result = r#"{"id":"00Q1","success":true,"created":true,"errors":[]}"#;
                let answer = format!("[{}]", vec![result; records.len()].join(","));
                (records, answer.into())
            }
            Self::Ga4 => (inner(list("events"), "params"), Bytes::new()),
            Self::Mixpanel => {
                let events: Vec<&RawValue> = serde_json::from_slice(body).unwrap_or_default();
                let answer = format!(r#"{{"code":200,"num_records_imported":{},"status":"OK"}}"#, events.len());
                (inner(events, "properties"), answer.into())
            }
            Self::Amplitude => {
                let events = list("events");
                let answer = format!(r#"{{"code":200,"events_ingested":{}}}"#, events.len());
                (events, answer.into())
            }
        }
    }
}

/// A member of each.
fn inner<'a>(items: Vec<&'a RawValue>, name: &str) -> Vec<&'a RawValue> {
    items.into_iter().filter_map(|item| member(item, name)).collect()
}

fn elements(array: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array.get()).ok()
}

fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    serde_json::from_str::<Members<'a>>(object.get()).ok()?.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_where_each_vendor_has_them() {
        let texts = |vendor: &str, body: &'static str| {
            let (items, answer) = Vendor::named(vendor).unwrap().answer(body.as_bytes());
            let items: Vec<&str> = items.into_iter().map(RawValue::get).collect();
            (items.join(" "), String::from_utf8(answer.to_vec()).unwrap())
        };
        assert_eq!(texts("braze", r#"{"events":[{"a":1},{"b":2}]}"#).0, r#"{"a":1} {"b":2}"#);
        let (items, answer) = texts("hubspot", r#"{"inputs":[{"objectWriteTraceId":"k","properties":{"a":"1"}}]}"#);
        assert_eq!(items, r#"{"a":"1"}"#);
        assert!(answer.contains(r#""objectWriteTraceId":"k""#), "{answer}");
        let (items, answer) = texts("mixpanel", r#"[{"event":"e","properties":{"a":1}}]"#);
        assert_eq!((items.as_str(), answer.contains(r#""num_records_imported":1"#)), (r#"{"a":1}"#, true));
        assert_eq!(texts("ga4", r#"{"events":[{"name":"e","params":{"a":1}}]}"#).0, r#"{"a":1}"#);
        assert_eq!(texts("amplitude", "{").0, "");
    }
}
