//! What makes an address reachable from outside the cluster: an Ingress or an HTTPRoute to the Service.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use kube::{CustomResource, Resource as _, api::ObjectMeta};
use ropeway_crds::{
    names,
    source::{Expose, ExposeHttpRoute, ExposeIngress, ParentGateway},
    worker_config::SourceConfig,
};
use serde::{Deserialize, Serialize};

use super::{
    Plan,
    deployment::INTAKE_PORT_NAME,
    meta,
    service::{self, PORT},
};
use crate::integration::resolve::{Address, Identity};

/// What exposes an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Exposure {
    /// An Ingress.
    Ingress(Box<Ingress>),
    /// An HTTPRoute.
    HttpRoute(Box<HttpRoute>),
}

/// The part of an HTTPRoute that Ropeway writes. Its CRD is the Gateway API's and may be missing in a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    root = "HttpRoute",
    status = "HttpRouteStatus",
    namespaced,
    derive = "PartialEq",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways that serve it.
    pub parent_refs: Vec<ParentGateway>,
    /// The hosts.
    pub hostnames: Vec<String>,
    /// One rule: the path of the source leads to its Service.
    pub rules: Vec<RouteRule>,
}

/// What the controllers of Gateways say of an HTTPRoute, as far as Ropeway reads it. They are others' programs: what is
/// missing is no error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpRouteStatus {
    /// One for each Gateway and controller.
    pub parents: Vec<RouteParent>,
}

/// What one controller says of an HTTPRoute at one Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParent {
    /// The Gateway, as the route names it.
    pub parent_ref: RouteParentRef,
    /// The controller.
    pub controller_name: String,
    /// What it says: `Accepted`, `ResolvedRefs` and others.
    pub conditions: Vec<RouteCondition>,
}

/// The Gateway that a status is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParentRef {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the route where there is none.
    pub namespace: Option<String>,
    /// The listener that is meant.
    pub section_name: Option<String>,
    /// The port that is meant.
    pub port: Option<i32>,
}

/// A condition of an HTTPRoute at a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The generation of the route that was looked at.
    pub observed_generation: Option<i64>,
}

/// What leads where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Which requests.
    pub matches: Vec<RouteMatch>,
    /// To which Service.
    pub backend_refs: Vec<RouteBackend>,
}

/// Which requests are meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// Their path.
    pub path: RoutePath,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutePath {
    /// Always `Exact`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The path.
    pub value: String,
}

/// A Service that requests are sent to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteBackend {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
}

/// What exposes an address, where that is wished.
pub fn exposure(identity: &Identity, address: &Address) -> Option<Exposure> {
    let Expose { ingress, http_route } = address.expose.as_ref()?;
    match (ingress, http_route) {
        (Some(wished), None) => Some(Exposure::Ingress(Box::new(self::ingress(identity, &address.path, wished)))),
        (None, Some(wished)) => Some(Exposure::HttpRoute(Box::new(route(identity, &address.path, wished)))),
        _ => None,
    }
}

/// The field that says how the address is reached.
pub fn field(plan: &Plan) -> &'static str {
    match plan.config.integrations.first().map(|integration| &integration.source) {
        Some(SourceConfig::Request { .. }) => "spec.source.request.expose",
        _ => "spec.source.webhook.expose",
    }
}

/// The address that senders call: what the user says, else what is exposed, else the one inside the cluster.
pub fn endpoint(identity: &Identity, address: &Address) -> String {
    let exposed = || address.expose.as_ref().and_then(|expose| expose.address(&address.path));
    let given = address.public_url.clone().or_else(exposed);
    given.unwrap_or_else(|| service::endpoint(identity, &address.path))
}

fn ingress(identity: &Identity, path: &str, wished: &ExposeIngress) -> Ingress {
    let ExposeIngress { host, ingress_class_name, tls, annotations } = wished;
    let service = IngressServiceBackend {
        name: names::child(&identity.name),
        port: Some(ServiceBackendPort { name: Some(INTAKE_PORT_NAME.into()), number: None }),
    };
    let path = HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: "Exact".into(),
        backend: IngressBackend { service: Some(service), resource: None },
    };
    let annotations = annotations.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let tls = tls
        .as_ref()
        .map(|tls| IngressTLS { hosts: Some(vec![host.0.clone()]), secret_name: Some(tls.secret_name.clone()) });
    Ingress {
        metadata: ObjectMeta { annotations: Some(annotations), ..meta::child(identity, names::child(&identity.name)) },
        spec: Some(IngressSpec {
            ingress_class_name: ingress_class_name.clone(),
            tls: tls.map(|tls| vec![tls]),
            rules: Some(vec![IngressRule {
                host: Some(host.0.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            ..IngressSpec::default()
        }),
        status: None,
    }
}

fn route(identity: &Identity, path: &str, wished: &ExposeHttpRoute) -> HttpRoute {
    let ExposeHttpRoute { parent_refs, hostnames } = wished;
    let path = RoutePath { kind: "Exact".into(), value: path.to_owned() };
    let spec = HttpRouteSpec {
        parent_refs: parent_refs.clone(),
        hostnames: hostnames.iter().map(|host| host.0.clone()).collect(),
        rules: vec![RouteRule {
            matches: vec![RouteMatch { path }],
            backend_refs: vec![RouteBackend { name: names::child(&identity.name), port: PORT }],
        }],
    };
    let mut route = HttpRoute::new("", spec);
    *route.meta_mut() = meta::child(identity, names::child(&identity.name));
    route
}
