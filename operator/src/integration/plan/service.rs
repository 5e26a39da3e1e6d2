//! The Service in front of the workers of a source that is sent to.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use ropeway_crds::names;

use super::{deployment::INTAKE_PORT_NAME, meta};
use crate::integration::resolve::Identity;

/// The port of the Service.
pub const PORT: i32 = 80;

/// The Service of an Integration.
pub fn service(identity: &Identity) -> Service {
    Service {
        metadata: meta::child(identity, names::child(&identity.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(meta::selector(identity)),
            ports: Some(vec![ServicePort {
                name: Some(INTAKE_PORT_NAME.into()),
                port: PORT,
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String(INTAKE_PORT_NAME.into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Where events are sent to, inside the cluster.
pub fn endpoint(identity: &Identity, path: &str) -> String {
    format!("http://{}.{}.svc{path}", names::child(&identity.name), identity.namespace)
}
