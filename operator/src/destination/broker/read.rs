//! What a refresh needs to know: the wish of workers, and the values that the credentials name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use ropeway_auth::secret::Secrets;
use ropeway_crds::{
    Destination,
    account::TokenWish,
    auth::Auth,
    names::{NamespaceNames, ShortUid, token_key},
    reference::destination_settings,
    secret_ref::SecretKeyRef,
};

use crate::{context::Context, error::Error};

/// What workers wish. That it can't be read is no reason to leave tokens alone.
pub(super) async fn wish(destination: &Destination, namespace: &str, context: &Context) -> Option<TokenWish> {
    let found = context.kubernetes.namespace(namespace).await.ok()??;
    let names = NamespaceNames::new(ShortUid::of(&found.uid().unwrap_or_default()));
    let jetstream = context.connections.known(&context.kubernetes, namespace).await.ok()?;
    let key = token_key(&ShortUid::of(&destination.uid().unwrap_or_default()));
    let entry = jetstream.entry(&names.state_bucket(), &key).await.ok()??;
    serde_json::from_slice(&entry.value).ok()
}

/// The values of the Secrets and ConfigMaps that the credentials name.
pub(super) async fn secrets(destination: &Destination, namespace: &str, context: &Context) -> Result<Secrets, Error> {
    let mut held = BTreeMap::new();
    for key in destination.spec.auth.iter().flat_map(Auth::secret_keys) {
        let found = context.kubernetes.get::<Secret>(namespace, &key.name).await?;
        if let Some(value) = found.and_then(|secret| secret.data?.remove(&key.key)) {
            held.insert(key, value.0);
        }
    }
    let mut config_maps = BTreeMap::new();
    for (_, key) in destination_settings(&destination.spec) {
        let found = context.kubernetes.get::<ConfigMap>(namespace, &key.name).await?;
        if let Some(value) = found.and_then(|map| map.data?.remove(&key.key)) {
            config_maps.insert(SecretKeyRef { name: key.name, key: key.key }, value.into_bytes());
        }
    }
    Ok(Secrets::held(held, config_maps))
}
