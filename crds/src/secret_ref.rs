//! References to Secrets and ConfigMaps. Everything referenced is in the object's own namespace.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::VaultSecret;

/// One key of one Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Key within the Secret's data.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Where a secret value comes from: exactly one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretSource {
    /// A key of a Secret in this namespace.
    SecretKeyRef(SecretKeyRef),
    /// A secret of Azure Key Vault, by its identifier.
    AzureKeyVault(VaultSecret),
}

/// A value that is secret and therefore never written in the object itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// Where the value comes from.
    pub value_from: SecretSource,
}

impl SecretValue {
    /// The Secret key behind this value, if it comes from one.
    pub fn key(&self) -> Option<&SecretKeyRef> {
        match &self.value_from {
            SecretSource::SecretKeyRef(key) => Some(key),
            SecretSource::AzureKeyVault(_) => None,
        }
    }
}

/// Where a value comes from that need not be secret: exactly one place.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.azureKeyVault)].filter(given, given).size() == 1").message("give exactly one of secretKeyRef, configMapKeyRef and azureKeyVault"))]
#[serde(rename_all = "camelCase")]
pub struct ValueSource {
    /// A key of a Secret in this namespace.
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A key of a ConfigMap in this namespace.
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// A secret of Azure Key Vault, by its identifier.
    pub azure_key_vault: Option<VaultSecret>,
}

/// Where a value comes from that must not be secret, since it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// A key of a ConfigMap in this namespace.
    pub config_map_key_ref: ConfigMapKeyRef,
}

/// A value that may be written in the object or come from a Secret or a ConfigMap.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("give exactly one of value and valueFrom"))]
#[serde(rename_all = "camelCase")]
pub struct Value {
    /// The value itself. Only for what is not secret.
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
    /// Where the value comes from.
    pub value_from: Option<ValueSource>,
}

impl Value {
    /// The Secret key behind this value, if it comes from one.
    pub fn key(&self) -> Option<&SecretKeyRef> {
        self.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref())
    }
}

/// One key of one ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Key within the ConfigMap's data.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// One Secret as a whole, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretNameRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}
