//! An HTTP address that takes events.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{expose::Expose, token::ShortText, verification::Verification};
use crate::{
    duration::ByteSize,
    secret_ref::{SecretKeyRef, SecretNameRef},
};

/// An HTTP address that takes events.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.verification.hubspot) || has(self.publicUrl) || has(self.expose) || (has(self.verification.hubspot.version) && self.verification.hubspot.version == 'V1')").message("HubSpot signs the address that it calls: give it as publicUrl, or expose"))]
#[x_kube(validation = Rule::new("!has(self.verification.hmac) || !has(self.verification.hmac.signed) || !self.verification.hmac.signed.exists(part, has(part.url)) || has(self.publicUrl) || has(self.expose)").message("the signed part url needs publicUrl, or expose"))]
#[x_kube(validation = Rule::new("!has(self.verification.mtls) || has(self.verification.mtls.proxy) || has(self.tls)").message("mtls needs tls, or a proxy that hands the certificate on"))]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The path, such as `/hooks/signups`.
    #[schemars(length(min = 2, max = 256), regex(pattern = r"^(/[-._~a-zA-Z0-9]+)+$"))]
    pub path: String,
    /// How senders prove who they are.
    pub verification: Verification,
    /// The largest request body that is read. Default 256Ki; with `split` at most 4Mi, otherwise at most 256Ki, since one event
    /// may be no larger.
    pub max_body_bytes: Option<ByteSize>,
    /// A JSON pointer (RFC 6901) to an array in the body, each element of which is an event; empty where the body itself is
    /// the array. All of them are stored before the sender gets its 2xx.
    #[schemars(length(max = 256), regex(pattern = r"^(/[^/~]*(~[01][^/~]*)*)*$"))]
    pub split: Option<String>,
    /// The address that senders call, without a query, such as `https://hooks.example.com/hooks/signups`. It is shown in the
    /// status, and it is what HubSpot signs. Default: the address that `expose` makes.
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub public_url: Option<String>,
    /// Origins that may register this address by the CloudEvents handshake (an `OPTIONS` request with
    /// `WebHook-Request-Origin`); `*` allows any. Default: none.
    #[schemars(length(min = 1, max = 16))]
    pub allowed_origins: Option<Vec<ShortText>>,
    /// TLS that the worker itself ends. Default: the worker speaks HTTP, and an Ingress or a mesh before it ends TLS.
    pub tls: Option<WebhookTls>,
    /// How the address is reached from outside the cluster. Default: it is not; the Service is reached within the cluster.
    pub expose: Option<Expose>,
}

/// TLS that the worker ends. Requests without it are then refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTls {
    /// A Secret of type `kubernetes.io/tls` (`tls.crt`, `tls.key`) with the certificate that senders are shown. A renewed one
    /// is used without a restart.
    pub certificate_ref: SecretNameRef,
}

impl WebhookTls {
    /// The Secret keys that are needed.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let name = &self.certificate_ref.name;
        ["tls.crt", "tls.key"].map(|key| SecretKeyRef { name: name.clone(), key: key.into() }).into()
    }
}
