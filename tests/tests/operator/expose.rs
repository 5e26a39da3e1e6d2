//! An address is exposed by an Ingress or an HTTPRoute, and what is in the way of that is told.

use std::process::Command;

use k8s_openapi::{
    api::networking::v1::Ingress, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, ResourceExt as _};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{process::run, scene::webhook_to, wait::until};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, destination, integration, shared_nats};

const NAME: &str = "signups";
const CHILD: &str = "ropeway-signups";

/// The definition of an HTTPRoute, as far as it matters here.
fn http_routes() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            // The API server refuses kinds of its own groups that nobody has reviewed.
            "annotations": { "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1086" },
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": { "kind": "HTTPRoute", "listKind": "HTTPRouteList", "plural": "httproutes", "singular": "httproute" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                },
            } }, "subresources": { "status": {} } }],
        },
    })
}

fn exposed(expose: Option<Value>) -> Value {
    let mut spec = webhook_to(&["crm"]);
    if let Some(expose) = expose {
        spec["source"]["webhook"]["expose"] = expose;
    }
    integration(NAME, spec)
}

async fn apply(place: &Place, expose: Option<Value>) {
    place.apply::<Integration>(exposed(expose)).await;
}

async fn ingress(place: &Place, what: &str, is_it: impl Fn(&Value) -> bool) -> Ingress {
    until(what, PATIENCE, async || {
        let found = place.all::<Ingress>().get_opt(CHILD).await.map_err(|error| error.to_string())?;
        let found = found.ok_or("there is no Ingress")?;
        let value = serde_json::to_value(&found).map_err(|error| error.to_string())?;
        if is_it(&value) { Ok(found) } else { Err(value["spec"].to_string()) }
    })
    .await
    .expect("it comes")
}

async fn endpoint(place: &Place, wanted: &str) {
    until("the status shows the address", PATIENCE, async || {
        let found = place.all::<Integration>().get(NAME).await.map_err(|error| error.to_string())?;
        let endpoint = found.status.and_then(|status| status.endpoint).unwrap_or_default();
        if endpoint == wanted { Ok(()) } else { Err(endpoint) }
    })
    .await
    .expect("it does");
}

/// What kubectl says of the route.
fn route(place: &Place) -> Result<Value, String> {
    let mut get = place.kubectl();
    let text = run(get.args(["get", "httproutes.gateway.networking.k8s.io", CHILD, "--output", "json"]));
    serde_json::from_str(&text.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// Writes what a Gateway's controller says of the route.
fn judge(place: &Place, condition: &Value) {
    let parent = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public" });
    let said = json!({ "parentRef": parent, "controllerName": "example.com/gateway", "conditions": [condition] });
    let patch = json!({ "status": { "parents": [said] } }).to_string();
    let mut write = place.kubectl();
    write.args(["patch", "httproutes.gateway.networking.k8s.io", CHILD, "--subresource", "status"]);
    run(write.args(["--type", "merge", "--patch", &patch])).expect("the status can be written");
}

fn has_routes(place: &Place) -> Command {
    let mut command = place.kubectl();
    command.args(["get", "crd/httproutes.gateway.networking.k8s.io"]);
    command
}

#[tokio::test]
async fn an_address_is_exposed_as_the_spec_says_and_no_longer_than_it_says() {
    let place = Place::new("expose", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let plain = json!({ "ingress": { "host": "a.example.com", "annotations": { "x.example/y": "1" } } });
    apply(&place, Some(plain.clone())).await;
    let made = ingress(&place, "an Ingress", |it| it["spec"]["rules"][0]["host"] == "a.example.com").await;
    assert_eq!(made.annotations()["x.example/y"], "1");
    assert_eq!(made.owner_references()[0].name, NAME);
    endpoint(&place, "http://a.example.com/hook").await;
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;

    // Another host, and what is no longer said goes; somebody else's change is undone.
    let secured = json!({ "ingress": { "host": "b.example.com", "tls": { "secretName": "b-tls" } } });
    apply(&place, Some(secured)).await;
    let is_b = |it: &Value| it["spec"]["rules"][0]["host"] == "b.example.com" && it["spec"]["tls"].is_array();
    let changed = ingress(&place, "another host", is_b).await;
    assert!(!changed.annotations().contains_key("x.example/y"), "{:?}", changed.annotations());
    endpoint(&place, "https://b.example.com/hook").await;
    place.all::<Ingress>().delete(CHILD, &Default::default()).await.expect("it can be deleted");
    ingress(&place, "the Ingress again", |it| it["metadata"]["uid"] != json!(made.uid())).await;

    // An HTTPRoute in a cluster that has none of these is told, and the earlier Ingress goes on meanwhile.
    assert!(run(&mut has_routes(&place)).is_err(), "the test needs an API server without HTTPRoutes");
    let routed = json!({ "httpRoute": { "parentRefs": [{ "name": "public" }], "hostnames": ["c.example.com"] } });
    apply(&place, Some(routed)).await;
    let message = place.condition(NAME, "SourceReady", "False", "KindNotFound").await;
    for part in ["spec.source.webhook.expose", "httproutes.gateway.networking.k8s.io", "install"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    ingress(&place, "the earlier one", is_b).await;
    let kind: CustomResourceDefinition = serde_json::from_value(http_routes()).expect("a definition");
    Api::all(place.client.clone()).create(&Default::default(), &kind).await.expect("the definition is accepted");
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
    let made = route(&place).expect("an HTTPRoute");
    assert_eq!(made["spec"]["rules"][0]["backendRefs"][0]["name"], CHILD);
    assert_eq!(made["metadata"]["ownerReferences"][0]["name"], NAME);
    endpoint(&place, "https://c.example.com/hook").await;
    assert_eq!(place.all::<Ingress>().get_opt(CHILD).await.expect("an answer"), None);
    refusals_of_a_gateway_are_told(&place, &made).await;

    // Nothing is exposed any more.
    apply(&place, None).await;
    endpoint(&place, "http://ropeway-signups.expose.svc/hook").await;
    until("the HTTPRoute is gone", PATIENCE, async || route(&place).map_or(Ok(()), |it| Err(it.to_string())))
        .await
        .expect("it goes");

    // One of somebody else's is not touched when ours goes.
    let foreign = Ingress {
        metadata: ObjectMeta { name: Some(CHILD.into()), ..ObjectMeta::default() },
        spec: serde_json::from_value(
            json!({ "defaultBackend": { "service": { "name": "x", "port": { "number": 1 } } } }),
        )
        .expect("an Ingress"),
        ..Ingress::default()
    };
    let ingresses: Api<Ingress> = place.all();
    ingresses.create(&Default::default(), &foreign).await.expect("created");
    let mut spec = exposed(None);
    spec["spec"]["replicas"] = json!(0);
    place.apply::<Integration>(spec).await;
    place.condition(NAME, "WorkersAvailable", "True", "ScaledToZero").await;
    assert!(ingresses.get_opt(CHILD).await.expect("an answer").is_some(), "an Ingress of somebody else's was deleted");
}

/// A Gateway refuses the route, and then takes it.
async fn refusals_of_a_gateway_are_told(place: &Place, made: &Value) {
    let generation = &made["metadata"]["generation"];
    let said = |status: &str, reason: &str, message: &str, generation: &Value| {
        json!({
            "type": "Accepted", "status": status, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": "2026-11-25T10:00:00Z",
        })
    };
    let refusal = said("False", "NotAllowedByListeners", "no listener takes routes of namespace expose", generation);
    judge(place, &refusal);
    let message = place.condition(NAME, "SourceReady", "False", "GatewayRefused").await;
    for part in [
        "spec.source.webhook.expose.httpRoute",
        "example.com/gateway",
        "expose/public",
        "NotAllowedByListeners",
        "no listener takes",
        "allowedRoutes",
    ] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    place.condition(NAME, "Stalled", "True", "GatewayRefused").await;
    judge(place, &said("True", "Accepted", "taken", generation));
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}

#[tokio::test]
async fn an_operator_that_may_not_write_ingresses_says_so_and_does_the_rest() {
    let place = Place::new("expose-forbidden", shared_nats().await).await;
    // Everything that an operator needs but for what exposes addresses.
    let groups = ["", "apps", "batch", "events.k8s.io", "ropeway.dev"];
    let _operator =
        place.operator_with_rights(json!([{ "apiGroups": groups, "resources": ["*"], "verbs": ["*"] }])).await;
    place.ask_for_workers(NAME, webhook_to(&["crm"])).await;
    // Whoever exposes nothing needs no rights for it.
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
    apply(&place, Some(json!({ "ingress": { "host": "a.example.com" } }))).await;
    let message = place.condition(NAME, "SourceReady", "False", "Forbidden").await;
    for part in ["spec.source.webhook.expose", "ingresses", "networking.k8s.io"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    apply(&place, None).await;
    place.condition(NAME, "SourceReady", "True", "StreamReady").await;
}
