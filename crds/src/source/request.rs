//! An HTTP address whose callers get the destination's answer.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{expose::Expose, verification::Verification, webhook::WebhookTls};
use crate::{
    duration::{ByteSize, Duration},
    mapping::Mapping,
};

/// An HTTP address whose callers get the destination's answer. Nothing is stored and nothing is tried again.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.verification.hubspot) || has(self.publicUrl) || has(self.expose) || (has(self.verification.hubspot.version) && self.verification.hubspot.version == 'V1')").message("HubSpot signs the address that it calls: give it as publicUrl, or expose"))]
#[x_kube(validation = Rule::new("!has(self.verification.mtls) || has(self.verification.mtls.proxy) || has(self.tls)").message("mtls needs tls, or a proxy that hands the certificate on"))]
#[serde(rename_all = "camelCase")]
pub struct RequestSource {
    /// The path, such as `/quotes`.
    #[schemars(length(min = 2, max = 256), regex(pattern = r"^(/[-._~a-zA-Z0-9]+)+$"))]
    pub path: String,
    /// How callers prove who they are.
    pub verification: Verification,
    /// How long a caller waits at most: for a place within the destination's limits and for its answer. Default 15s, at
    /// most 2m. The destination's own `delivery.timeout` holds too.
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('2m')").message("timeout must be at least 100ms and at most 2m"))]
    pub timeout: Option<Duration>,
    /// Makes the caller's answer of the destination's: `.` is its `status`, `headers` and `body`. Default: status, content
    /// type and body are handed on as they came.
    pub reply: Option<Mapping>,
    /// The largest request body that is read. Default 256Ki, which is also the most.
    pub max_body_bytes: Option<ByteSize>,
    /// The address that callers use, without a query. It is shown in the status, and it is what HubSpot signs. Default: the
    /// address that `expose` makes.
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub public_url: Option<String>,
    /// TLS that the worker itself ends. Default: the worker speaks HTTP, and an Ingress or a mesh before it ends TLS.
    pub tls: Option<WebhookTls>,
    /// How the address is reached from outside the cluster. Default: it is not; the Service is reached within the cluster.
    pub expose: Option<Expose>,
}
