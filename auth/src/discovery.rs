//! What an issuer publishes about itself (OpenID Connect Discovery 1.0, RFC 8414).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::Deserialize;

use crate::http::{HttpDoor, Request, SendFailure};

/// Where an issuer's endpoints are.
#[derive(Clone, Debug, Deserialize)]
pub struct Issuer {
    /// Who it says it is.
    issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: Option<String>,
    /// Where a person gives consent.
    pub authorization_endpoint: Option<String>,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
}

/// Why nothing was found out. No text holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DiscoveryError(pub String);

/// Asks an issuer where its endpoints are.
///
/// # Errors
/// If it can't be asked, or is not who it says.
pub async fn discover(door: &HttpDoor, issuer: &str, deadline: Duration) -> Result<Issuer, DiscoveryError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let found: Issuer = fetch(door, &address, deadline).await?;
    // Another issuer's endpoints would be given our credentials.
    if found.issuer != issuer {
        return Err(DiscoveryError("its configuration is another issuer's".into()));
    }
    let told = [&found.token_endpoint, &found.authorization_endpoint, &found.jwks_uri];
    let open = told.into_iter().flatten().any(|address| !address.starts_with("https://"));
    if open && issuer.starts_with("https://") {
        return Err(DiscoveryError("it names an address without TLS".into()));
    }
    Ok(found)
}

/// Fetches a JSON document.
///
/// # Errors
/// If it can't be fetched, or is not what it should be.
pub async fn fetch<T: serde::de::DeserializeOwned>(
    door: &HttpDoor,
    address: &str,
    deadline: Duration,
) -> Result<T, DiscoveryError> {
    let uri = Uri::try_from(address).map_err(|_| DiscoveryError("an address of the issuer is no URL".into()))?;
    let request = Request { method: Method::GET, uri, headers: HeaderMap::new(), body: Bytes::new() };
    let answer = door.send(request, deadline).await.map_err(|failure| {
        DiscoveryError(match failure {
            SendFailure::Address(refused) => refused.to_string(),
            SendFailure::Configuration(why) | SendFailure::Transport(why) => why,
        })
    })?;
    match answer.status.is_success() {
        true => serde_json::from_slice(&answer.body)
            .map_err(|_| DiscoveryError("the answer is not what it should be".into())),
        false => Err(DiscoveryError(format!("the answer is {}", answer.status.as_u16()))),
    }
}
