//! The rules of credentials.

use super::*;

#[test]
fn rules_of_oauth2() {
    fn base() -> Value {
        let oauth2 = json!({
            "grant": "ClientCredentials", "tokenUrl": "https://login.example.com/token",
            "clientId": { "value": "ropeway" }, "clientSecret": secret(),
        });
        with(destination(), "/spec/auth", json!({ "oauth2": oauth2 }))
    }
    let of = |extra: Value| {
        let mut oauth2 = json!({ "grant": "ClientCredentials", "clientId": { "value": "ropeway" } });
        oauth2.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "oauth2": oauth2 })
    };
    let at = "https://login.example.com/token";
    let key = json!({ "key": secret(), "algorithm": "RS256" });
    let bearer = json!({ "key": secret(), "algorithm": "RS256", "subject": { "value": "user@example.com" } });
    let certificate = json!({ "clientCertificateRef": { "name": "ours" } });
    check(
        base,
        destination_errors,
        &[
            (
                "/spec/auth",
                of(json!({ "issuer": "https://login.example.com", "clientSecret": secret() })),
                of(json!({ "issuer": "https://login.example.com", "tokenUrl": at, "clientSecret": secret() })),
                "exactly one of tokenUrl and issuer",
            ),
            (
                "/spec/auth",
                of(json!({ "tokenUrl": at, "clientAssertion": key })),
                of(json!({ "tokenUrl": at, "clientAssertion": key, "clientSecret": secret() })),
                "at most one of clientSecret and clientAssertion",
            ),
            (
                "/spec/auth",
                of(json!({ "tokenUrl": at, "tls": certificate })),
                of(json!({ "tokenUrl": at, "tls": { "caRef": { "name": "ca", "key": "ca.crt" } } })),
                "ClientCredentials needs a clientSecret",
            ),
            (
                "/spec/auth",
                of(json!({ "tokenUrl": at, "grant": "JwtBearer", "assertion": bearer })),
                of(json!({ "tokenUrl": at, "grant": "JwtBearer" })),
                "assertion is for the grant JwtBearer",
            ),
            (
                "/spec/auth",
                of(json!({ "tokenUrl": at, "clientSecretIn": "Body", "clientSecret": secret() })),
                of(json!({ "tokenUrl": at, "clientSecretIn": "Body", "clientAssertion": key })),
                "clientSecretIn needs a clientSecret",
            ),
            (
                "/spec/auth/oauth2/tokenUrl",
                json!(at),
                json!("https://a:b@login.example.com/"),
                "must not hold credentials",
            ),
            ("/spec/auth/oauth2/refreshBefore", json!("24h"), json!("25h"), "at most 24h"),
            ("/spec/auth/oauth2/maxAge", json!("10s"), json!("9s"), "at least 10s"),
        ],
    );
}

#[test]
fn rules_of_azure() {
    fn base() -> Value {
        with(destination(), "/spec/auth", json!({ "azure": azure(json!({ "workloadIdentity": {} })) }))
    }
    fn azure(credential: Value) -> Value {
        json!({ "tenantId": "t", "clientId": "c", "scope": "https://a.example/.default", "credential": credential })
    }
    let without = |name: &str| {
        let mut azure = azure(json!({ "workloadIdentity": {} }));
        azure.as_object_mut().unwrap().remove(name);
        azure
    };
    let managed = json!({ "scope": "https://a.example/.default", "credential": { "managedIdentity": {} } });
    let mut with_cloud = managed.clone();
    with_cloud["cloud"] = json!("China");
    let secret = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
    check(
        base,
        destination_errors,
        &[
            (
                "/spec/auth/azure/credential",
                json!({ "clientSecret": secret }),
                json!({ "clientSecret": secret, "certificateRef": { "name": "s" } }),
                "exactly one of clientSecret",
            ),
            ("/spec/auth/azure/credential", json!({ "certificateRef": { "name": "s" } }), json!({}), "exactly one of"),
            ("/spec/auth/azure", managed.clone(), without("tenantId"), "give tenantId and clientId"),
            ("/spec/auth/azure", managed, with_cloud, "mean nothing to a managed identity"),
            ("/spec/auth/azure", azure(json!({ "workloadIdentity": {} })), without("scope"), "azure needs a scope"),
            (
                "/spec/keyVaultIdentity",
                without("scope"),
                azure(json!({ "workloadIdentity": {} })),
                "keyVaultIdentity has no scope",
            ),
            (
                "/spec/auth",
                json!({ "basic": { "username": { "valueFrom": { "azureKeyVault": "https://v.vault.azure.net/secrets/u" } } } }),
                json!({ "basic": { "username": { "valueFrom": {
                    "azureKeyVault": "https://v.vault.azure.net/secrets/u", "secretKeyRef": { "name": "s", "key": "k" },
                } } } }),
                "exactly one of secretKeyRef, configMapKeyRef and azureKeyVault",
            ),
        ],
    );
}
