//! What a Destination speaks: the union of providers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::{SecretKeyRef, SecretValue, ValueSource};

/// What the Destination is: exactly one provider.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.webhook), has(self.nats)].filter(given, given).size() == 1").message("give exactly one provider: http, webhook or nats"))]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Any HTTP API.
    pub http: Option<HttpProvider>,
    /// A webhook of somebody else, signed as Standard Webhooks says.
    pub webhook: Option<WebhookProvider>,
    /// A subject of a stream on the same NATS.
    pub nats: Option<NatsProvider>,
}

impl Provider {
    /// The provider's name as the column PROVIDER shows it.
    pub fn name(&self) -> &'static str {
        let Self { http, webhook, nats } = self;
        match (http, webhook, nats) {
            (Some(_), _, _) => "http",
            (_, Some(_), _) => "webhook",
            (_, _, Some(_)) => "nats",
            (None, None, None) => "none",
        }
    }

    /// Whether one request can hold several records.
    pub fn batches(&self) -> bool {
        let format = self.http.as_ref().map(|http| http.format.unwrap_or_default());
        matches!(format, Some(HttpFormat::JsonArray | HttpFormat::Ndjson))
    }

    /// Every Secret key that the provider itself needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let Self { http, webhook, nats: _ } = self;
        let http = http.iter().flat_map(HttpProvider::secret_keys);
        let webhook = webhook.iter().flat_map(|webhook| &webhook.signing.keys).filter_map(SecretValue::key);
        http.chain(webhook).cloned().collect()
    }
}

/// A webhook of somebody else: each record is one message, signed as Standard Webhooks 1.0 says, with the id that stays
/// the same over all attempts in `webhook-id`. An answer of 410 holds the destination.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookProvider {
    /// The address, `https://…` or `http://…`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials"))]
    pub url: String,
    /// How messages are signed.
    pub signing: Signing,
}

/// The keys that messages are signed with. Each gives one signature, so that a receiver can change over without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// `whsec_…` signs with HMAC-SHA256 (v1), `whsk_…` with Ed25519 (v1a). The rest of the text is base 64.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<SecretValue>,
}

/// A subject that a stream on the same NATS takes in. A record is delivered when that stream has acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsProvider {
    /// The subject, without wildcards.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s.*>]+(\.[^\s.*>]+)*$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('$') && !self.startsWith('_INBOX.') && self != 'ropeway' && !self.startsWith('ropeway.')").message("subject must not be one of NATS' or Ropeway's own"))]
    pub subject: String,
}

/// Any HTTP API.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProvider {
    /// The address, `https://…` or `http://…`. It must not hold credentials: those belong in `auth`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials; put them in auth"))]
    pub url: String,
    /// What stands in the body. Default Json. JsonArray and Ndjson hold several records, see `batching`.
    pub format: Option<HttpFormat>,
    /// The request method. Default Post.
    pub method: Option<HttpMethod>,
    /// Headers of every request, beside the ones that Ropeway sets itself.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Option<Vec<HttpHeader>>,
}

/// What stands in the body of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpFormat {
    /// One record.
    #[default]
    Json,
    /// Records in a JSON array.
    JsonArray,
    /// Records as JSON, one a line.
    Ndjson,
    /// One record as the data of a CloudEvent, its attributes in headers (CloudEvents HTTP binding, binary mode).
    CloudEventsBinary,
    /// One record as the data of a CloudEvent in JSON (structured mode).
    CloudEventsStructured,
}

/// The request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpMethod {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
}

/// One header of every request.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("give exactly one of value and valueFrom"))]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name of the header. Those that belong to the connection or to Ropeway (`Host`, `Content-Length`, `Authorization`, …) are refused.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['host', 'content-length', 'transfer-encoding', 'connection', 'authorization', 'content-type'])").message("this header is set by Ropeway; credentials belong in auth"))]
    pub name: String,
    /// The value itself. Only for what is not secret.
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
    /// Where the value comes from.
    pub value_from: Option<ValueSource>,
}

impl HttpProvider {
    /// Every Secret key that the headers need.
    pub fn secret_keys(&self) -> impl Iterator<Item = &SecretKeyRef> {
        self.headers.iter().flatten().filter_map(HttpHeader::key)
    }
}

impl HttpHeader {
    /// The Secret key behind its value, if it comes from one.
    pub fn key(&self) -> Option<&SecretKeyRef> {
        self.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref())
    }
}
