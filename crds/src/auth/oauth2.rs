//! OAuth 2.0 as a client: which grant, and how the client proves itself to the token endpoint.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use crate::{
    duration::Duration,
    secret_ref::{SecretKeyRef, SecretValue, Value},
};

/// An access token of an OAuth 2.0 authorization server (RFC 6749), sent as `Authorization: Bearer …`. It is fetched when it
/// is first needed, kept, and renewed before it expires.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.tokenUrl) != has(self.issuer)").message("give exactly one of tokenUrl and issuer"))]
#[x_kube(validation = Rule::new("[has(self.clientSecret), has(self.clientAssertion)].filter(given, given).size() <= 1").message("give at most one of clientSecret and clientAssertion"))]
#[x_kube(validation = Rule::new("!has(self.clientSecretIn) || has(self.clientSecret)").message("clientSecretIn needs a clientSecret"))]
#[x_kube(validation = Rule::new("self.grant != 'ClientCredentials' || has(self.clientSecret) || has(self.clientAssertion) || (has(self.tls) && has(self.tls.clientCertificateRef))").message("the grant ClientCredentials needs a clientSecret, a clientAssertion or tls.clientCertificateRef"))]
#[x_kube(validation = Rule::new("(self.grant == 'JwtBearer') == has(self.assertion)").message("assertion is for the grant JwtBearer, which needs it"))]
#[x_kube(validation = Rule::new("(self.grant == 'RefreshToken') == has(self.refreshToken)").message("refreshToken is for the grant RefreshToken, which needs it"))]
#[x_kube(validation = Rule::new("self.grant == 'AuthorizationCode' ? (has(self.authorizationUrl) || has(self.issuer)) : !has(self.authorizationUrl)").message("authorizationUrl is for the grant AuthorizationCode, which needs it or an issuer"))]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// How a token is got.
    pub grant: Grant,
    /// The token endpoint.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s#]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("tokenUrl must not hold credentials"))]
    pub token_url: Option<String>,
    /// The authorization server's issuer identifier, where it publishes its endpoints below
    /// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s?#]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("issuer must not hold credentials"))]
    pub issuer: Option<String>,
    /// The client id.
    pub client_id: Value,
    /// The client secret.
    pub client_secret: Option<SecretValue>,
    /// Where the client secret is put. Default Header.
    pub client_secret_in: Option<ClientSecretPlace>,
    /// A signed statement instead of a secret (`private_key_jwt`, OpenID Connect Core 1.0 §9).
    pub client_assertion: Option<ClientAssertion>,
    /// The statement that the grant JwtBearer sends.
    pub assertion: Option<JwtBearer>,
    /// The refresh token to begin with, for the grant RefreshToken. What it is exchanged for later is kept by the operator; a
    /// changed one is used anew.
    pub refresh_token: Option<SecretValue>,
    /// Where a person consents, for the grant AuthorizationCode. Default what the issuer tells.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s#]+$"))]
    pub authorization_url: Option<String>,
    /// Certificates for the token endpoint. A client certificate proves the client by itself (`tls_client_auth`, RFC 8705).
    pub tls: Option<Tls>,
    /// Scopes to ask for.
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = r"^[^\s]+$")))]
    pub scopes: Option<Vec<String>>,
    /// The `audience` parameter, which some servers need.
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
    /// Further parameters of the token request.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parameters: Option<Vec<TokenParameter>>,
    /// How long before its end a token is renewed. Default a tenth of its life, at most 5m.
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("refreshBefore must be at most 24h"))]
    pub refresh_before: Option<Duration>,
    /// How long a token is used whose end the server does not tell. Default 30m; a 401 ends it earlier.
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('168h')").message("maxAge must be at least 10s and at most 168h"))]
    pub max_age: Option<Duration>,
}

/// How a token is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Grant {
    /// The client asks for itself (RFC 6749 §4.4).
    ClientCredentials,
    /// The client shows a signed statement about whom it acts for (RFC 7523 §2.1).
    JwtBearer,
    /// The client shows a refresh token that a person's consent gave (RFC 6749 §6). The operator alone does that, since a
    /// refresh token may be good for one use.
    RefreshToken,
    /// A person consents by `ropeway login` (RFC 6749 §4.1 with RFC 7636); from then on as RefreshToken.
    AuthorizationCode,
}

impl Grant {
    /// The value of `grant_type`.
    pub const fn grant_type(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::RefreshToken => "refresh_token",
            Self::AuthorizationCode => "authorization_code",
        }
    }

    /// Whether the operator gets the tokens, and not each worker for itself.
    pub const fn is_brokered(self) -> bool {
        matches!(self, Self::RefreshToken | Self::AuthorizationCode)
    }
}

/// Where a client secret is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientSecretPlace {
    /// `Authorization: Basic …` (`client_secret_basic`), form-encoded first as RFC 6749 §2.3.1 has it.
    #[default]
    Header,
    /// The form (`client_secret_post`).
    Body,
}

/// A parameter of a token request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenParameter {
    /// Its name. Those that Ropeway sets itself can't be replaced.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_.:a-zA-Z0-9]+$"))]
    pub name: String,
    /// Its value. Never a secret.
    #[schemars(length(max = 2048))]
    pub value: String,
}

/// A statement by which the client proves itself.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientAssertion {
    /// The private key, in PEM.
    pub key: SecretValue,
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// The key's id at the server (`kid`).
    #[schemars(length(min = 1, max = 256))]
    pub key_id: Option<String>,
    /// The `aud` claim. Default the token endpoint's address.
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
}

/// A statement about whom the client acts for.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtBearer {
    /// The private key, in PEM.
    pub key: SecretValue,
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// The key's id at the server (`kid`).
    #[schemars(length(min = 1, max = 256))]
    pub key_id: Option<String>,
    /// The `sub` claim: the user for whom the client acts.
    pub subject: Value,
    /// The `iss` claim. Default the client id.
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
    /// The `aud` claim. Default the token endpoint's address.
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
}

/// How a statement is signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// The value of `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl OAuth2 {
    /// Every Secret key that a token request needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let Self { client_id, client_secret, client_assertion, assertion, refresh_token, tls, .. } = self;
        let mut keys: Vec<SecretKeyRef> = client_id.key().into_iter().cloned().collect();
        keys.extend(client_secret.iter().filter_map(|secret| secret.key().cloned()));
        keys.extend(client_assertion.iter().filter_map(|assertion| assertion.key.key().cloned()));
        keys.extend(refresh_token.iter().filter_map(|token| token.key().cloned()));
        if let Some(assertion) = assertion {
            keys.extend(assertion.key.key().cloned());
            keys.extend(assertion.subject.key().cloned());
        }
        keys.extend(tls.iter().flat_map(Tls::secret_keys));
        keys
    }

    /// Where it asks for a token, or how that is found out: never a secret.
    pub fn server(&self) -> &str {
        self.token_url.as_deref().or(self.issuer.as_deref()).unwrap_or_default()
    }
}
