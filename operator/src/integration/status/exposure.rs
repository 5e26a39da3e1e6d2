//! What the controllers of Gateways say of our HTTPRoute. Their words are untrusted: they may be long, or about another route.

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason, bounded},
    source::ParentGateway,
};

use super::Known;
use crate::integration::plan::expose::{HttpRoute, RouteCondition, RouteParent, RouteParentRef, field};

/// What is wrong with the HTTPRoute at the first Gateway that refuses it.
pub(super) fn refused(known: &Known<'_>) -> Option<Finding> {
    let (plan, route) = (known.plan?, known.route?);
    let parents = route.status.iter().flat_map(|status| &status.parents);
    let mut ours = parents.filter(|parent| names(route, &parent.parent_ref));
    let (parent, condition) =
        ours.find_map(|parent| Some((parent, parent.conditions.iter().find(|it| refuses(route, it))?)))?;
    let RouteParent { parent_ref, controller_name, conditions: _ } = parent;
    let RouteCondition { kind, reason, message, .. } = condition;
    let namespace = parent_ref.namespace.as_ref().or(route.metadata.namespace.as_ref()).map_or("", String::as_str);
    let message = format!(
        "{}.httpRoute: the Gateway {namespace}/{} says that {kind} is False ({}); {}; {}: {}",
        field(plan),
        parent_ref.name,
        bounded(reason),
        remedy(reason),
        bounded(controller_name),
        bounded(message),
    );
    Some(Finding::fails(ConditionType::SourceReady, Reason::GatewayRefused, bounded(&message)))
}

/// Whether the route still names this Gateway. A status may outlive what it is about.
fn names(route: &HttpRoute, said: &RouteParentRef) -> bool {
    let RouteParentRef { name, namespace, section_name, port } = said;
    let own = route.metadata.namespace.as_ref();
    route.spec.parent_refs.iter().any(|wished: &ParentGateway| {
        (&wished.name, &wished.section_name, &wished.port) == (name, section_name, port)
            && wished.namespace.as_ref().or(own) == namespace.as_ref().or(own)
    })
}

/// Whether a condition is about the route as it is now, and says that it is not served.
fn refuses(route: &HttpRoute, condition: &RouteCondition) -> bool {
    let RouteCondition { kind, status, reason, message: _, observed_generation } = condition;
    let is_current = observed_generation.is_none_or(|seen| Some(seen) == route.metadata.generation);
    // Nobody has decided yet.
    let is_open = reason == "Pending";
    is_current && !is_open && status == "False" && ["Accepted", "ResolvedRefs"].contains(&kind.as_str())
}

/// What helps against the reasons that the Gateway API names.
fn remedy(reason: &str) -> &'static str {
    match reason {
        "NotAllowedByListeners" => "let allowedRoutes of a listener of the Gateway take routes of this namespace",
        "NoMatchingListenerHostname" => "give a host in hostnames that a listener of the Gateway serves",
        "NoMatchingParent" => "correct sectionName or port in parentRefs",
        "BackendNotFound" | "RefNotPermitted" => "see whether the Service of this Integration is there",
        _ => "correct parentRefs or hostnames, or the Gateway",
    }
}

#[cfg(test)]
mod tests {
    use ropeway_crds::source::ParentGateway;
    use serde_json::{Value, json};

    use super::*;

    fn route(parents: Value) -> HttpRoute {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": "ropeway-signups", "namespace": "crm", "generation": 2 },
            "spec": { "parentRefs": [{ "name": "public", "namespace": "edge" }, { "name": "own" }], "hostnames": [], "rules": [] },
            "status": { "parents": parents },
        }))
        .unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, seen: i64) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": "m", "observedGeneration": seen })
    }

    fn told(parent: Value, condition: Value) -> bool {
        let route = route(json!([{ "parentRef": parent, "controllerName": "c", "conditions": [condition] }]));
        let parent = &route.status.as_ref().unwrap().parents[0];
        names(&route, &parent.parent_ref) && refuses(&route, &parent.conditions[0])
    }

    #[test]
    fn only_a_refusal_of_the_route_as_it_is_counts() {
        let edge = || json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "edge" });
        let no = || condition("Accepted", "False", "NotAllowedByListeners", 2);
        assert!(told(edge(), no()));
        assert!(told(edge(), condition("ResolvedRefs", "False", "BackendNotFound", 2)));
        assert!(told(json!({ "name": "own" }), no()) && told(json!({ "name": "own", "namespace": "crm" }), no()));
        assert!(told(edge(), json!({ "type": "Accepted", "status": "False" })));
        for (parent, condition) in [
            (edge(), condition("Accepted", "True", "Accepted", 2)),
            (edge(), condition("Accepted", "Unknown", "Pending", 2)),
            (edge(), condition("Accepted", "False", "Pending", 2)),
            (edge(), condition("Accepted", "False", "NotAllowedByListeners", 1)),
            (edge(), condition("PartiallyInvalid", "False", "x", 2)),
            (json!({ "name": "public" }), no()),
            (json!({ "name": "public", "namespace": "edge", "sectionName": "https" }), no()),
            (json!({ "name": "own", "namespace": "edge" }), no()),
            (json!({}), no()),
        ] {
            assert!(!told(parent.clone(), condition.clone()), "{parent} {condition}");
        }
        assert!(route(json!([{}])).spec.parent_refs.iter().any(|it: &ParentGateway| it.name == "own"));
    }
}
