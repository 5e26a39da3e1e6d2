//! Identities of Microsoft Entra ID: what a token request of one is, as a request of OAuth 2.0, and for an identity of the
//! node through Microsoft's own client.
//!
//! Microsoft's other credentials are not used: they keep a token that was refused, and their certificates need OpenSSL.

pub(crate) mod certificate;
pub(crate) mod managed;
pub(crate) mod through;

use std::path::PathBuf;

use ropeway_crds::{
    auth::{ClientSecretPlace, Grant, OAuth2},
    azure::{AzureCredential, AzureIdentity, AzureSettings},
    secret_ref::{SecretNameRef, SecretSource, SecretValue, Value},
};
use secrecy::SecretString;

use crate::token::TokenError;

/// Where the token of the workers' service account is mounted, and where the webhook of AKS mounts it too.
pub const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// By which that webhook names another place.
const TOKEN_FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// What an identity is proved by, beside what its description as a client of OAuth 2.0 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing more.
    Described,
    /// A statement that this Secret's key signs.
    Certificate(SecretNameRef),
    /// The service account's token in this file.
    Federated(PathBuf),
    /// The node knows it.
    Node {
        /// The id of a user-assigned identity.
        client_id: Option<String>,
        /// Whether that is allowed.
        allowed: bool,
    },
}

/// The identity as a client of OAuth 2.0, and what it is proved by.
pub(crate) fn client(identity: &AzureIdentity, settings: &AzureSettings) -> (OAuth2, Proof) {
    let AzureIdentity { tenant_id, client_id, credential, cloud, scope } = identity;
    let cloud_host = || cloud.unwrap_or_default().authority().to_owned();
    let authority = match cloud {
        None => settings.authority_host.clone().unwrap_or_else(cloud_host),
        Some(_) => cloud_host(),
    };
    let tenant = tenant_id.as_deref().unwrap_or_default();
    let AzureCredential { client_secret, certificate_ref, workload_identity, managed_identity } = credential;
    let proof = match (certificate_ref, workload_identity, managed_identity) {
        (Some(secret), ..) => Proof::Certificate(secret.clone()),
        (None, Some(_), _) => {
            Proof::Federated(std::env::var_os(TOKEN_FILE_VARIABLE).map_or(TOKEN_FILE.into(), Into::into))
        }
        (None, None, Some(_)) => Proof::Node { client_id: client_id.clone(), allowed: settings.managed_identity },
        (None, None, None) => Proof::Described,
    };
    let oauth2 = OAuth2 {
        grant: Grant::ClientCredentials,
        token_url: Some(format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'))),
        issuer: None,
        client_id: Value { value: Some(client_id.clone().unwrap_or_default()), value_from: None },
        client_secret: client_secret.as_ref().map(|secret| SecretValue {
            value_from: SecretSource::SecretKeyRef(secret.value_from.secret_key_ref.clone()),
        }),
        client_secret_in: Some(ClientSecretPlace::Body),
        client_assertion: None,
        assertion: None,
        refresh_token: None,
        authorization_url: None,
        tls: None,
        scopes: Some(scope.iter().cloned().collect()),
        audience: None,
        parameters: None,
        refresh_before: None,
        max_age: None,
    };
    (oauth2, proof)
}

/// The token of the service account, which the kubelet renews.
pub(crate) fn federated(file: &std::path::Path) -> Result<SecretString, TokenError> {
    let missing = || TokenError::Unavailable {
        message: format!(
            "the pod has no token of its service account in {}; see workload identity in docs/credentials.md",
            file.display()
        ),
        after: None,
    };
    let text = std::fs::read_to_string(file).map_err(|_| missing())?;
    let text = text.trim();
    if text.is_empty() { Err(missing()) } else { Ok(text.to_owned().into()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(identity: serde_json::Value, settings: &AzureSettings) -> (String, Proof) {
        let (oauth2, proof) = client(&serde_json::from_value(identity).unwrap(), settings);
        (oauth2.token_url.unwrap(), proof)
    }

    #[test]
    fn each_cloud_has_its_address_and_the_administrators_goes_before_the_public_one() {
        let identity = |cloud: Option<&str>| {
            let mut identity = json!({ "tenantId": "t", "clientId": "c", "credential": { "workloadIdentity": {} } });
            if let Some(cloud) = cloud {
                identity["cloud"] = json!(cloud);
            }
            identity
        };
        let (plain, own) = (
            AzureSettings::default(),
            AzureSettings { authority_host: Some("https://login.example/".into()), ..AzureSettings::default() },
        );
        for (cloud, settings, expected) in [
            (None, &plain, "https://login.microsoftonline.com/t/oauth2/v2.0/token"),
            (Some("UsGovernment"), &plain, "https://login.microsoftonline.us/t/oauth2/v2.0/token"),
            (Some("China"), &plain, "https://login.chinacloudapi.cn/t/oauth2/v2.0/token"),
            (None, &own, "https://login.example/t/oauth2/v2.0/token"),
            (Some("China"), &own, "https://login.chinacloudapi.cn/t/oauth2/v2.0/token"),
        ] {
            assert_eq!(url(identity(cloud), settings).0, expected);
        }
    }

    #[test]
    fn an_identity_of_the_node_is_allowed_by_the_administrator_alone() {
        let identity = json!({ "credential": { "managedIdentity": {} } });
        let allowed = AzureSettings { managed_identity: true, ..AzureSettings::default() };
        for (settings, is) in [(AzureSettings::default(), false), (allowed, true)] {
            assert_eq!(url(identity.clone(), &settings).1, Proof::Node { client_id: None, allowed: is });
        }
    }
}
