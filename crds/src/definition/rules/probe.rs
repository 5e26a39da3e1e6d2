//! The rules of a Destination's probe.

use super::*;

#[test]
fn rules_of_a_probe() {
    check(
        destination,
        destination_errors,
        &[
            ("/spec/probe", json!({ "path": "/me" }), json!({}), "exactly one of path and url"),
            (
                "/spec/probe",
                json!({ "url": "https://a.example/me", "interval": "10s" }),
                json!({ "path": "/me", "interval": "9s" }),
                "at least 10s",
            ),
            (
                "/spec/probe",
                json!({ "url": "https://a.example/me" }),
                json!({ "url": "https://u:p@a.example/me" }),
                "put them in auth",
            ),
            (
                "/spec",
                json!({ "provider": { "http": { "url": "https://a.example" } }, "probe": { "path": "/me" },
                    "auth": { "apiKey": { "in": "Query", "name": "key", "value": secret() } } }),
                json!({ "provider": { "http": { "url": "https://a.example" } }, "probe": { "path": "/me" },
                    "auth": { "apiKey": { "in": "Body", "name": "key", "value": secret() } } }),
                "a probe has no body",
            ),
            (
                "/spec",
                json!({ "provider": { "nats": { "subject": "a" } } }),
                json!({ "provider": { "nats": { "subject": "a" } }, "probe": { "path": "/me" } }),
                "for the http provider",
            ),
        ],
    );
}
