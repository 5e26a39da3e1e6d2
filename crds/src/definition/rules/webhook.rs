//! The rules of a webhook and of how its senders prove who they are.

use serde_json::{Value, json};

use super::{check, integration, integration_errors, secret, with};

#[test]
fn rules_of_webhooks() {
    let webhook = |verification: Value| json!({ "webhook": { "path": "/x", "verification": verification } });
    let hmac = |extra: Value| {
        let mut scheme = json!({ "secrets": [secret()], "header": "X-Sig" });
        scheme.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        webhook(json!({ "hmac": scheme }))
    };
    check(
        integration,
        integration_errors,
        &[
            (
                "/spec/source",
                webhook(json!({ "basic": { "username": { "value": "u" }, "passwords": [secret()] } })),
                webhook(json!({})),
                "exactly one way of verification",
            ),
            (
                "/spec/source",
                webhook(json!({ "github": { "secrets": [secret()] } })),
                webhook(json!({ "github": { "secrets": [secret()] }, "shopify": { "secrets": [secret()] } })),
                "exactly one way of verification",
            ),
            (
                "/spec/source",
                webhook(json!({ "hubspot": { "secrets": [secret()], "version": "V1" } })),
                webhook(json!({ "hubspot": { "secrets": [secret()] } })),
                "give it as publicUrl",
            ),
            (
                "/spec/source/webhook",
                json!({ "path": "/x", "publicUrl": "https://a.example/x", "verification": { "hubspot": { "secrets": [secret()] } } }),
                json!({ "path": "/x", "verification": { "hubspot": { "secrets": [secret()], "version": "V2" } } }),
                "give it as publicUrl",
            ),
            (
                "/spec/source",
                webhook(json!({ "standardWebhooks": { "publicKeys": [{ "value": "whpk_x" }] } })),
                webhook(json!({ "standardWebhooks": {} })),
                "give secrets, publicKeys or both",
            ),
            (
                "/spec/source/webhook",
                json!({ "path": "/x", "publicUrl": "https://a.example/x", "verification": hmac(json!({ "signed": [{ "url": true }] }))["webhook"]["verification"] }),
                hmac(json!({ "signed": [{ "url": true }] }))["webhook"].clone(),
                "the signed part url needs publicUrl",
            ),
            (
                "/spec/source/webhook",
                json!({ "path": "/x", "tls": { "certificateRef": { "name": "c" } }, "verification": { "mtls": { "caRef": { "name": "a", "key": "ca.crt" } } } }),
                json!({ "path": "/x", "verification": { "mtls": { "caRef": { "name": "a", "key": "ca.crt" } } } }),
                "mtls needs tls, or a proxy",
            ),
            (
                "/spec/source",
                hmac(json!({ "signed": [{ "body": true }] })),
                hmac(json!({ "signed": [{ "body": true, "text": "x" }] })),
                "exactly one of body",
            ),
            (
                "/spec/source",
                hmac(json!({ "signed": [{ "timestamp": true }], "timestamp": { "header": "X-T" } })),
                hmac(json!({ "signed": [{ "timestamp": true }] })),
                "needs the field timestamp",
            ),
        ],
    );
}

#[test]
fn rules_of_requests() {
    fn requesting() -> Value {
        let bearer = json!({ "bearer": { "tokens": [secret()] } });
        with(integration(), "/spec/source", json!({ "request": { "path": "/x", "verification": bearer } }))
    }
    check(
        requesting,
        integration_errors,
        &[
            ("/spec/source/request/timeout", json!("2m"), json!("3m"), "timeout must be at least 100ms and at most 2m"),
            (
                "/spec/destinations",
                json!([{ "name": "a", "ref": "a" }]),
                json!([{ "name": "a", "ref": "a" }, { "name": "b", "ref": "b" }]),
                "a request has one destination and no queue",
            ),
            (
                "/spec/deadLetter",
                Value::Null,
                json!({ "retention": "720h" }),
                "a request has one destination and no queue",
            ),
        ],
    );
}
