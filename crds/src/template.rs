//! What a user may say about the worker pods: an allow-list. Image, command, volumes and security context are not on it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What may be said about the worker pods.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Labels of the pods, beside Ropeway's own.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('ropeway.dev/') && !key.startsWith('app.kubernetes.io/'))").message("labels below ropeway.dev/ and app.kubernetes.io/ are set by Ropeway"))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the pods.
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Requests and limits of the worker container.
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have.
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pods tolerate.
    #[schemars(length(max = 32))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Which nodes and neighbours the pods prefer.
    pub affinity: Option<Affinity>,
    /// How the pods spread.
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The pods' service account. It must carry the annotation `ropeway.dev/workers: allowed`. Its token is not mounted.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
}
