//! What an expression may know beside the event's data: `%event` and `%integration`.
//!
//! In: the event's CloudEvents attributes and the Integration's name. Out: a [`Context`], made once
//! per event and read by all of its expressions; none of them can change it.

use std::collections::BTreeMap;

use vrl::value::kind::{Collection, Field};
use vrl::value::{KeyString, Kind, ObjectMap, Value};

/// The CloudEvents attributes of an event; `%event` in expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventAttributes {
    /// `%event.id`
    pub id: String,
    /// `%event.source`
    pub source: String,
    /// `%event.type`
    pub r#type: String,
    /// `%event.time`, in RFC 3339; null in expressions where it is missing.
    pub time: Option<String>,
    /// `%event.subject`; null in expressions where it is missing.
    pub subject: Option<String>,
    /// `%event.datacontenttype`; null in expressions where it is missing.
    pub data_content_type: Option<String>,
    /// Extension attributes, each beside the others as `%event.<name>`, as CloudEvents has them.
    /// An extension with the name of a standard attribute is ignored.
    pub extensions: BTreeMap<String, String>,
}

/// The name of the Integration that an event belongs to; `%integration` in expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntegrationName {
    /// `%integration.name`
    pub name: String,
    /// `%integration.namespace`
    pub namespace: String,
}

/// The metadata of one event, prepared for all the expressions that will read it.
#[derive(Debug, Clone)]
pub struct Context(pub(crate) Value);

impl Context {
    /// For expressions that read none ([`crate::Program::reads_metadata`]).
    #[must_use]
    pub const fn unread() -> Self {
        Self(Value::Null)
    }

    /// Prepares the metadata of one event.
    #[must_use]
    pub fn new(event: &EventAttributes, integration: &IntegrationName) -> Self {
        let EventAttributes { id, source, r#type, time, subject, data_content_type, extensions } = event;
        let IntegrationName { name, namespace } = integration;
        let mut attributes: ObjectMap =
            extensions.iter().map(|(name, value)| (KeyString::from(name.as_str()), text(value))).collect();
        // After the extensions, so that none of them can pose as a standard attribute.
        for (key, value) in [
            ("id", Some(id)),
            ("source", Some(source)),
            ("type", Some(r#type)),
            ("time", time.as_ref()),
            ("subject", subject.as_ref()),
            ("datacontenttype", data_content_type.as_ref()),
        ] {
            match value {
                Some(value) => attributes.insert(key.into(), text(value)),
                None => attributes.remove(key),
            };
        }
        let integration = ObjectMap::from([("name".into(), text(name)), ("namespace".into(), text(namespace))]);
        Self(Value::Object(ObjectMap::from([
            ("event".into(), Value::Object(attributes)),
            ("integration".into(), Value::Object(integration)),
        ])))
    }
}

fn text(value: &str) -> Value {
    Value::from(value)
}

/// The type of `%`, as [`Context::new`] builds it: what the compiler checks expressions against.
pub(crate) fn metadata_kind() -> Kind {
    let optional = || Kind::bytes().or_undefined();
    let event = Collection::<Field>::from_unknown(optional())
        .with_known("id", Kind::bytes())
        .with_known("source", Kind::bytes())
        .with_known("type", Kind::bytes())
        .with_known("time", optional())
        .with_known("subject", optional())
        .with_known("datacontenttype", optional());
    let integration =
        Collection::<Field>::empty().with_known("name", Kind::bytes()).with_known("namespace", Kind::bytes());
    Kind::object(
        Collection::<Field>::empty()
            .with_known("event", Kind::object(event))
            .with_known("integration", Kind::object(integration)),
    )
}
