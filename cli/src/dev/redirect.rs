//! Points everything that would leave this machine at the sink.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use ropeway_crds::{
    DestinationSpec,
    auth::{Auth, BearerAuth},
    provider::{HttpProvider, HttpUrl, Provider},
    reference::destination_vault_secrets,
    secret_ref::{SecretKeyRef, SecretSource, SecretValue},
};

use serde_json::{Value, json};

use crate::{
    manifest::Manifests,
    sink::{Sink, Vendor},
};

/// The Secret with what stands for an access token of a server that is not asked.
const TOKEN: &str = "ropeway-dev-access-token";

/// Points every Destination at the sink: the Destination's name, then its own path; and every API that is polled, with the
/// Integration's name. A subject of a stream becomes a path too, since that stream need not be here. Where a Destination is a
/// vendor, the sink plays it.
pub(super) fn to_sink(manifests: &mut Manifests, address: SocketAddr, sink: &Sink) {
    let mut tokens = false;
    for (integration, _) in &mut manifests.integrations {
        let name = integration.name_any();
        if let Some(poll) = &mut integration.spec.source.poll {
            let path = poll.request.url.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
            poll.request.url = format!("http://{address}/{name}/{path}");
            if poll.auth.as_ref().is_some_and(by_token) {
                poll.auth = Some(token());
                tokens = true;
            }
        }
    }
    for (destination, _) in &mut manifests.destinations {
        let name = destination.name_any();
        let spec = &mut destination.spec;
        // The sink accepts whatever it is shown; the vendor is not to be asked.
        spec.probe = None;
        if let Some(vendor) = Vendor::of(&spec.provider) {
            sink.play(&name, vendor);
        }
        // Nor is the server of its tokens.
        if spec.auth.as_ref().is_some_and(by_token) {
            spec.auth = Some(token());
            tokens = true;
        }
        // Nor a vault.
        if !destination_vault_secrets(spec).is_empty() {
            *spec = without_vaults(spec);
            tokens = true;
        }
        spec.key_vault_identity = None;
        provider(&mut spec.provider, &format!("http://{address}/{name}"));
    }
    if tokens {
        let data = [("token".to_owned(), "not-asked-for".to_owned())].into();
        let mut secret = Secret { string_data: Some(data), ..Secret::default() };
        secret.metadata.name = Some(TOKEN.to_owned());
        manifests.secrets.push(secret);
    }
}

/// A provider at another address.
fn provider(provider: &mut Provider, base: &str) {
    let below = |url: &str| format!("{base}/{}", url.splitn(4, '/').nth(3).unwrap_or_default());
    let Provider { http, webhook, nats, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } = provider;
    if let Some(http) = http {
        http.url = below(&http.url);
    }
    if let Some(webhook) = webhook {
        webhook.url = below(&webhook.url);
    }
    if let Some(nats) = nats.take() {
        let url = format!("{base}/{}", nats.subject);
        *http = Some(HttpProvider { url, format: None, method: None, headers: None });
    }
    let url = || HttpUrl(base.to_owned());
    if let Some(braze) = braze {
        braze.url = url();
    }
    for place in [
        segment.as_mut().map(|it| &mut it.url),
        hubspot.as_mut().map(|it| &mut it.url),
        salesforce.as_mut().map(|it| &mut it.instance_url),
        ga4.as_mut().map(|it| &mut it.url),
        mixpanel.as_mut().map(|it| &mut it.url),
        amplitude.as_mut().map(|it| &mut it.url),
    ]
    .into_iter()
    .flatten()
    {
        *place = Some(url());
    }
}

/// Whether somebody would have to be asked for an access token.
fn by_token(auth: &Auth) -> bool {
    auth.oauth2.is_some() || auth.azure.is_some() || auth.destination_ref.is_some()
}

/// What stands for an access token.
fn token() -> Auth {
    let secret_key_ref = SecretKeyRef { name: TOKEN.into(), key: "token".into() };
    let token = SecretValue { value_from: SecretSource::SecretKeyRef(secret_key_ref) };
    Auth {
        bearer: Some(BearerAuth { token }),
        basic: None,
        api_key: None,
        oauth2: None,
        azure: None,
        destination_ref: None,
    }
}

/// The same Destination, with what stands for a secret in place of each that is in a vault.
fn without_vaults(spec: &DestinationSpec) -> DestinationSpec {
    fn replace(node: &mut Value) {
        match node {
            Value::Object(members) => {
                if members.remove("azureKeyVault").is_some() {
                    members.insert("secretKeyRef".into(), json!({ "name": TOKEN, "key": "token" }));
                }
                members.values_mut().for_each(replace);
            }
            Value::Array(elements) => elements.iter_mut().for_each(replace),
            _ => {}
        }
    }
    let mut written = serde_json::to_value(spec).expect("a spec is writable as JSON");
    replace(&mut written);
    serde_json::from_value(written).expect("only the place of a secret has changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vault_is_left_in_a_destination() {
        let spec: DestinationSpec = serde_json::from_value(json!({
            "provider": { "http": { "url": "https://a.example", "headers": [
                { "name": "X-Key", "valueFrom": { "azureKeyVault": "https://a.vault.azure.net/secrets/key" } },
            ] } },
            "auth": { "bearer": { "token": {
                "valueFrom": { "azureKeyVault": "https://a.vault.azure.net/secrets/token" },
            } } },
        }))
        .unwrap();
        assert_eq!(destination_vault_secrets(&spec).len(), 2);
        let spec = without_vaults(&spec);
        assert!(destination_vault_secrets(&spec).is_empty());
        assert_eq!(spec.secret_keys(), [SecretKeyRef { name: TOKEN.into(), key: "token".into() }]);
    }
}
