//! The rules of Destinations.

use super::*;

#[test]
fn rules_of_destinations() {
    let header = |extra: Value| {
        let mut header = json!({ "name": "X-Team" });
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([header])
    };
    check(
        destination,
        destination_errors,
        &[
            (
                "/spec/provider/http/url",
                json!("http://a.example"),
                json!("https://user:pass@a.example/"),
                "must not hold credentials",
            ),
            ("/spec/provider", json!({ "http": { "url": "https://a.example" } }), json!({}), "exactly one provider"),
            (
                "/spec/provider/http/headers",
                header(json!({ "value": "crm" })),
                header(json!({})),
                "exactly one of value",
            ),
            (
                "/spec/provider/http/headers",
                header(json!({ "valueFrom": secret()["valueFrom"] })),
                json!([{ "name": "Authorization", "value": "x" }]),
                "set by Ropeway",
            ),
            (
                "/spec/provider/http/headers",
                header(json!({ "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } })),
                header(json!({ "valueFrom": {} })),
                "exactly one of secretKeyRef, configMapKeyRef and azureKeyVault",
            ),
            ("/spec/auth", json!({ "bearer": { "token": secret() } }), json!({}), "exactly one of bearer"),
            (
                "/spec/auth",
                json!({ "destinationRef": { "name": "app" } }),
                json!({ "destinationRef": { "name": "app" }, "bearer": { "token": secret() } }),
                "exactly one of bearer",
            ),
            (
                "/spec/auth",
                json!({ "basic": { "username": { "value": "u" } } }),
                json!({ "bearer": { "token": secret() }, "basic": { "username": { "value": "u" } } }),
                "exactly one of bearer",
            ),
            (
                "/spec/auth",
                json!({ "apiKey": { "in": "Query", "name": "key", "value": secret() } }),
                json!({ "basic": { "username": {} } }),
                "exactly one of value",
            ),
            (
                "/spec/auth/basic/username/valueFrom",
                json!({ "configMapKeyRef": { "name": "c", "key": "k" } }),
                json!({ "configMapKeyRef": { "name": "c", "key": "k" }, "secretKeyRef": { "name": "s", "key": "k" } }),
                "exactly one of secretKeyRef, configMapKeyRef and azureKeyVault",
            ),
            (
                "/spec/delivery",
                json!({ "retry": { "backoffDelay": "1s", "backoffMax": "1s" } }),
                json!({ "retry": { "backoffDelay": "2s", "backoffMax": "1s" } }),
                "must not be longer",
            ),
            ("/spec/delivery", json!({ "timeout": "1s" }), json!({ "timeout": "0s" }), "longer than 0s"),
        ],
    );
}

#[test]
fn rules_of_limits_and_of_other_ways_out() {
    let limit = |limit: Value| json!({ "provider": { "http": { "url": "https://a.example" } }, "rateLimit": limit });
    let http = |format: &str, extra: Value| {
        let mut spec = json!({ "provider": { "http": { "url": "https://a.example", "format": format } } });
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec
    };
    let nats = |subject: &str| json!({ "nats": { "subject": subject } });
    let signing = json!({ "keys": [secret()] });
    let webhook = |url: &str| json!({ "webhook": { "url": url, "signing": signing } });
    check(
        destination,
        destination_errors,
        &[
            ("/spec", limit(json!({ "requests": 5, "per": "1s" })), limit(json!({ "requests": 5 })), "together"),
            ("/spec", limit(json!({ "maxConcurrency": 5 })), limit(json!({ "burst": 5 })), "burst needs"),
            (
                "/spec",
                limit(json!({ "requests": 5, "per": "24h" })),
                limit(json!({ "requests": 5, "per": "500ms" })),
                "at least 1s",
            ),
            ("/spec/circuitBreaker", json!({ "window": "1s" }), json!({ "window": "2h" }), "at most 1h"),
            (
                "/spec/circuitBreaker",
                json!({ "openDuration": "1s" }),
                json!({ "openDuration": "0s" }),
                "at least 100ms",
            ),
            (
                "/spec",
                http("JsonArray", json!({ "batching": { "maxWait": "1m" } })),
                http("JsonArray", json!({ "batching": { "maxWait": "2m" } })),
                "at most 1m",
            ),
            (
                "/spec",
                http("Ndjson", json!({ "batching": {} })),
                http("Json", json!({ "batching": {} })),
                "batching needs",
            ),
            (
                "/spec",
                http("Json", json!({ "idempotency": { "header": "X-Id" } })),
                http("JsonArray", json!({ "idempotency": { "header": "X-Id" } })),
                "one record in a request",
            ),
            ("/spec/provider", nats("shop.orders"), nats("$JS.API.x"), "must not be one of"),
            ("/spec/provider", nats("ropeways.x"), nats("ropeway.x"), "must not be one of"),
            (
                "/spec/provider",
                webhook("https://a.example/in"),
                webhook("https://user:pass@a.example/in"),
                "must not hold credentials",
            ),
        ],
    );
    let two = json!({ "http": { "url": "https://a.example" }, "nats": { "subject": "a" } });
    assert!(destination_errors(with(destination(), "/spec/provider", two)).contains("exactly one provider"));
    let with_auth = json!({ "provider": nats("a"), "auth": { "bearer": { "token": secret() } } });
    assert!(destination_errors(with(destination(), "/spec", with_auth)).contains("leave out auth"));
}
