//! The Secret with the tokens: who refreshes says so first, what came is stored, and kubelets are told.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Resource, ResourceExt};
use ropeway_crds::{Destination, names::token_secret};
use secrecy::{ExposeSecret, SecretString};

use super::decide::{Held, REFRESHING};
use crate::{context::Context, error::Error, io::kubernetes::Class};

/// Says that a refresh is under way. Whoever is late gets a conflict, and looks again.
pub(super) async fn begin(
    destination: &Destination,
    secret: Option<Secret>,
    held: &Held,
    namespace: &str,
    context: &Context,
) -> Result<Secret, Error> {
    let mut secret = secret_of(destination, secret, held);
    let said = format!("{} {}", context.identity(), Timestamp::now());
    secret.metadata.annotations.get_or_insert_default().insert(REFRESHING.into(), said);
    Ok(context.kubernetes.write_secret(namespace, &secret).await?)
}

/// The Secret with a Destination's tokens: the one that is there, or a new one. It goes with the Destination.
pub fn secret_of(destination: &Destination, found: Option<Secret>, held: &Held) -> Secret {
    let mut secret = found.unwrap_or_default();
    secret.metadata.name = Some(token_secret(&destination.name_any()));
    secret.metadata.namespace = destination.namespace();
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert("app.kubernetes.io/managed-by".into(), "ropeway-operator".into());
    if let Some(owner) = destination.owner_ref(&()) {
        secret.metadata.owner_references = Some(vec![owner]);
    }
    if let Some(annotations) = &mut secret.metadata.annotations {
        annotations.remove(REFRESHING);
    }
    secret.data = Some(held.data());
    secret
}

/// Stores what came. It is the only copy, so it is tried until it stands there. Somebody who wrote in between does not keep
/// it from that, unless it was another refresh token: a person has consented anew.
pub(super) async fn store(begun: Secret, next: &Held, namespace: &str, context: &Context) -> Result<(), Error> {
    // Ten minutes; by then a person has been told by the condition's age and by the log.
    const TRIES: u32 = 600;
    let used = Held::of(&begun).refresh;
    let name = begun.name_any();
    let mut secret = begun;
    let mut tries = 0;
    loop {
        secret.data = Some(next.data());
        secret.metadata.annotations.get_or_insert_default().remove(REFRESHING);
        let error = match context.kubernetes.write_secret(namespace, &secret).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        if tries == TRIES {
            return Err(error.into());
        }
        tracing::warn!(namespace, name, %error, "refreshed tokens are not stored yet");
        if error.class() != Class::Conflict {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let Ok(found) = context.kubernetes.get::<Secret>(namespace, &name).await else { continue };
        secret = match found {
            Some(found) if !same(&Held::of(&found).refresh, &used) => return Ok(()),
            Some(found) => found,
            None => {
                secret.metadata.resource_version = None;
                secret.metadata.uid = None;
                secret
            }
        };
    }
}

/// Lets kubelets look at once: they do when a pod changes.
pub(super) async fn show(name: &str, namespace: &str, context: &Context) {
    let secret = token_secret(name);
    let mounts = |pod: &Pod| {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut named = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.as_ref());
        named.any(|named| *named == secret)
    };
    let pods = context.kubernetes.list::<Pod>(namespace, "app.kubernetes.io/name=ropeway-worker").await;
    for pod in pods.into_iter().flatten().filter(mounts) {
        let said = (("ropeway.dev/token-refreshed").to_owned(), Timestamp::now().to_string());
        if let Err(error) = context.kubernetes.annotate(&pod, said).await {
            tracing::debug!(%error, "a kubelet will show the new token a little later");
        }
    }
}

fn same(one: &Option<SecretString>, other: &Option<SecretString>) -> bool {
    let exposed = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
    exposed(one) == exposed(other)
}
