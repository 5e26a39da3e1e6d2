//! The generic HMAC verification of a webhook: every part of the scheme is said.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, secret_ref::SecretValue};

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
    /// What stands between several values of the header, of which any with the prefix may fit, such as `,`. Default: the
    /// header is one value.
    #[schemars(length(min = 1, max = 4))]
    pub list_separator: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.body), has(self.method), has(self.path), has(self.url), has(self.timestamp), has(self.header), has(self.text)].filter(given, given).size() == 1").message("give exactly one of body, method, path, url, timestamp, header and text"))]
#[serde(rename_all = "camelCase")]
pub struct SignedPart {
    /// `true`: the raw bytes of the body.
    pub body: Option<bool>,
    /// `true`: the request method.
    pub method: Option<bool>,
    /// `true`: path and query as received.
    pub path: Option<bool>,
    /// `true`: the address that the sender called: `webhook.publicUrl` with the query as received.
    pub url: Option<bool>,
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
    /// What stands before the time in the header, such as `t=` where it shares a list with the signatures.
    #[schemars(length(max = 32))]
    pub prefix: Option<String>,
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
