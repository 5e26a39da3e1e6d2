//! How those who send to an HTTP address prove who they are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    secret_ref::{SecretKeyRef, SecretValue, Value},
};

/// How senders prove who they are: exactly one way. Several keys allow rotation.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.standardWebhooks), has(self.hmac), has(self.bearer), has(self.basic)].filter(given, given).size() == 1").message("give exactly one of standardWebhooks, hmac, bearer and basic"))]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Signatures as standardwebhooks.com describes them (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    pub standard_webhooks: Option<StandardWebhooks>,
    /// An HMAC over parts of the request, for senders with a form of their own.
    pub hmac: Option<Hmac>,
    /// A token in `Authorization: Bearer …`.
    pub bearer: Option<BearerVerification>,
    /// User name and password in `Authorization: Basic …`.
    pub basic: Option<BasicVerification>,
}

/// Standard Webhooks, version v1 (HMAC-SHA256).
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandardWebhooks {
    /// The signing secrets (`whsec_…`). Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Vec<SecretValue>,
    /// How far the sender's clock may be off, both ways. Default 5m.
    pub tolerance: Option<Duration>,
}

/// An HMAC over parts of the request.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!self.signed.exists(part, has(part.timestamp) && part.timestamp) || has(self.timestamp)").message("a signed timestamp needs the field timestamp, which names its header"))]
#[serde(rename_all = "camelCase")]
pub struct Hmac {
    /// The signing secrets. Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Vec<SecretValue>,
    /// How the secret's text becomes the key. Default Raw.
    pub secret_encoding: Option<SecretEncoding>,
    /// The hash. Default Sha256.
    pub algorithm: Option<HmacAlgorithm>,
    /// The header with the signature.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub header: String,
    /// What stands before the signature in the header, such as `sha256=`.
    #[schemars(length(max = 32))]
    pub prefix: Option<String>,
    /// How the signature is written. Default Hex.
    pub encoding: Option<SignatureEncoding>,
    /// What is signed, in order. Default: the body alone.
    #[schemars(length(max = 8))]
    pub signed: Option<Vec<SignedPart>>,
    /// What stands between the signed parts.
    #[schemars(length(max = 8))]
    pub separator: Option<String>,
    /// The header with the time of signing, and how old it may be. Without it a request can be replayed at any time.
    pub timestamp: Option<SignatureTimestamp>,
    /// The header with the sender's id of the event, equal for its repeats.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub id_header: Option<String>,
}

/// How a secret's text becomes the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretEncoding {
    /// The bytes as they are, but for one line break at the end.
    #[default]
    Raw,
    /// Base 64.
    Base64,
    /// Hexadecimal.
    Hex,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HmacAlgorithm {
    /// SHA-256
    #[default]
    Sha256,
    /// SHA-512
    Sha512,
    /// SHA-1, for senders that have nothing better.
    Sha1,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SignatureEncoding {
    /// Hexadecimal, in either case.
    #[default]
    Hex,
    /// Base 64, standard alphabet.
    Base64,
    /// Base 64, URL alphabet, without padding.
    Base64Url,
}

/// One signed part: exactly one field.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.body), has(self.method), has(self.path), has(self.timestamp), has(self.header), has(self.text)].filter(given, given).size() == 1").message("give exactly one of body, method, path, timestamp, header and text"))]
#[serde(rename_all = "camelCase")]
pub struct SignedPart {
    /// `true`: the raw bytes of the body.
    pub body: Option<bool>,
    /// `true`: the request method.
    pub method: Option<bool>,
    /// `true`: path and query as received.
    pub path: Option<bool>,
    /// `true`: the text of the timestamp header.
    pub timestamp: Option<bool>,
    /// The value of this header.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub header: Option<String>,
    /// This text.
    #[schemars(length(min = 1, max = 64))]
    pub text: Option<String>,
}

/// The time at which a request was signed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureTimestamp {
    /// The header with the time.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub header: String,
    /// How the time is written. Default Seconds.
    pub unit: Option<TimestampUnit>,
    /// How far it may be off, both ways. Default 5m.
    pub tolerance: Option<Duration>,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TimestampUnit {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339.
    Rfc3339,
}

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

impl Verification {
    /// Every Secret key that this verification needs.
    pub fn secret_keys(&self) -> Vec<&SecretKeyRef> {
        let Self { standard_webhooks, hmac, bearer, basic } = self;
        let mut keys: Vec<&SecretKeyRef> = Vec::new();
        keys.extend(standard_webhooks.iter().flat_map(|it| &it.secrets).map(SecretValue::key));
        keys.extend(hmac.iter().flat_map(|it| &it.secrets).map(SecretValue::key));
        keys.extend(bearer.iter().flat_map(|it| &it.tokens).map(SecretValue::key));
        if let Some(basic) = basic {
            keys.extend(basic.username.key());
            keys.extend(basic.passwords.iter().map(SecretValue::key));
        }
        keys
    }
}
