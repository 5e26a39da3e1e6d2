//! What is odd about a resource without being wrong: told in the condition `Ready` and by `ropeway lint`.

use std::net::IpAddr;

use crate::{
    auth::{Auth, ClientSecretPlace, OAuth2},
    destination::DestinationSpec,
    integration::IntegrationSpec,
    provider::{HttpUrl, Provider},
};

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field, such as `spec.auth.oauth2.tokenUrl`.
    pub field: String,
    /// What is odd about it, without the field.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

impl DestinationSpec {
    /// What is odd about it: an address that is not the vendor's, credentials that everybody on the way can read.
    pub fn warnings(&self) -> Vec<Warning> {
        let Self { provider, auth, .. } = self;
        let field = format!("spec.provider.{}", provider.name());
        let unlike = provider.warning().map(|message| Warning { field: field.clone(), message });
        let sent = auth.is_some().then(|| address(provider)).flatten();
        let readable = sent.and_then(|(name, url)| readable(format!("{field}.{name}"), url));
        let tokens = auth.iter().flat_map(|auth| of_auth("spec.auth", auth));
        let hubspots = auth.iter().filter_map(|auth| of_hubspot(auth.oauth2.as_ref()?)).flatten();
        unlike.into_iter().chain(readable).chain(tokens).chain(hubspots).collect()
    }
}

impl IntegrationSpec {
    /// What is odd about it: credentials of a source that everybody on the way can read.
    pub fn warnings(&self) -> Vec<Warning> {
        let poll = self.source.poll.iter();
        let poll = poll.filter_map(|poll| Some(("poll", "request.url", &poll.request.url, poll.auth.as_ref()?)));
        let files = self.source.batch.iter().filter_map(|batch| batch.from.http.as_ref());
        let files = files.filter_map(|http| Some(("batch.from.http", "url", &http.url, http.auth.as_ref()?)));
        let of = |(place, name, url, auth): (&str, &str, &String, &Auth)| {
            let place = format!("spec.source.{place}");
            readable(format!("{place}.{name}"), url).into_iter().chain(of_auth(&format!("{place}.auth"), auth))
        };
        poll.chain(files).flat_map(of).collect()
    }
}

/// Where the credentials go, by the name of its field.
fn address(provider: &Provider) -> Option<(&'static str, &str)> {
    let Provider { http, webhook: _, nats: _, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } =
        provider;
    if let Some(http) = http {
        return Some(("url", &http.url));
    }
    let vendors: [(&str, Option<&HttpUrl>); 7] = [
        ("url", braze.as_ref().map(|given| &given.url)),
        ("url", segment.as_ref().and_then(|given| given.url.as_ref())),
        ("url", hubspot.as_ref().and_then(|given| given.url.as_ref())),
        ("instanceUrl", salesforce.as_ref().and_then(|given| given.instance_url.as_ref())),
        ("url", ga4.as_ref().and_then(|given| given.url.as_ref())),
        ("url", mixpanel.as_ref().and_then(|given| given.url.as_ref())),
        ("url", amplitude.as_ref().and_then(|given| given.url.as_ref())),
    ];
    vendors.into_iter().find_map(|(name, url)| Some((name, url?.as_str())))
}

/// The addresses of an authorization server. RFC 6749 §3.1 and §3.2 want TLS for both endpoints.
fn of_auth(place: &str, auth: &Auth) -> Vec<Warning> {
    let Some(oauth2) = &auth.oauth2 else { return Vec::new() };
    let given = [
        ("tokenUrl", oauth2.token_url.as_ref()),
        ("issuer", oauth2.issuer.as_ref()),
        ("authorizationUrl", oauth2.authorization_url.as_ref()),
    ];
    given.into_iter().filter_map(|(name, url)| readable(format!("{place}.oauth2.{name}"), url?)).collect()
}

/// What HubSpot's token endpoint would refuse. Source: its guide of OAuth v3 and its announcement of the end of v1, 2026.
fn of_hubspot(oauth2: &OAuth2) -> Option<Vec<Warning>> {
    let url = HttpUrl(oauth2.token_url.clone()?);
    if !url.host().eq_ignore_ascii_case("api.hubapi.com") {
        return None;
    }
    let told =
        |field: &str, message: &str| Warning { field: format!("spec.auth.oauth2.{field}"), message: message.into() };
    let ends = url.0.contains("/oauth/v1/");
    let ends = ends.then(|| told("tokenUrl", "HubSpot ends /oauth/v1/token on 16 February 2027; use /oauth/v3/token"));
    let in_header = oauth2.client_secret.is_some() && oauth2.client_secret_in != Some(ClientSecretPlace::Body);
    let in_header = in_header.then(|| told("clientSecretIn", "HubSpot reads the client secret in the body; give Body"));
    Some(ends.into_iter().chain(in_header).collect())
}

/// A warning where credentials leave the cluster without TLS.
fn readable(field: String, url: &str) -> Option<Warning> {
    let (scheme, _) = url.split_once("://")?;
    let url = HttpUrl(url.to_owned());
    let host = url.host().to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    if !scheme.eq_ignore_ascii_case("http") || is_near(host) {
        return None;
    }
    let message = format!("http:// lets everybody on the way to {host} read the credentials; use https://");
    Some(Warning { field, message })
}

/// Whether a host is in the pod, the namespace or the cluster, as far as its name tells.
fn is_near(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => !host.contains('.') || [".svc", ".cluster.local", ".localhost"].iter().any(|end| host.ends_with(end)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: serde_json::Value) -> Vec<String> {
        let spec: DestinationSpec = serde_json::from_value(spec).unwrap();
        spec.warnings().into_iter().map(|warning| warning.field).collect()
    }

    #[test]
    fn credentials_without_tls_are_told_unless_they_stay_in_the_cluster() {
        for (url, is_told) in [
            ("http://crm.example.com/x", true),
            ("http://crm.example.com.:80/x", true),
            ("http://203.0.113.7/", true),
            ("http://10.0.0.7/", true),
            ("http://notsvc.example/", true),
            ("https://crm.example.com/x", false),
            ("http://127.0.0.1:9/", false),
            ("http://[::1]:9/", false),
            ("http://keycloak/realms/x", false),
            ("http://keycloak.auth.svc:8080/", false),
            ("http://keycloak.auth.svc.cluster.local/", false),
        ] {
            assert_eq!(readable("f".into(), url).is_some(), is_told, "{url}");
        }
    }

    #[test]
    fn each_address_that_credentials_go_to_is_looked_at() {
        let key = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
        let provider = json!({ "http": { "url": "http://api.example.com" } });
        assert_eq!(told(json!({ "provider": provider })), [""; 0], "nothing is proved there");
        let bearer = json!({ "provider": provider, "auth": { "bearer": { "token": key } } });
        assert_eq!(told(bearer), ["spec.provider.http.url"]);
        let oauth2 = json!({
            "grant": "AuthorizationCode", "tokenUrl": "http://id.example.com/t", "clientId": { "value": "c" },
            "authorizationUrl": "http://id.example.com/a",
        });
        let hubspot = json!({ "hubspot": { "object": "contacts", "url": "http://api.hubapi.com" } });
        assert_eq!(
            told(json!({ "provider": hubspot, "auth": { "oauth2": oauth2 } })),
            ["spec.provider.hubspot.url", "spec.auth.oauth2.tokenUrl", "spec.auth.oauth2.authorizationUrl"]
        );
    }

    #[test]
    fn what_hubspots_token_endpoint_would_refuse_is_told() {
        let key = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
        let spec = |url: &str, place: Option<&str>| {
            let oauth2 = json!({
                "grant": "RefreshToken", "tokenUrl": url, "clientId": { "value": "c" }, "refreshToken": key,
                "clientSecret": key, "clientSecretIn": place,
            });
            json!({ "provider": { "hubspot": { "object": "contacts" } }, "auth": { "oauth2": oauth2 } })
        };
        let (url, secret) = ("spec.auth.oauth2.tokenUrl", "spec.auth.oauth2.clientSecretIn");
        assert_eq!(told(spec("https://api.hubapi.com/oauth/v1/token", None)), [url, secret]);
        assert_eq!(told(spec("https://api.hubapi.com/oauth/v3/token", Some("Body"))), [""; 0]);
        assert_eq!(told(spec("https://id.example.com/oauth/v1/token", None)), [""; 0]);
    }
}
