//! Any HTTP API.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::{SecretKeyRef, ValueSource};

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
