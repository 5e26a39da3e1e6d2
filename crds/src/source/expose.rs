//! How an address is reached from outside the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an address is reached from outside the cluster: exactly one way.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.ingress), has(self.httpRoute)].filter(given, given).size() == 1").message("give exactly one of ingress and httpRoute"))]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// An Ingress, which the operator makes and keeps.
    pub ingress: Option<ExposeIngress>,
    /// An HTTPRoute of the Gateway API, which the operator makes and keeps.
    pub http_route: Option<ExposeHttpRoute>,
}

/// An Ingress for the path of the source and nothing else.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposeIngress {
    /// The host that senders call.
    pub host: Hostname,
    /// The class of the controller that serves it. Default: the cluster's default class.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub ingress_class_name: Option<String>,
    /// TLS that the ingress controller ends. Default: none, and the address begins with `http`.
    pub tls: Option<ExposeTls>,
    /// Annotations of the Ingress, which most controllers are configured by.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('ropeway.dev/') && !key.contains('.ropeway.dev/'))").message("annotations below ropeway.dev/ are Ropeway's own"))]
    pub annotations: Option<BTreeMap<String, AnnotationValue>>,
}

/// TLS that an ingress controller ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposeTls {
    /// Name of the Secret of type `kubernetes.io/tls` with the certificate, in this namespace. The ingress controller reads
    /// it, and cert-manager may write it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// An HTTPRoute for the path of the source and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposeHttpRoute {
    /// The Gateways that serve it.
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<ParentGateway>,
    /// The hosts that senders call. The first one is shown in the status and is what senders sign that sign the address.
    #[schemars(length(min = 1, max = 16))]
    pub hostnames: Vec<Hostname>,
}

/// A Gateway.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentGateway {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace, if it is another one.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Name of the listener. Default: all that take it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub section_name: Option<String>,
    /// Port of the listeners. Default: any.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// The full name of a host, without wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hostname(pub String);

impl JsonSchema for Hostname {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hostname".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "minLength": 1, "maxLength": 253,
            "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        })
    }
}

/// The value of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnnotationValue(pub String);

impl JsonSchema for AnnotationValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnnotationValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 4096 })
    }
}

impl Expose {
    /// The address that senders call, for a path. A Gateway's listeners are not looked at: TLS is assumed there.
    pub fn address(&self, path: &str) -> Option<String> {
        if let Some(ingress) = &self.ingress {
            let scheme = if ingress.tls.is_some() { "https" } else { "http" };
            return Some(format!("{scheme}://{}{path}", ingress.host.0));
        }
        let host = self.http_route.as_ref()?.hostnames.first()?;
        Some(format!("https://{}{path}", host.0))
    }
}
