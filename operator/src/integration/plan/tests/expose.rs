//! What makes an address reachable from outside.

use ropeway_crds::duration::ByteSize;
use serde_json::{Value, json};

use super::{super::*, address, resolved, settings};
use crate::integration::resolve::{Address, ResolvedSource};

fn planned(address: Address) -> Plan {
    let source = ResolvedSource::Events { max_bytes: ByteSize::mebibytes(2), replicas: 1, address: Some(address) };
    plan(&Resolved { source, ..resolved() }, &settings())
}

fn written(plan: &Plan) -> Value {
    match plan.exposure.as_ref().unwrap() {
        Exposure::Ingress(ingress) => serde_json::to_value(ingress).unwrap(),
        Exposure::HttpRoute(route) => serde_json::to_value(route).unwrap(),
    }
}

#[test]
fn an_ingress_leads_the_path_alone_to_the_service() {
    let plain = planned(address(Some(json!({ "ingress": { "host": "hooks.example.com" } }))));
    let secured = planned(address(Some(json!({ "ingress": {
        "host": "hooks.example.com", "ingressClassName": "nginx", "tls": { "secretName": "hooks-tls" },
        "annotations": { "cert-manager.io/cluster-issuer": "letsencrypt" },
    } }))));
    assert_eq!(plain.endpoint.as_deref(), Some("http://hooks.example.com/in"));
    assert_eq!(secured.endpoint.as_deref(), Some("https://hooks.example.com/in"));
    let backend = json!({ "service": { "name": "ropeway-signups", "port": { "name": "http" } } });
    let path = json!({ "path": "/in", "pathType": "Exact", "backend": backend });
    let rules = json!([{ "host": "hooks.example.com", "http": { "paths": [path] } }]);
    assert_eq!(written(&plain)["spec"], json!({ "rules": rules }));
    let ingress = written(&secured);
    assert_eq!((&ingress["apiVersion"], &ingress["kind"]), (&json!("networking.k8s.io/v1"), &json!("Ingress")));
    let tls = json!([{ "hosts": ["hooks.example.com"], "secretName": "hooks-tls" }]);
    assert_eq!(ingress["spec"], json!({ "ingressClassName": "nginx", "rules": rules, "tls": tls }));
    assert_eq!(ingress["metadata"]["annotations"], json!({ "cert-manager.io/cluster-issuer": "letsencrypt" }));
    assert_eq!(ingress["metadata"]["name"], "ropeway-signups");
    assert_eq!(ingress["metadata"]["labels"]["ropeway.dev/uid"], "iu");
    assert_eq!(ingress["metadata"]["ownerReferences"][0]["uid"], "iu");
    assert_eq!(plain.config, secured.config, "workers are not started anew for it");
}

#[test]
fn a_route_of_the_gateway_api_does_the_same() {
    let plan = planned(address(Some(json!({ "httpRoute": {
        "parentRefs": [{ "name": "public", "namespace": "edge", "sectionName": "https", "port": 443 }],
        "hostnames": ["hooks.example.com", "hooks.example.org"],
    } }))));
    assert_eq!(plan.endpoint.as_deref(), Some("https://hooks.example.com/in"));
    let route = written(&plan);
    assert_eq!((&route["apiVersion"], &route["kind"]), (&json!("gateway.networking.k8s.io/v1"), &json!("HTTPRoute")));
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{ "name": "public", "namespace": "edge", "sectionName": "https", "port": 443 }],
            "hostnames": ["hooks.example.com", "hooks.example.org"],
            "rules": [{
                "matches": [{ "path": { "type": "Exact", "value": "/in" } }],
                "backendRefs": [{ "name": "ropeway-signups", "port": 80 }],
            }],
        })
    );
    assert_eq!(route["metadata"]["ownerReferences"][0]["uid"], "iu");
}

#[test]
fn what_the_user_says_is_shown_before_what_is_exposed() {
    let exposed = address(Some(json!({ "ingress": { "host": "internal.example.com" } })));
    let plan = planned(Address { public_url: Some("https://edge.example.com/crm".into()), ..exposed });
    assert_eq!(plan.endpoint.as_deref(), Some("https://edge.example.com/crm"));
    assert_eq!(planned(address(None)).exposure, None);
}
