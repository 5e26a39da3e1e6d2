//! Where a part of a spec names Secrets and ConfigMaps, each with its field. Found in the part as it is written, so that a
//! kind of credentials that is added can't be forgotten here. Not for parts that hold free JSON.

use serde::Serialize;
use serde_json::Value;

use crate::{
    DestinationSpec, IntegrationSpec,
    auth::Auth,
    azure::{AzureIdentity, VaultSecret},
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

/// The secrets of Key Vault that values of an Integration's source come from, each with its field.
pub fn source_vault_secrets(spec: &IntegrationSpec) -> Vec<(String, VaultSecret)> {
    vault_secrets(&spec.source, "spec.source")
}

/// The secrets of Key Vault that values of a Destination come from, each with its field.
pub fn destination_vault_secrets(spec: &DestinationSpec) -> Vec<(String, VaultSecret)> {
    account_vault_secrets(&spec.provider, spec.auth.as_ref())
}

/// The same of a Destination's parts.
pub fn account_vault_secrets(provider: &Provider, auth: Option<&Auth>) -> Vec<(String, VaultSecret)> {
    let mut found = vault_secrets(provider, "spec.provider");
    found.extend(auth.into_iter().flat_map(|auth| vault_secrets(auth, "spec.auth")));
    found
}

/// The secrets of Key Vault that values in a part of a spec come from.
pub fn vault_secrets(part: &impl Serialize, field: &str) -> Vec<(String, VaultSecret)> {
    let mut found = Vec::new();
    walk(&value(part), field, &mut |place, node| {
        if place.ends_with(".valueFrom")
            && let Some(Value::String(identifier)) = node.get("azureKeyVault")
        {
            found.push((format!("{place}.azureKeyVault"), VaultSecret(identifier.clone())));
        }
    });
    found
}

/// The identities of Entra ID in an Integration: that of its vaults, and those in its source.
pub fn source_identities(spec: &IntegrationSpec) -> Vec<(String, AzureIdentity)> {
    let vaults = spec.key_vault_identity.iter().map(|it| ("spec.keyVaultIdentity".to_owned(), it.clone()));
    vaults.chain(identities(&spec.source, "spec.source")).collect()
}

/// The identities of Entra ID in a Destination.
pub fn destination_identities(spec: &DestinationSpec) -> Vec<(String, AzureIdentity)> {
    let vaults = spec.key_vault_identity.iter().map(|it| ("spec.keyVaultIdentity".to_owned(), it.clone()));
    let auth = spec.auth.iter().flat_map(|auth| identities(auth, "spec.auth"));
    vaults.chain(auth).collect()
}

fn identities(part: &impl Serialize, field: &str) -> Vec<(String, AzureIdentity)> {
    let mut found = Vec::new();
    let auth = value(part);
    let mut see = |place: &str, node: &Value| {
        if place.ends_with(".auth.azure")
            && let Ok(identity) = serde_json::from_value(node.clone())
        {
            found.push((place.to_owned(), identity));
        }
    };
    walk(&auth, field, &mut see);
    found
}

/// The field of an Integration's source that names a Secret's key.
pub fn source_secret_field(spec: &IntegrationSpec, key: &SecretKeyRef) -> Option<String> {
    let vaults = || spec.key_vault_identity.as_ref().and_then(|it| secret_field(it, "spec.keyVaultIdentity", key));
    secret_field(&spec.source, "spec.source", key).or_else(vaults)
}

/// The field of a Destination that names a Secret's key.
pub fn destination_secret_field(spec: &DestinationSpec, key: &SecretKeyRef) -> Option<String> {
    let DestinationSpec { provider, auth, tls, key_vault_identity, .. } = spec;
    let provider = secret_field(provider, "spec.provider", key);
    let auth = || auth.as_ref().and_then(|auth| secret_field(auth, "spec.auth", key));
    let tls = || tls.as_ref().and_then(|tls| secret_field(tls, "spec.tls", key));
    let vaults = || key_vault_identity.as_ref().and_then(|it| secret_field(it, "spec.keyVaultIdentity", key));
    provider.or_else(auth).or_else(tls).or_else(vaults)
}

/// The first field in which a part names this key, or the Secret as a whole.
fn secret_field(part: &impl Serialize, field: &str, key: &SecretKeyRef) -> Option<String> {
    let mut found = None;
    walk(&value(part), field, &mut |place, node| {
        let member = place.rsplit('.').next().unwrap_or_default();
        let names = |name: &str, wanted: &str| node.get(name).is_none_or(|given| given == wanted);
        let is_secret = member.ends_with("Ref") && !matches!(member, "configMapKeyRef" | "destinationRef");
        let is_reference = is_secret && node.get("name").is_some();
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
    fn secrets_of_a_vault_and_identities_are_found_with_their_fields() {
        let vault = |name: &str| json!({ "azureKeyVault": format!("https://crm.vault.azure.net/secrets/{name}") });
        let identity = json!({
            "tenantId": "t", "clientId": "c", "credential": { "certificateRef": { "name": "app" } },
        });
        let mut azure = identity.clone();
        azure["scope"] = json!("https://crm.example/.default");
        let spec: DestinationSpec = serde_json::from_value(json!({
            "provider": { "http": {
                "url": "https://a.example", "headers": [{ "name": "X-Team", "valueFrom": vault("team") }],
            } },
            "auth": { "azure": azure },
            "keyVaultIdentity": identity,
        }))
        .unwrap();
        let fields: Vec<String> = destination_vault_secrets(&spec).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.provider.http.headers[X-Team].valueFrom.azureKeyVault"]);
        let fields: Vec<String> = destination_identities(&spec).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.keyVaultIdentity", "spec.auth.azure"]);
        let fields: Vec<String> =
            spec.secret_keys().iter().filter_map(|key| destination_secret_field(&spec, key)).collect();
        assert_eq!(fields, ["spec.auth.azure.credential.certificateRef"; 2]);
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
