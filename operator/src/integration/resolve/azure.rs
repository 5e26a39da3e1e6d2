//! Identities of Entra ID and secrets of Key Vault that are named. Pure.

use ropeway_crds::{
    DestinationSpec, IntegrationSpec,
    azure::{AzureIdentity, AzureSettings, VaultSecret},
    condition::{ConditionType, Finding, Reason},
    reference::{
        destination_identities, destination_vault_secrets, source_identities, source_vault_secrets, vault_secrets,
    },
};

use crate::integration::observe::{Account, Observed};

/// What is wrong with them in an Integration and its Destinations. What workers may not use is withheld: everything else goes
/// on, and they are told as well. Says whether workers need a token of their service account.
pub(super) fn check(observed: &Observed, findings: &mut Vec<Finding>, withheld: &mut Vec<Finding>) -> bool {
    let spec = &observed.integration.spec;
    let mut named = source_identities(spec);
    findings.extend(unusable_vault(&source_vault_secrets(spec), spec.key_vault_identity.as_ref(), &observed.azure));
    for (name, account) in &observed.destinations {
        let Some(Account { spec, .. }) = account else { continue };
        let place = |field: String| format!("Destination {name}: {field}");
        named.extend(destination_identities(spec).into_iter().map(|(field, it)| (place(field), it)));
        let found = unusable(spec, &observed.azure);
        findings.extend(found.into_iter().map(|it| Finding { message: place(it.message), ..it }));
    }
    withheld.extend(named.iter().filter_map(|(field, identity)| not_allowed(field, identity, &observed.azure)));
    let mut federated = named.iter().filter(|(_, identity)| identity.credential.workload_identity.is_some()).peekable();
    if let Some((field, _)) = federated.peek()
        && service_account(spec).is_none()
    {
        let message = format!(
            "{field}.credential.workloadIdentity: it is proved by a token of the workers' service account; name one in \
             spec.template.serviceAccountName"
        );
        findings.push(fails(Reason::ServiceAccountNotAllowed, message));
        return false;
    }
    federated.peek().is_some()
}

fn service_account(spec: &IntegrationSpec) -> Option<&str> {
    spec.template.as_ref().and_then(|template| template.service_account_name.as_deref())
}

/// What is wrong with what a Destination names in vaults.
pub fn unusable(spec: &DestinationSpec, settings: &AzureSettings) -> Vec<Finding> {
    let named = destination_vault_secrets(spec);
    let mut found: Vec<Finding> = unusable_vault(&named, spec.key_vault_identity.as_ref(), settings);
    let kept = spec.auth.as_ref().filter(|auth| auth.is_brokered());
    for (field, _) in kept.iter().flat_map(|auth| vault_secrets(auth, "spec.auth")) {
        let message = format!("{field}: the operator gets these tokens, and it reads no vault; give a secretKeyRef");
        found.push(fails(Reason::InvalidSpec, message));
    }
    found
}

/// What workers may not use.
pub fn not_allowed(field: &str, identity: &AzureIdentity, settings: &AzureSettings) -> Option<Finding> {
    identity.credential.managed_identity.filter(|_| !settings.managed_identity)?;
    let message = format!(
        "{field}.credential.managedIdentity: the administrator does not let this namespace use identities of nodes \
         (azure.managedIdentityNamespaces); use a workload identity"
    );
    Some(fails(Reason::IdentityNotAllowed, message))
}

fn unusable_vault(
    named: &[(String, VaultSecret)],
    identity: Option<&AzureIdentity>,
    settings: &AzureSettings,
) -> Vec<Finding> {
    let problem = |(field, secret): &(String, VaultSecret)| {
        let message = match secret.parts() {
            None => "give https://VAULT/secrets/NAME, or a version behind that".to_owned(),
            Some(parts) if settings.vault_resource(parts.host).is_none() => format!(
                "{} is no vault: none of Microsoft's, and none that the administrator allows (azure.vaultHosts)",
                parts.host
            ),
            Some(_) if identity.is_none() => "say in spec.keyVaultIdentity who reads it".to_owned(),
            Some(_) => return None,
        };
        Some(fails(Reason::InvalidSpec, format!("{field}: {message}")))
    };
    named.iter().filter_map(problem).collect()
}

fn fails(reason: Reason, message: String) -> Finding {
    Finding::fails(ConditionType::DestinationsResolved, reason, message)
}
