//! What exposes an address: made last, so that whatever is wrong with it keeps nothing else from being as it should.

use k8s_openapi::api::networking::v1::Ingress;
use kube::Resource;
use ropeway_crds::names;

use super::ApplyError;
use crate::{
    integration::plan::{
        Plan,
        expose::{Exposure, HttpRoute, field},
    },
    io::kubernetes::{Class, KubeError, Kubernetes},
};

/// Writes the Ingress or HTTPRoute of a plan and removes the one that left it. Answers the HTTPRoute as it is now, with what
/// Gateways say of it.
///
/// # Errors
/// [`ApplyError::KindMissing`] where the cluster has no such kind, [`ApplyError::Expose`] if a call failed.
pub async fn apply_exposure(kubernetes: &Kubernetes, plan: &Plan) -> Result<Option<HttpRoute>, ApplyError> {
    // A source without an address never had one: its kind can't be changed.
    if plan.service.is_none() {
        return Ok(None);
    }
    let (namespace, field) = (&plan.identity.namespace, field(plan));
    match &plan.exposure {
        Some(Exposure::Ingress(ingress)) => {
            kubernetes
                .apply(namespace, ingress.as_ref())
                .await
                .map_err(|source| ApplyError::Expose { field, source })?;
            prune::<HttpRoute>(kubernetes, plan).await?;
            Ok(None)
        }
        Some(Exposure::HttpRoute(route)) => {
            let made = match kubernetes.apply(namespace, route.as_ref()).await {
                Ok(made) => made,
                Err(error) => return Err(missing_or(kubernetes, field, error).await),
            };
            prune::<Ingress>(kubernetes, plan).await?;
            Ok(Some(made))
        }
        None => {
            prune::<Ingress>(kubernetes, plan).await?;
            prune::<HttpRoute>(kubernetes, plan).await?;
            Ok(None)
        }
    }
}

/// The API server answers with the same 404 whether the kind or the namespace is missing.
async fn missing_or(kubernetes: &Kubernetes, field: &'static str, source: KubeError) -> ApplyError {
    let (group_version, plural) = (HttpRoute::api_version(&()), HttpRoute::plural(&()));
    if source.class() != Class::NotFound {
        return ApplyError::Expose { field, source };
    }
    match kubernetes.has_kind(&group_version, &plural).await {
        Ok(false) => ApplyError::KindMissing { field, kind: format!("{plural}.{}", HttpRoute::group(&())) },
        Ok(true) | Err(_) => ApplyError::Expose { field, source },
    }
}

/// Removes what is left of an earlier plan.
async fn prune<K>(kubernetes: &Kubernetes, plan: &Plan) -> Result<(), ApplyError>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let name = names::child(&plan.identity.name);
    match kubernetes.delete_owned::<K>(&plan.identity.namespace, &name, &plan.identity.uid).await {
        Ok(_) => Ok(()),
        // Of a kind that is not there is none, and an operator that may not even look never made one.
        Err(error) if error.class() == Class::NotFound => Ok(()),
        Err(error) if error.class() == Class::Forbidden && error.verb() == "get" => Ok(()),
        Err(source) => Err(ApplyError::Expose { field: field(plan), source }),
    }
}
