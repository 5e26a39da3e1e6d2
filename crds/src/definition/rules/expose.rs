//! The rules of how an address is reached from outside.

use serde_json::{Value, json};

use super::{check, integration, integration_errors, secret};

#[test]
fn rules_of_exposing() {
    let ingress = json!({ "ingress": { "host": "hooks.example.com" } });
    let route = json!({ "httpRoute": { "parentRefs": [{ "name": "public" }], "hostnames": ["hooks.example.com"] } });
    let both = json!({ "ingress": ingress["ingress"], "httpRoute": route["httpRoute"] });
    let annotated = |key: &str| json!({ "ingress": { "host": "hooks.example.com", "annotations": { key: "x" } } });
    let hubspot = |extra: Value| {
        let mut source = json!({ "path": "/x", "verification": { "hubspot": { "secrets": [secret()] } } });
        source.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        source
    };
    let exposed = hubspot(json!({ "expose": ingress }));
    check(
        integration,
        integration_errors,
        &[
            ("/spec/source/webhook/expose", ingress.clone(), json!({}), "exactly one of ingress and httpRoute"),
            ("/spec/source/webhook/expose", route, both, "exactly one of ingress and httpRoute"),
            (
                "/spec/source/webhook/expose",
                annotated("cert-manager.io/cluster-issuer"),
                annotated("ropeway.dev/resume"),
                "are Ropeway's own",
            ),
            (
                "/spec/source/webhook/expose",
                annotated("ropeway.example/x"),
                annotated("x.ropeway.dev/y"),
                "are Ropeway's own",
            ),
            ("/spec/source/webhook", exposed.clone(), hubspot(json!({})), "give it as publicUrl, or expose"),
            (
                "/spec/source",
                json!({ "request": exposed }),
                json!({ "request": hubspot(json!({})) }),
                "give it as publicUrl, or expose",
            ),
        ],
    );
}
