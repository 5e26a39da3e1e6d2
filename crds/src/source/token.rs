//! Senders that prove who they are by something they hold: a token, a password, a key, a certificate.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    secret_ref::{SecretKeyRef, SecretValue, Value},
};

/// A token in `Authorization: Bearer …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BearerVerification {
    /// The tokens. Any of them is accepted.
    #[schemars(length(min = 1, max = 4))]
    pub tokens: Vec<SecretValue>,
}

/// User name and password in `Authorization: Basic …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicVerification {
    /// The user name.
    pub username: Value,
    /// The passwords. Any of them is accepted.
    #[schemars(length(min = 1, max = 4))]
    pub passwords: Vec<SecretValue>,
}

/// A key in a header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyVerification {
    /// Where the key is.
    #[serde(rename = "in")]
    pub place: ApiKeyPlace,
    /// Name of the header or query parameter.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_.a-zA-Z0-9]+$"))]
    pub name: String,
    /// The keys. Any of them is accepted.
    #[schemars(length(min = 1, max = 4))]
    pub values: Vec<SecretValue>,
}

/// Where a sender puts its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiKeyPlace {
    /// A header.
    Header,
    /// A query parameter. Proxies on the way may log it.
    Query,
}

/// A JSON Web Token (RFC 7519) that an issuer signed, such as one of OpenID Connect.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtVerification {
    /// The issuer, exactly as the token's `iss` has it.
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: String,
    /// The audiences, one of which the token's `aud` must have.
    #[schemars(length(min = 1, max = 8))]
    pub audiences: Vec<ShortText>,
    /// The subjects, one of which the token's `sub` must be. Default: any subject.
    #[schemars(length(min = 1, max = 32))]
    pub subjects: Option<Vec<ShortText>>,
    /// The address of the issuer's keys (JWKS). Default: what `<issuer>/.well-known/openid-configuration` says.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+[^\s#]*$"))]
    pub jwks_url: Option<String>,
    /// A key of a Secret with PEM certificates of authorities that are trusted for that address beside the public ones.
    pub ca_ref: Option<SecretKeyRef>,
    /// The signature algorithms that are accepted. Default: RS256 and ES256.
    #[schemars(length(min = 1, max = 8))]
    pub algorithms: Option<Vec<JwtAlgorithm>>,
    /// How far the issuer's clock may be off. Default 1m.
    pub clock_skew: Option<Duration>,
}

/// A text of at most 1024 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortText(pub String);

impl JsonSchema for ShortText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ShortText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024 })
    }
}

/// A signature algorithm with a public key (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512
    Rs512,
    /// RSASSA-PSS with SHA-256
    Ps256,
    /// RSASSA-PSS with SHA-384
    Ps384,
    /// RSASSA-PSS with SHA-512
    Ps512,
    /// ECDSA with P-256 and SHA-256
    Es256,
    /// ECDSA with P-384 and SHA-384
    Es384,
    /// Ed25519
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A client certificate: shown to the worker, or to a proxy before it that hands it on.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MtlsVerification {
    /// A key of a Secret with the PEM certificates of the authorities that sign senders' certificates.
    pub ca_ref: SecretKeyRef,
    /// DNS names or URIs, one of which must be among the certificate's subject alternative names. Default: any certificate of
    /// those authorities.
    #[schemars(length(min = 1, max = 32))]
    pub allowed_names: Option<Vec<ShortText>>,
    /// Where the certificate is handed on by a proxy. Without it the worker itself is connected to by TLS, with the
    /// certificate of `webhook.tls`.
    pub proxy: Option<CertificateProxy>,
}

/// A proxy that ends TLS before the worker and hands the client's certificate on in a header. The worker checks it against
/// the authorities all the same; that the client holds its key, only the proxy has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateProxy {
    /// The header, such as `ssl-client-cert` (ingress-nginx) or `x-forwarded-client-cert` (Envoy).
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub header: String,
    /// How it is written there.
    pub format: CertificateFormat,
    /// The addresses of the proxies (CIDR). The header of anybody else is refused.
    #[schemars(length(min = 1, max = 32))]
    pub trusted_ranges: Vec<ShortText>,
}

/// How a certificate is written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CertificateFormat {
    /// PEM, percent-encoded.
    UrlEncodedPem,
    /// Envoy's list of elements; `Cert` of the last one counts, which the nearest proxy wrote.
    Xfcc,
    /// RFC 9440: DER in base 64 between colons.
    Rfc9440,
}
