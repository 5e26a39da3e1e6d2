//! What a Destination speaks: the union of providers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::{SecretKeyRef, SecretSource};

/// What the Destination is: exactly one provider.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.http)").message("give exactly one provider: http"))]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Any HTTP API that takes one JSON record a request.
    pub http: Option<HttpProvider>,
}

impl Provider {
    /// The provider's name as the column PROVIDER shows it.
    pub fn name(&self) -> &'static str {
        let Self { http } = self;
        match http {
            Some(_) => "http",
            None => "none",
        }
    }
}

/// Any HTTP API that takes one JSON record a request: the record is the body.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProvider {
    /// The address, `https://…` or `http://…`. It must not hold credentials: those belong in `auth`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials; put them in auth"))]
    pub url: String,
    /// The request method. Default Post.
    pub method: Option<HttpMethod>,
    /// Headers of every request, beside the ones that Ropeway sets itself.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Option<Vec<HttpHeader>>,
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
    pub value_from: Option<SecretSource>,
}

impl HttpProvider {
    /// Every Secret key that the headers need.
    pub fn secret_keys(&self) -> impl Iterator<Item = &SecretKeyRef> {
        self.headers
            .iter()
            .flatten()
            .filter_map(|header| header.value_from.as_ref())
            .map(|source| &source.secret_key_ref)
    }
}
