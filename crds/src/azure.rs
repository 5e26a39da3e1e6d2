//! Identities of Microsoft Entra ID, secrets in Azure Key Vault, and what an administrator decides about both.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::secret_ref::{SecretKeyRef, SecretNameRef};

/// Domains of Microsoft's vaults, without the leading dot, each with the resource that its tokens are for.
const VAULTS: [(&str, &str); 3] = [
    ("vault.azure.net", "https://vault.azure.net"),
    ("vault.azure.cn", "https://vault.azure.cn"),
    ("vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
];

/// An identity of Microsoft Entra ID.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.credential.managedIdentity) || (has(self.tenantId) && has(self.clientId))").message("give tenantId and clientId; only a managed identity goes without"))]
#[x_kube(validation = Rule::new("!has(self.credential.managedIdentity) || (!has(self.tenantId) && !has(self.cloud))").message("tenantId and cloud mean nothing to a managed identity"))]
#[serde(rename_all = "camelCase")]
pub struct AzureIdentity {
    /// The directory: its id or a domain of it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-.0-9a-zA-Z]+$"))]
    pub tenant_id: Option<String>,
    /// The application's id. For a managed identity: that of a user-assigned one.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-0-9a-zA-Z]+$"))]
    pub client_id: Option<String>,
    /// How the identity is proved.
    pub credential: AzureCredential,
    /// Which cloud the directory is in. Default Public.
    pub cloud: Option<AzureCloud>,
    /// What tokens are for, as `https://RESOURCE/.default`. Only in `auth.azure`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[-_.:/0-9a-zA-Z]+$"))]
    pub scope: Option<String>,
}

/// How an identity is proved: exactly one way.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.clientSecret), has(self.certificateRef), has(self.workloadIdentity), has(self.managedIdentity)].filter(given, given).size() == 1").message("give exactly one of clientSecret, certificateRef, workloadIdentity and managedIdentity"))]
#[serde(rename_all = "camelCase")]
pub struct AzureCredential {
    /// A client secret.
    pub client_secret: Option<MountedSecret>,
    /// A Secret of type `kubernetes.io/tls` with the application's certificate and its RSA key.
    pub certificate_ref: Option<SecretNameRef>,
    /// A token of the workers' service account, which `template.serviceAccountName` names.
    pub workload_identity: Option<WorkloadIdentity>,
    /// An identity of the node. The administrator allows that by namespace.
    pub managed_identity: Option<ManagedIdentity>,
}

/// The service account's token says everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadIdentity {}

/// The node says everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManagedIdentity {}

/// A secret value that can come from a Secret only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountedSecret {
    /// Where it comes from.
    pub value_from: MountedSource,
}

/// Where such a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountedSource {
    /// A key of a Secret in this namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// A cloud with directories of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AzureCloud {
    /// `login.microsoftonline.com`
    #[default]
    Public,
    /// `login.microsoftonline.us`
    UsGovernment,
    /// `login.chinacloudapi.cn`
    China,
}

impl AzureCloud {
    /// Where its tokens are asked for.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

impl AzureIdentity {
    /// The Secret keys that proving it needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let AzureCredential { client_secret, certificate_ref, workload_identity: _, managed_identity: _ } =
            &self.credential;
        let certificate = certificate_ref.iter().flat_map(|secret| {
            ["tls.crt", "tls.key"].map(|key| SecretKeyRef { name: secret.name.clone(), key: key.into() })
        });
        client_secret.iter().map(|secret| secret.value_from.secret_key_ref.clone()).chain(certificate).collect()
    }
}

/// A secret in Azure Key Vault, by its identifier `https://VAULT/secrets/NAME[/VERSION]`. Without a version it is the current
/// one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VaultSecret(pub String);

impl JsonSchema for VaultSecret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VaultSecret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^https://[-.:0-9a-z]+/secrets/[-0-9a-zA-Z]{1,127}(/[0-9a-zA-Z]{1,64})?$";
        json_schema!({ "type": "string", "maxLength": 512, "pattern": pattern })
    }
}

/// The parts of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultSecretParts<'a> {
    /// The vault's address, without a slash at its end.
    pub vault: &'a str,
    /// The vault's host, without a port.
    pub host: &'a str,
    /// The secret's name.
    pub name: &'a str,
    /// The version that is asked for.
    pub version: Option<&'a str>,
}

impl VaultSecret {
    /// Its parts; none where it is no identifier.
    pub fn parts(&self) -> Option<VaultSecretParts<'_>> {
        let (vault, path) = self.0.split_once("/secrets/")?;
        let authority = vault.strip_prefix("https://")?;
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        if port.is_empty() || !port.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let (name, version) = path.split_once('/').map_or((path, None), |(name, version)| (name, Some(version)));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
        let good = !host.is_empty() && !host.contains(['/', '@', '?', '#']) && plain(name);
        (good && version.is_none_or(plain)).then_some(VaultSecretParts { vault, host, name, version })
    }
}

/// What the operator's administrator decided about Azure.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AzureSettings {
    /// Whether workers of this namespace may use identities of their node.
    pub managed_identity: bool,
    /// Where tokens are asked for instead of the cloud's own address.
    pub authority_host: Option<String>,
    /// Hosts of vaults outside of Microsoft's domains.
    pub vault_hosts: Vec<String>,
}

impl AzureSettings {
    /// Whether nothing was decided.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The resource that tokens for a vault are for; none where there may be no vault.
    pub fn vault_resource(&self, host: &str) -> Option<&'static str> {
        let below = |domain: &str| host.strip_suffix(domain).is_some_and(|name| name.len() > 1 && name.ends_with('.'));
        let known = VAULTS.iter().find(|(domain, _)| below(domain)).map(|(_, resource)| *resource);
        known.or_else(|| self.is_added(host).then_some(VAULTS[0].1))
    }

    /// Whether a host is one that the administrator added.
    pub fn is_added(&self, host: &str) -> bool {
        self.vault_hosts.iter().any(|added| added == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_taken_apart_or_refused() {
        let parts = |text: &str| {
            let secret = VaultSecret(text.into());
            let found = secret.parts().map(|it| (it.vault.to_owned(), it.host.to_owned(), it.name.to_owned()));
            found.zip(Some(secret.parts().and_then(|it| it.version.map(str::to_owned))))
        };
        let whole = ("https://crm.vault.azure.net".into(), "crm.vault.azure.net".into(), "token".into());
        assert_eq!(parts("https://crm.vault.azure.net/secrets/token"), Some((whole.clone(), None)));
        assert_eq!(parts("https://crm.vault.azure.net/secrets/token/0a1b"), Some((whole, Some("0a1b".into()))));
        for bad in [
            "http://crm.vault.azure.net/secrets/token",
            "https://crm.vault.azure.net/keys/token",
            "https://crm.vault.azure.net/secrets/",
            "https://crm.vault.azure.net/secrets/token/",
            "https://crm.vault.azure.net/secrets/token/a/b",
            "https://crm.vault.azure.net/secrets/to?ken",
            "https://evil.example/crm.vault.azure.net/secrets/token",
            "https://user@crm.vault.azure.net/secrets/token",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_microsofts_vaults_and_added_hosts_are_vaults() {
        let settings = AzureSettings { vault_hosts: vec!["127.0.0.1".into()], ..AzureSettings::default() };
        for host in ["crm.vault.azure.net", "127.0.0.1"] {
            assert_eq!(settings.vault_resource(host), Some("https://vault.azure.net"), "{host}");
        }
        assert_eq!(settings.vault_resource("crm.vault.azure.cn"), Some("https://vault.azure.cn"));
        for host in
            ["vault.azure.net", ".vault.azure.net", "crmvault.azure.net", "crm.vault.azure.net.evil.example", "x"]
        {
            assert_eq!(settings.vault_resource(host), None, "{host}");
        }
    }
}
