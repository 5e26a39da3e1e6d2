//! The rules of the vendors' providers.

use super::*;

/// A spec of a Destination.
fn spec(provider: Value, auth: Value) -> Value {
    json!({ "provider": provider, "auth": auth })
}

fn bearer() -> Value {
    json!({ "bearer": { "token": secret() } })
}

fn basic(with_password: bool) -> Value {
    let mut basic = json!({ "username": secret() });
    if with_password {
        basic["password"] = secret();
    }
    json!({ "basic": basic })
}

fn key(place: &str, name: &str) -> Value {
    json!({ "apiKey": { "in": place, "name": name, "value": secret() } })
}

fn oauth2(grant: &str) -> Value {
    let mut oauth2 = json!({ "grant": grant, "tokenUrl": "https://login.example.com/token", "clientId": { "value": "c" }, "clientSecret": secret() });
    if grant == "RefreshToken" {
        oauth2["refreshToken"] = secret();
    }
    json!({ "oauth2": oauth2 })
}

fn other() -> Value {
    json!({ "destinationRef": { "name": "app" } })
}

#[test]
fn each_vendor_needs_its_own_credentials() {
    let braze = || json!({ "braze": { "url": "https://rest.iad-01.braze.com" } });
    let hubspot = || json!({ "hubspot": { "object": "contacts", "idProperty": "email" } });
    let ga4 = || json!({ "ga4": { "measurementId": "G-A1" } });
    let salesforce = |extra: &[(&str, &str)]| {
        let mut spec = json!({ "object": "Lead", "externalIdField": "Ext__c" });
        for (name, value) in extra {
            spec[*name] = json!(value);
        }
        json!({ "salesforce": spec })
    };
    let at_home = &[("instanceUrl", "https://acme.my.salesforce.com")];
    let segment = |extra: Value| json!({ "segment": extra });
    let keyed = || segment(json!({ "writeKey": secret() }));
    check(
        destination,
        destination_errors,
        &[
            ("/spec", spec(braze(), bearer()), spec(braze(), basic(true)), "braze needs auth.bearer"),
            ("/spec", spec(braze(), bearer()), json!({ "provider": braze() }), "braze needs auth.bearer"),
            ("/spec", spec(segment(json!({})), basic(false)), spec(keyed(), basic(false)), "segment needs auth.basic"),
            (
                "/spec",
                spec(keyed(), oauth2("ClientCredentials")),
                spec(segment(json!({})), oauth2("ClientCredentials")),
                "segment needs",
            ),
            ("/spec", spec(hubspot(), bearer()), spec(hubspot(), key("Header", "k")), "hubspot needs auth.bearer"),
            ("/spec", spec(hubspot(), other()), spec(braze(), other()), "braze needs auth.bearer"),
            (
                "/spec",
                spec(salesforce(at_home), other()),
                spec(salesforce(&[]), other()),
                "salesforce needs auth.oauth2",
            ),
            (
                "/spec",
                spec(hubspot(), oauth2("RefreshToken")),
                json!({ "provider": hubspot() }),
                "hubspot needs auth.bearer",
            ),
            (
                "/spec",
                spec(salesforce(&[]), oauth2("ClientCredentials")),
                spec(salesforce(&[]), bearer()),
                "salesforce needs auth.oauth2",
            ),
            (
                "/spec",
                spec(salesforce(at_home), bearer()),
                spec(salesforce(&[]), oauth2("RefreshToken")),
                "salesforce needs auth.oauth2",
            ),
            (
                "/spec",
                spec(ga4(), key("Query", "api_secret")),
                spec(ga4(), key("Header", "api_secret")),
                "ga4 needs auth.apiKey",
            ),
            (
                "/spec",
                spec(json!({ "mixpanel": { "projectId": 7 } }), basic(true)),
                spec(json!({ "mixpanel": {} }), basic(true)),
                "mixpanel needs auth.basic",
            ),
            (
                "/spec",
                spec(json!({ "amplitude": {} }), key("Body", "api_key")),
                spec(json!({ "amplitude": {} }), key("Body", "key")),
                "amplitude needs auth.apiKey",
            ),
        ],
    );
}

#[test]
fn rules_within_a_vendor() {
    let hubspot = |spec: Value| json!({ "provider": { "hubspot": spec }, "auth": bearer() });
    let salesforce = |spec: Value| json!({ "provider": { "salesforce": spec }, "auth": oauth2("ClientCredentials") });
    let ga4 = |spec: Value| json!({ "provider": { "ga4": spec }, "auth": key("Query", "api_secret") });
    let batched = |items: i32| {
        json!({ "provider": { "hubspot": { "object": "contacts", "idProperty": "email" } }, "auth": bearer(),
            "batching": { "maxItems": items } })
    };
    let bulk = |timeout: &str| json!({ "object": "Lead", "operation": "Update", "bulk": { "threshold": 10_000, "timeout": timeout } });
    let portioned = |extra: Value, items: i32| {
        let mut spec = salesforce(json!({ "object": "Lead", "externalIdField": "E__c" }));
        spec["provider"]["salesforce"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec["batching"] = json!({ "maxItems": items });
        spec
    };
    let mut single = ga4(json!({ "measurementId": "G-A1" }));
    single["batching"] = json!({});
    check(
        destination,
        destination_errors,
        &[
            (
                "/spec",
                hubspot(json!({ "object": "deals", "operation": "Create" })),
                hubspot(json!({ "object": "deals" })),
                "needs idProperty",
            ),
            (
                "/spec",
                hubspot(json!({ "object": "deals", "operation": "Update" })),
                hubspot(json!({ "object": "deals", "operation": "Create", "idProperty": "email" })),
                "leave idProperty out",
            ),
            (
                "/spec",
                salesforce(json!({ "object": "Lead", "operation": "Insert" })),
                salesforce(json!({ "object": "Lead" })),
                "externalIdField",
            ),
            (
                "/spec",
                salesforce(json!({ "object": "Lead", "externalIdField": "E__c" })),
                salesforce(json!({ "object": "Lead", "operation": "Update", "externalIdField": "E__c" })),
                "externalIdField",
            ),
            (
                "/spec",
                salesforce(json!({ "object": "Lead", "externalIdField": "E__c", "bulk": {} })),
                salesforce(json!({ "object": "Lead", "operation": "Insert", "bulk": {} })),
                "Insert would make its records twice",
            ),
            ("/spec", salesforce(bulk("10s")), salesforce(bulk("2h")), "at least 10s and at most 1h"),
            (
                "/spec",
                portioned(json!({ "bulk": { "threshold": 201 } }), 10_000),
                portioned(json!({}), 201),
                "salesforce 200 (with bulk 10000)",
            ),
            (
                "/spec",
                portioned(json!({ "bulk": {} }), 2_000),
                portioned(json!({ "bulk": {} }), 1_999),
                "no portion would be a job",
            ),
            ("/spec", ga4(json!({ "measurementId": "G-A1" })), ga4(json!({})), "exactly one of measurementId"),
            ("/spec", ga4(json!({ "firebaseAppId": "1:2" })), single, "batching needs a provider"),
            ("/spec", batched(100), batched(101), "more than the vendor takes"),
        ],
    );
}
