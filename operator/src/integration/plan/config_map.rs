//! The ConfigMap with the workers' configuration: immutable, and named by what it holds.

use k8s_openapi::api::core::v1::ConfigMap;
use ropeway_crds::names;

use super::meta;
use crate::integration::resolve::Identity;

/// The key of the configuration.
pub const KEY: &str = "config.json";

/// The ConfigMap that holds this configuration.
pub fn config_map(identity: &Identity, config: &[u8]) -> ConfigMap {
    ConfigMap {
        metadata: meta::child(identity, names::config_map(&identity.name, config)),
        immutable: Some(true),
        data: Some([(KEY.to_owned(), String::from_utf8_lossy(config).into_owned())].into()),
        ..ConfigMap::default()
    }
}
