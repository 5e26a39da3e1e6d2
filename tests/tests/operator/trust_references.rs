//! Whatever names a Secret, a ConfigMap, an identity or a vault keeps to the limits of trust, and not only the credentials
//! that `trust` tries.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, ServiceAccount},
};
use ropeway_crds::{Destination, Integration, names};
use ropeway_tests::{receiver::Receiver, scene::webhook_to, wait::until};
use serde_json::{Value, json};

use crate::{
    place::{PATIENCE, Place, destination, integration, shared_nats},
    refusals::refusal,
};

const NAME: &str = "signups";

/// Makes an object that names something by this reference.
type Naming = (&'static str, fn(Value) -> Value);

/// The same of something that is named as a whole.
type Whole<'a> = (&'a str, &'a dyn Fn(&str) -> Value);

fn crm(more: Value) -> Value {
    let mut made = destination("crm", "http://127.0.0.1:9/");
    for (field, value) in more.as_object().expect("an object") {
        made["spec"][field] = value.clone();
    }
    made
}

fn with_source(source: Value) -> Value {
    let mut spec = webhook_to(&["crm"]);
    spec["source"] = source;
    integration(NAME, spec)
}

fn with_spec(more: Value) -> Value {
    let mut spec = webhook_to(&["crm"]);
    for (field, value) in more.as_object().expect("an object") {
        spec[field] = value.clone();
    }
    integration(NAME, spec)
}

fn value(kind: &str, reference: Value) -> Value {
    json!({ "valueFrom": { kind: reference } })
}

fn entra(credential: Value) -> Value {
    json!({ "tenantId": "t", "clientId": "c", "credential": credential })
}

fn oauth2(grant: &str, more: Value) -> Value {
    let mut oauth2 = json!({ "grant": grant, "tokenUrl": "http://127.0.0.1:9/token", "clientId": { "value": "c" } });
    for (field, value) in more.as_object().expect("an object") {
        oauth2[field] = value.clone();
    }
    json!({ "auth": { "oauth2": oauth2 } })
}

fn poll(more: Value) -> Value {
    let mut poll = json!({ "interval": "1m", "request": { "url": "http://127.0.0.1:9/rows" } });
    for (field, value) in more.as_object().expect("an object") {
        poll[field] = value.clone();
    }
    with_source(json!({ "poll": poll }))
}

/// What a Destination names Secrets in, a key of one or one as a whole.
const SECRETS_OF_DESTINATIONS: [Naming; 9] = [
    ("spec.provider.http.headers[0].valueFrom.secretKeyRef", |key| {
        let mut header = value("secretKeyRef", key);
        header["name"] = json!("X-Tenant");
        crm(json!({ "provider": { "http": { "url": "http://127.0.0.1:9/", "headers": [header] } } }))
    }),
    ("spec.tls.caRef", |key| crm(json!({ "tls": { "caRef": key } }))),
    ("spec.auth.oauth2.tls.caRef", |key| {
        crm(oauth2(
            "JwtBearer",
            json!({
                "tls": { "caRef": key.clone() },
                "assertion": { "key": value("secretKeyRef", json!({ "name": "open", "key": "token" })), "algorithm": "ES256",
                    "subject": { "value": "u" } },
            }),
        ))
    }),
    ("spec.auth.oauth2.clientSecret.valueFrom.secretKeyRef", |key| {
        crm(oauth2("ClientCredentials", json!({ "clientSecret": value("secretKeyRef", key) })))
    }),
    ("spec.auth.oauth2.clientAssertion.key.valueFrom.secretKeyRef", |key| {
        let assertion = json!({ "key": value("secretKeyRef", key), "algorithm": "ES256" });
        crm(oauth2("ClientCredentials", json!({ "clientAssertion": assertion })))
    }),
    ("spec.auth.oauth2.refreshToken.valueFrom.secretKeyRef", |key| {
        crm(oauth2("RefreshToken", json!({ "refreshToken": value("secretKeyRef", key) })))
    }),
    ("spec.auth.azure.credential.clientSecret.valueFrom.secretKeyRef", |key| {
        let mut azure = entra(json!({ "clientSecret": value("secretKeyRef", key) }));
        azure["scope"] = json!("https://crm.example/.default");
        crm(json!({ "auth": { "azure": azure } }))
    }),
    ("spec.keyVaultIdentity.credential.clientSecret.valueFrom.secretKeyRef", |key| {
        crm(json!({ "keyVaultIdentity": entra(json!({ "clientSecret": value("secretKeyRef", key) })) }))
    }),
    ("spec.provider.webhook.signing.keys[0].valueFrom.secretKeyRef", |key| {
        let keys = [value("secretKeyRef", key)];
        crm(json!({ "provider": { "webhook": { "url": "http://127.0.0.1:9/", "signing": { "keys": keys } } } }))
    }),
];

/// What it names whole Secrets in.
const CERTIFICATES: [Naming; 3] = [
    ("spec.tls.clientCertificateRef", |secret| crm(json!({ "tls": { "clientCertificateRef": secret } }))),
    ("spec.auth.azure.credential.certificateRef", |secret| {
        let mut azure = entra(json!({ "certificateRef": secret }));
        azure["scope"] = json!("https://crm.example/.default");
        crm(json!({ "auth": { "azure": azure } }))
    }),
    ("spec.keyVaultIdentity.credential.certificateRef", |secret| {
        crm(json!({ "keyVaultIdentity": entra(json!({ "certificateRef": secret })) }))
    }),
];

/// What an Integration names Secrets in.
const SECRETS_OF_SOURCES: [Naming; 4] = [
    ("spec.source.webhook.verification.bearer.tokens[0].valueFrom.secretKeyRef", |key| {
        let tokens = [value("secretKeyRef", key)];
        with_source(json!({ "webhook": { "path": "/hook", "verification": { "bearer": { "tokens": tokens } } } }))
    }),
    ("spec.source.poll.auth.bearer.token.valueFrom.secretKeyRef", |key| {
        poll(json!({ "auth": { "bearer": { "token": value("secretKeyRef", key) } } }))
    }),
    ("spec.source.poll.tls.caRef", |key| poll(json!({ "tls": { "caRef": key } }))),
    ("spec.keyVaultIdentity.credential.clientSecret.valueFrom.secretKeyRef", |key| {
        with_spec(json!({ "keyVaultIdentity": entra(json!({ "clientSecret": value("secretKeyRef", key) })) }))
    }),
];

const CONFIG_MAPS: [Naming; 5] = [
    ("spec.provider.http.headers[0].valueFrom.configMapKeyRef", |key| {
        let mut header = value("configMapKeyRef", key);
        header["name"] = json!("X-Tenant");
        crm(json!({ "provider": { "http": { "url": "http://127.0.0.1:9/", "headers": [header] } } }))
    }),
    ("spec.auth.basic.username.valueFrom.configMapKeyRef", |key| {
        crm(json!({ "auth": { "basic": { "username": value("configMapKeyRef", key) } } }))
    }),
    ("spec.normalize.configMapKeyRef", |key| with_spec(json!({ "normalize": { "configMapKeyRef": key } }))),
    ("spec.destinations[0].transform.configMapKeyRef", |key| {
        let destination = json!({ "name": "crm", "ref": "crm", "transform": { "configMapKeyRef": key } });
        with_spec(json!({ "destinations": [destination] }))
    }),
    ("spec.schema.configMapKeyRef", |key| {
        with_spec(json!({ "schema": { "configMapKeyRef": key, "onViolation": "DeadLetter" } }))
    }),
];

/// What leads out of a namespace, or into the middle of an address.
const ELSEWHERE: [&str; 5] = ["kube-system/admin", "../../kube-system/secrets/admin", "..", "admin?x", "Admin"];

#[tokio::test]
async fn nothing_of_another_namespace_can_be_named_whatever_names_it() {
    let place = Place::new("references", shared_nats().await).await;
    let keys = [&SECRETS_OF_DESTINATIONS[..], &SECRETS_OF_SOURCES, &CONFIG_MAPS].concat();
    let cases = keys.iter().map(|naming| (naming, true)).chain(CERTIFICATES.iter().map(|naming| (naming, false)));
    for ((field, make), has_key) in cases {
        let reference = |name: &str| match has_key {
            true => json!({ "name": name, "key": "token" }),
            false => json!({ "name": name }),
        };
        assert_eq!(refusal(&place, &make(reference("admin"))), "", "{field} is right");
        let mut named = reference("admin");
        named["namespace"] = json!("kube-system");
        let said = refusal(&place, &make(named));
        assert!(said.contains(&format!("unknown field \"{field}.namespace\"")), "{said}");
        for name in &ELSEWHERE[..2] {
            let said = refusal(&place, &make(reference(name)));
            assert!(said.contains(&format!("{field}.name: Invalid value")), "{name}: {said:?}");
        }
    }
    let account = |name: &str| with_spec(json!({ "template": { "serviceAccountName": name } }));
    let reference = |name: &str| with_spec(json!({ "destinations": [{ "name": "crm", "ref": name }] }));
    let claim = |name: &str| {
        let file = json!({ "file": { "claimName": name, "path": "a.csv" } });
        with_source(json!({ "batch": { "schedule": "0 2 * * *", "from": file, "format": { "csv": {} } } }))
    };
    let whole: [Whole<'_>; 3] = [
        ("spec.template.serviceAccountName", &account),
        ("spec.destinations[0].ref", &reference),
        ("spec.source.batch.from.file.claimName", &claim),
    ];
    for (field, make) in whole {
        assert_eq!(refusal(&place, &make("admin")), "", "{field} is right");
        for name in ELSEWHERE {
            let said = refusal(&place, &make(name));
            assert!(said.contains(&format!("{field}: Invalid value")), "{name}: {said:?}");
        }
    }
    let elsewhere = json!([{ "name": "crm", "ref": "crm", "namespace": "kube-system" }]);
    let said = refusal(&place, &with_spec(json!({ "destinations": elsewhere })));
    assert!(said.contains("unknown field \"spec.destinations[0].namespace\""), "{said}");
}

fn secret(name: &str, label: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": { "ropeway.dev/use": label } },
        "stringData": { "token": "x", "tls.crt": "x", "tls.key": "x", "ca.crt": "x" } })
}

#[tokio::test]
async fn with_labelled_access_no_field_leads_to_a_secret_without_the_label() {
    let place = Place::new("labelled-fields", shared_nats().await).await;
    let _operator = place.operator_with(&["--secret-access", "Labelled"]);
    place.apply::<Secret>(secret("admin", "denied")).await;
    for name in ["open", "hook"] {
        place.apply::<Secret>(secret(name, "allowed")).await;
    }
    let key = json!({ "name": "admin", "key": "token" });
    let keys = SECRETS_OF_DESTINATIONS.iter().map(|naming| (naming, key.clone()));
    let whole = CERTIFICATES.iter().map(|naming| (naming, json!({ "name": "admin" })));
    for ((field, make), reference) in keys.chain(whole) {
        place.all::<Destination>().delete("crm", &Default::default()).await.ok();
        place.apply::<Destination>(make(reference)).await;
        let message = place.destination_condition("crm", "Ready", "False", "SecretNotAllowed").await;
        let named = field.replace("headers[0]", "headers[X-Tenant]");
        assert!(message.starts_with(&format!("{named}: the Secret \"admin\" may not be used")), "{field}: {message}");
    }
    place.all::<Destination>().delete("crm", &Default::default()).await.expect("it goes");
    place.apply::<Destination>(crm(json!({}))).await;
    for (number, (field, make)) in SECRETS_OF_SOURCES.iter().enumerate() {
        let mut made = make(key.clone());
        let name = format!("source-{number}");
        made["metadata"]["name"] = json!(name);
        place.apply::<Integration>(made).await;
        let message = place.condition(&name, "Ready", "False", "SecretNotAllowed").await;
        assert!(message.contains("the Secret \"admin\" may not be used"), "{field}: {message}");
        until("the workers are asked for, without it", PATIENCE, async || {
            let found = place.all::<Deployment>().get(&names::child(&name)).await.map_err(|error| error.to_string())?;
            let pod = serde_json::to_value(found.spec).map_err(|error| error.to_string())?.to_string();
            assert!(!pod.contains("\"secretName\":\"admin\""), "{field}: it is mounted");
            Ok(())
        })
        .await
        .expect("they are");
    }
}

#[tokio::test]
async fn with_labelled_access_the_operator_shows_no_server_what_may_not_be_used() {
    let place = Place::new("labelled-broker", shared_nats().await).await;
    let server = Receiver::start().await.expect("the receiver starts");
    let _operator = place.operator_with(&["--secret-access", "Labelled"]);
    let from = |name: &str| value("secretKeyRef", json!({ "name": name, "key": "token" }));
    for (number, (client, refresh)) in [("admin", "open"), ("open", "admin")].into_iter().enumerate() {
        place.apply::<Secret>(secret("admin", "denied")).await;
        place.apply::<Secret>(secret("open", "allowed")).await;
        let name = format!("crm-{number}");
        let path = format!("token-{number}");
        let more =
            json!({ "clientSecret": from(client), "refreshToken": from(refresh), "tokenUrl": server.url(&path) });
        let mut made = crm(oauth2("RefreshToken", more));
        made["metadata"]["name"] = json!(name);
        place.apply::<Destination>(made).await;
        place.destination_condition(&name, "Ready", "False", "SecretNotAllowed").await;
        let asked = || server.arrivals().iter().filter(|arrival| arrival.destination == path).count();
        assert_eq!(asked(), 0, "{name}: the server was shown a Secret that may not be used");
        place.apply::<Secret>(secret("admin", "allowed")).await;
        until("the server is asked once it may be", PATIENCE, async || {
            if asked() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await
        .expect("it is");
    }
}

#[tokio::test]
async fn who_reads_vaults_is_limited_like_any_identity() {
    let place = Place::new("vault-identities", shared_nats().await).await;
    let _operator = place.operator_with(&["--azure-managed-identity-namespace", "another"]);
    let node = json!({ "credential": { "managedIdentity": {} } });
    let told = "spec.keyVaultIdentity.credential.managedIdentity: the administrator";
    place.apply::<Destination>(crm(json!({ "keyVaultIdentity": node }))).await;
    let message = place.destination_condition("crm", "Ready", "False", "IdentityNotAllowed").await;
    assert!(message.starts_with(told), "{message}");
    place.apply::<Destination>(destination("open", "http://127.0.0.1:9/")).await;
    let mut spec = webhook_to(&["open"]);
    spec["keyVaultIdentity"] = node;
    place.apply::<Integration>(integration(NAME, spec.clone())).await;
    let message = place.condition(NAME, "Ready", "False", "IdentityNotAllowed").await;
    assert!(message.contains(told), "{message}");

    // A workload identity is that of a service account, and its owner must allow it.
    spec["keyVaultIdentity"] = entra(json!({ "workloadIdentity": {} }));
    let name = "federated";
    place.apply::<Integration>(integration(name, spec.clone())).await;
    place.condition(name, "Ready", "False", "ServiceAccountNotAllowed").await;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "powerful" } });
    place.apply::<ServiceAccount>(account).await;
    spec["template"] = json!({ "serviceAccountName": "powerful" });
    place.apply::<Integration>(integration(name, spec)).await;
    let message = place.condition(name, "WorkersAvailable", "False", "ServiceAccountNotAllowed").await;
    assert!(message.contains("may not be used by workers"), "{message}");
    let there = place.all::<Deployment>().get_opt(&names::child(name)).await.expect("the API server answers");
    assert!(there.is_none(), "workers were asked for under an account that does not allow it");
}

#[tokio::test]
async fn a_host_that_poses_as_a_vault_is_none() {
    let place = Place::new("vault-hosts", shared_nats().await).await;
    let _operator = place.operator_with(&["--azure-vault-host", "vault.corp.example"]);
    let reads = entra(json!({ "workloadIdentity": {} }));
    let bearer = |host: &str| {
        let token = value("azureKeyVault", json!(format!("https://{host}/secrets/token")));
        crm(json!({ "auth": { "bearer": { "token": token } }, "keyVaultIdentity": reads }))
    };
    for host in [
        "crm.evil.example",
        "crm.vault.azure.net.evil.example",
        "evilvault.azure.net",
        "x.vault.corp.example",
        "127.0.0.1",
    ] {
        place.apply::<Destination>(bearer(host)).await;
        let message = place.destination_condition("crm", "Ready", "False", "InvalidSpec").await;
        let field = "spec.auth.bearer.token.valueFrom.azureKeyVault";
        assert!(message.starts_with(&format!("{field}: {host} is no vault")), "{host}: {message}");
    }
    for host in ["crm.vault.azure.net", "vault.corp.example"] {
        place.apply::<Destination>(bearer(host)).await;
        place.destination_condition("crm", "Ready", "True", "Resolved").await;
    }
}
