//! Where a part of a spec names Secrets and ConfigMaps, each with its field. Found in the part as it is written, so that a
//! kind of credentials that is added can't be forgotten here. Not for parts that hold free JSON.

use serde::Serialize;
use serde_json::Value;

use crate::{
    DestinationSpec, IntegrationSpec,
    auth::Auth,
    provider::Provider,
    secret_ref::{ConfigMapKeyRef, SecretKeyRef},
};

/// The keys of ConfigMaps that values of an Integration's source come from, each with its field.
pub fn source_settings(spec: &IntegrationSpec) -> Vec<(String, ConfigMapKeyRef)> {
    settings(&spec.source, "spec.source")
}

/// The keys of ConfigMaps that values of a Destination come from, each with its field.
pub fn destination_settings(spec: &DestinationSpec) -> Vec<(String, ConfigMapKeyRef)> {
    account_settings(&spec.provider, spec.auth.as_ref())
}

/// The same of a Destination's parts.
pub fn account_settings(provider: &Provider, auth: Option<&Auth>) -> Vec<(String, ConfigMapKeyRef)> {
    let mut found = settings(provider, "spec.provider");
    found.extend(auth.into_iter().flat_map(|auth| settings(auth, "spec.auth")));
    found
}

/// The keys of ConfigMaps that values in a part of a spec come from. Expressions and schemas in ConfigMaps are none: they are
/// read by the operator and never by a worker.
pub fn settings(part: &impl Serialize, field: &str) -> Vec<(String, ConfigMapKeyRef)> {
    let mut found = Vec::new();
    walk(&value(part), field, &mut |place, node| {
        if place.ends_with(".valueFrom.configMapKeyRef")
            && let Ok(key) = serde_json::from_value(node.clone())
        {
            found.push((place.to_owned(), key));
        }
    });
    found
}

/// The field of an Integration's source that names a Secret's key.
pub fn source_secret_field(spec: &IntegrationSpec, key: &SecretKeyRef) -> Option<String> {
    secret_field(&spec.source, "spec.source", key)
}

/// The field of a Destination that names a Secret's key.
pub fn destination_secret_field(spec: &DestinationSpec, key: &SecretKeyRef) -> Option<String> {
    let DestinationSpec { provider, auth, tls, .. } = spec;
    let provider = secret_field(provider, "spec.provider", key);
    let auth = || auth.as_ref().and_then(|auth| secret_field(auth, "spec.auth", key));
    provider.or_else(auth).or_else(|| tls.as_ref().and_then(|tls| secret_field(tls, "spec.tls", key)))
}

/// The first field in which a part names this key, or the Secret as a whole.
fn secret_field(part: &impl Serialize, field: &str, key: &SecretKeyRef) -> Option<String> {
    let mut found = None;
    walk(&value(part), field, &mut |place, node| {
        let member = place.rsplit('.').next().unwrap_or_default();
        let names = |name: &str, wanted: &str| node.get(name).is_none_or(|given| given == wanted);
        let is_reference = member.ends_with("Ref") && member != "configMapKeyRef" && node.get("name").is_some();
        if found.is_none() && is_reference && names("name", &key.name) && names("key", &key.key) {
            found = Some(place.to_owned());
        }
    });
    found
}

fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("a part of a spec is writable as JSON")
}

/// Shows every object with its field. An element of a list is called by its name, or by its number where it has none.
fn walk(node: &Value, field: &str, show: &mut dyn FnMut(&str, &Value)) {
    match node {
        Value::Object(members) => {
            show(field, node);
            members.iter().for_each(|(name, member)| walk(member, &format!("{field}.{name}"), show));
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let name = element.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                walk(element, &format!("{field}[{name}]"), show);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn destination() -> DestinationSpec {
        let secret = |key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": key } } });
        let setting = |key: &str| json!({ "valueFrom": { "configMapKeyRef": { "name": "c", "key": key } } });
        let mut header = setting("team");
        header["name"] = json!("X-Team");
        serde_json::from_value(json!({
            "provider": { "http": { "url": "https://a.example", "headers": [header] } },
            "auth": { "basic": { "username": setting("user"), "password": secret("pass") } },
            "tls": { "caRef": { "name": "s", "key": "ca" }, "clientCertificateRef": { "name": "client" } },
        }))
        .unwrap()
    }

    #[test]
    fn settings_are_found_with_their_fields() {
        let found = destination_settings(&destination());
        let found: Vec<(&str, &str)> = found.iter().map(|(field, key)| (field.as_str(), key.key.as_str())).collect();
        assert_eq!(
            found,
            [
                ("spec.provider.http.headers[X-Team].valueFrom.configMapKeyRef", "team"),
                ("spec.auth.basic.username.valueFrom.configMapKeyRef", "user"),
            ]
        );
    }

    #[test]
    fn every_secret_key_that_is_mounted_has_a_field() {
        let spec = destination();
        let fields: Vec<String> =
            spec.secret_keys().iter().filter_map(|key| destination_secret_field(&spec, key)).collect();
        assert_eq!(
            fields,
            [
                "spec.tls.clientCertificateRef",
                "spec.tls.clientCertificateRef",
                "spec.tls.caRef",
                "spec.auth.basic.password.valueFrom.secretKeyRef",
            ]
        );
    }

    #[test]
    fn an_expression_in_a_config_map_is_no_setting() {
        let spec: IntegrationSpec = serde_json::from_value(json!({
            "source": { "request": {
                "path": "/a", "reply": { "configMapKeyRef": { "name": "programs", "key": "reply" } },
                "verification": { "sendgrid": { "publicKeys": [
                    { "valueFrom": { "configMapKeyRef": { "name": "c", "key": "public" } } },
                ] } },
            } },
            "destinations": [{ "name": "a", "ref": "a" }],
        }))
        .unwrap();
        let found = source_settings(&spec);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "spec.source.request.verification.sendgrid.publicKeys[0].valueFrom.configMapKeyRef");
    }
}
