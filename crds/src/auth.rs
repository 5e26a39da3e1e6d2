//! How a Destination proves who we are.

mod oauth2;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    azure::AzureIdentity,
    secret_ref::{SecretKeyRef, SecretNameRef, SecretValue, Value},
};

pub use oauth2::{ClientAssertion, ClientSecretPlace, Grant, JwtBearer, OAuth2, SigningAlgorithm, TokenParameter};

/// The credentials of a Destination: exactly one kind.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.bearer), has(self.basic), has(self.apiKey), has(self.oauth2), has(self.azure), has(self.destinationRef)].filter(given, given).size() == 1").message("give exactly one of bearer, basic, apiKey, oauth2, azure and destinationRef"))]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// A token in `Authorization: Bearer …` (RFC 6750).
    pub bearer: Option<BearerAuth>,
    /// User name and password in `Authorization: Basic …` (RFC 7617).
    pub basic: Option<BasicAuth>,
    /// A key in a header, a query parameter or a field of the JSON body.
    pub api_key: Option<ApiKeyAuth>,
    /// An access token of an OAuth 2.0 authorization server.
    #[serde(rename = "oauth2")]
    pub oauth2: Option<OAuth2>,
    /// An access token of Microsoft Entra ID.
    #[x_kube(validation = Rule::new("has(self.scope)").message("azure needs a scope, as https://RESOURCE/.default"))]
    pub azure: Option<AzureIdentity>,
    /// The access token of another Destination in this namespace, whose grant is RefreshToken or AuthorizationCode: one consent
    /// serves several Destinations and sources.
    pub destination_ref: Option<DestinationRef>,
}

/// One Destination, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRef {
    /// Name of the Destination.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BearerAuth {
    /// The token, without the word `Bearer`.
    pub token: SecretValue,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The user name. Some vendors take a key here and an empty password.
    pub username: Value,
    /// The password. Leave it out where the vendor takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyAuth {
    /// Where the key is put.
    #[serde(rename = "in")]
    pub place: ApiKeyPlace,
    /// Name of the header, the query parameter or the top-level field of the body.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_.a-zA-Z0-9]+$"))]
    pub name: String,
    /// The key.
    pub value: SecretValue,
}

/// Where an API key is put in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiKeyPlace {
    /// A header.
    Header,
    /// A query parameter. It is hidden wherever the URL is shown.
    Query,
    /// A top-level field of a JSON object body.
    Body,
}

impl Auth {
    /// The Destination whose access token this is, where the operator keeps it; `own` is the Destination that says so.
    pub fn token_holder<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        match &self.destination_ref {
            Some(other) => Some(&other.name),
            None => own.filter(|_| self.is_brokered()),
        }
    }

    /// Whether they are an access token that the operator keeps for this Destination.
    pub fn is_brokered(&self) -> bool {
        self.oauth2.as_ref().is_some_and(|oauth2| oauth2.grant.is_brokered())
    }

    /// The Secret keys that a worker needs: those of a refresh token are the operator's alone.
    pub fn worker_secret_keys(&self) -> Vec<SecretKeyRef> {
        if self.is_brokered() { Vec::new() } else { self.secret_keys() }
    }

    /// Every Secret key that these credentials need.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let Self { bearer, basic, api_key, oauth2, azure, destination_ref: _ } = self;
        let mut keys: Vec<&SecretKeyRef> = Vec::new();
        keys.extend(bearer.iter().filter_map(|bearer| bearer.token.key()));
        if let Some(basic) = basic {
            keys.extend(basic.username.key());
            keys.extend(basic.password.iter().filter_map(SecretValue::key));
        }
        keys.extend(api_key.iter().filter_map(|api_key| api_key.value.key()));
        let oauth2 = oauth2.iter().flat_map(OAuth2::secret_keys);
        keys.into_iter().cloned().chain(oauth2).chain(azure.iter().flat_map(AzureIdentity::secret_keys)).collect()
    }
}

/// Certificates beyond the public ones.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// A key of a Secret with PEM certificates of authorities that are trusted in addition to the public ones.
    pub ca_ref: Option<SecretKeyRef>,
    /// A Secret of type `kubernetes.io/tls` (`tls.crt`, `tls.key`) with the certificate that we present.
    pub client_certificate_ref: Option<SecretNameRef>,
    /// The name that the server's certificate must be for, and that is asked for in the handshake (SNI). Default the host of
    /// the address.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-.:a-zA-Z0-9]+$"))]
    pub server_name: Option<String>,
}

impl Tls {
    /// Every Secret key that these certificates need.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let certificate = self.client_certificate_ref.iter().flat_map(|secret| {
            ["tls.crt", "tls.key"].map(|key| SecretKeyRef { name: secret.name.clone(), key: key.into() })
        });
        self.ca_ref.iter().cloned().chain(certificate).collect()
    }
}
