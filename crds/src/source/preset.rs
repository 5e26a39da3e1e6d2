//! Vendors whose webhooks are verified by name: what they sign, and how, is known.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    secret_ref::{SecretValue, Value},
};

/// Standard Webhooks: v1 (HMAC-SHA256) and v1a (Ed25519).
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.secrets) || has(self.publicKeys)").message("give secrets, publicKeys or both"))]
#[serde(rename_all = "camelCase")]
pub struct StandardWebhooks {
    /// The signing secrets of v1 (`whsec_…`). Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Option<Vec<SecretValue>>,
    /// The public keys of v1a (`whpk_…`). Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub public_keys: Option<Vec<Value>>,
    /// How far the sender's clock may be off, both ways. Default 5m.
    pub tolerance: Option<Duration>,
}

/// A vendor whose signature covers no time: a captured request can be sent again, and is then known by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedBody {
    /// The signing secrets. Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Vec<SecretValue>,
}

/// A vendor whose signature covers the time.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedBodyAndTime {
    /// The signing secrets. Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Vec<SecretValue>,
    /// How far the sender's clock may be off, both ways. Default 5m.
    pub tolerance: Option<Duration>,
}

/// HubSpot: the client secret of the app signs.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubSpotVerification {
    /// The client secrets. Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Vec<SecretValue>,
    /// Which of HubSpot's schemes is accepted. V3, the default, and V2 sign the address that HubSpot called, so they need
    /// `webhook.publicUrl`. V1 and V2 cover no time.
    pub version: Option<HubSpotVersion>,
    /// How far the sender's clock may be off, both ways, for V3. Default 5m.
    pub tolerance: Option<Duration>,
}

/// HubSpot's schemes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HubSpotVersion {
    /// SHA-256 over secret and body.
    V1,
    /// SHA-256 over secret, method, address and body.
    V2,
    /// HMAC-SHA256 over method, address, body and time.
    #[default]
    V3,
}

/// Twilio SendGrid: ECDSA over time and body.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendGridVerification {
    /// The verification keys that SendGrid shows, in base 64. Any of them may have signed.
    #[schemars(length(min = 1, max = 4))]
    pub public_keys: Vec<Value>,
    /// How far the sender's clock may be off, both ways. Default 5m. SendGrid signs each attempt anew.
    pub tolerance: Option<Duration>,
}
