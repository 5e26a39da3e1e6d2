//! The workers' configuration.

use ropeway_crds::{
    names::ShortUid,
    worker_config::{CONFIG_VERSION, WorkerConfig},
};

use super::Settings;
use crate::integration::resolve::Resolved;

/// What the workers of this Integration are told.
pub fn worker_config(resolved: &Resolved, settings: &Settings) -> WorkerConfig {
    WorkerConfig {
        version: CONFIG_VERSION,
        namespace: resolved.identity.namespace.clone(),
        namespace_uid: ShortUid::of(&resolved.identity.namespace_uid),
        allowed_private_ranges: settings.allowed_private_ranges.clone(),
        azure: resolved.azure.clone(),
        integrations: vec![resolved.config.clone()],
    }
}

/// The bytes of the file. Their hash names the ConfigMap, so equal configurations have equal bytes.
pub fn bytes(config: &WorkerConfig) -> Vec<u8> {
    serde_json::to_vec(config).expect("a configuration of plain types serialises")
}
