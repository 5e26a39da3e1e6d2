//! Who may use which identity, and which vaults there are.

use super::*;

fn identity(credential: Value) -> Value {
    json!({ "tenantId": "t", "clientId": "c", "credential": credential })
}

/// What is observed where the Destination says this beside its provider.
fn with_destination(extra: Value) -> Observed {
    let mut observed = observed(integration());
    let mut spec = json!({ "provider": { "http": { "url": "https://api.example.com/contacts" } } });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let destination: Destination = serde_json::from_value(json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": "hubspot" }, "spec": spec,
    }))
    .unwrap();
    observed.destinations.insert("hubspot".into(), Some(Account::of(destination)));
    observed
}

fn entra(credential: Value) -> Value {
    let mut azure = identity(credential);
    azure["scope"] = json!("https://crm.example/.default");
    json!({ "auth": { "azure": azure } })
}

fn bearer(identifier: &str) -> Value {
    json!({ "bearer": { "token": { "valueFrom": { "azureKeyVault": identifier } } } })
}

#[test]
fn a_managed_identity_is_withheld_unless_the_administrator_allows_it() {
    let observed = with_destination(json!({ "auth": { "azure": {
        "scope": "https://crm.example/.default", "credential": { "managedIdentity": {} },
    } } }));
    let refused = resolved(&observed).unwrap();
    assert_eq!(refused.withheld[0].reason, Reason::IdentityNotAllowed);
    let field = "Destination hubspot: spec.auth.azure.credential.managedIdentity: ";
    assert!(refused.withheld[0].message.starts_with(field), "{}", refused.withheld[0].message);
    assert!(!refused.azure.managed_identity, "workers must be told as well");
    let azure = AzureSettings { managed_identity: true, ..AzureSettings::default() };
    let allowed = resolved(&Observed { azure, ..observed }).unwrap();
    assert!(allowed.withheld.is_empty() && allowed.azure.managed_identity);
}

#[test]
fn a_workload_identity_needs_a_service_account_that_is_named_and_allowed() {
    let mut observed = with_destination(entra(json!({ "workloadIdentity": {} })));
    let findings = resolved(&observed).unwrap_err();
    assert_eq!(findings[0].reason, Reason::ServiceAccountNotAllowed);
    assert!(findings[0].message.contains("spec.template.serviceAccountName"), "{}", findings[0].message);
    observed.integration.spec.template =
        Some(serde_json::from_value(json!({ "serviceAccountName": "robot" })).unwrap());
    for (fact, fine) in [(AccountFact::NotAllowed, false), (AccountFact::Missing, false), (AccountFact::Allowed, true)]
    {
        observed.service_account = Some(fact);
        let resolved = resolved(&observed);
        assert_eq!(resolved.as_ref().is_ok_and(|it| it.mounts.azure_token), fine, "{fact:?}");
    }
    // Nobody gets a token who does not ask for one.
    let mut plain = super::observed(integration());
    plain.service_account = Some(AccountFact::Allowed);
    assert!(!super::resolved(&plain).unwrap().mounts.azure_token);
}

#[test]
fn a_vault_is_one_of_microsofts_and_somebody_reads_it() {
    let good = "https://crm.vault.azure.net/secrets/token";
    let reads = identity(json!({ "certificateRef": { "name": "keys" } }));
    let field = "Destination hubspot: spec.auth.bearer.token.valueFrom.azureKeyVault: ";
    for (identifier, reader, problem) in [
        (good, None, "say in spec.keyVaultIdentity who reads it"),
        ("https://crm.evil.example/secrets/token", Some(&reads), "crm.evil.example is no vault"),
        ("https://crm.vault.azure.net/keys/token", Some(&reads), "give https://VAULT/secrets/NAME"),
    ] {
        let mut spec = json!({ "auth": bearer(identifier) });
        if let Some(reader) = reader {
            spec["keyVaultIdentity"] = reader.clone();
        }
        let findings = resolved(&with_destination(spec)).unwrap_err();
        let found = findings.iter().find(|finding| finding.reason == Reason::InvalidSpec).unwrap();
        assert!(found.message.starts_with(field) && found.message.contains(problem), "{}", found.message);
    }
    let mut fine = with_destination(json!({ "auth": bearer(good), "keyVaultIdentity": reads }));
    let keys = ["hook", "tls.crt", "tls.key"].map(String::from);
    fine.secrets.insert("keys".into(), SecretFact::Keys(keys.clone().into()));
    let resolved = resolved(&fine).unwrap();
    // Of the vault nothing is mounted, but what the identity is proved with is.
    assert_eq!(resolved.mounts.secrets, BTreeMap::from([("keys".into(), keys.into())]));
    assert!(resolved.config.lanes[0].key_vault_identity.is_some());
}

#[test]
fn tokens_that_the_operator_gets_can_not_be_asked_for_with_what_is_in_a_vault() {
    let oauth2 = json!({
        "grant": "AuthorizationCode", "issuer": "https://login.example", "clientId": { "value": "c" },
        "clientSecret": { "valueFrom": { "azureKeyVault": "https://crm.vault.azure.net/secrets/client" } },
    });
    let reads = identity(json!({ "certificateRef": { "name": "keys" } }));
    let mut observed = with_destination(json!({ "auth": { "oauth2": oauth2 }, "keyVaultIdentity": reads }));
    let keys = ["hook", "tls.crt", "tls.key"].map(String::from);
    observed.secrets.insert("keys".into(), SecretFact::Keys(keys.into()));
    let findings = resolved(&observed).unwrap_err();
    assert!(findings[0].message.contains("the operator gets these tokens"), "{}", findings[0].message);
}
