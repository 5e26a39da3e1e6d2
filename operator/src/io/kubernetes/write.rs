//! Writes that no other owner of the object may undo unseen, or that only say something to others.

use std::fmt;

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{FIELD_MANAGER, KubeError, Kubernetes, call, names_of, within};
use crate::fault;

impl Kubernetes {
    /// Writes a Secret of ours as it is: made if it has no resource version yet, else replaced, provided that nobody wrote in
    /// between.
    ///
    /// # Errors
    /// See [`KubeError`]; [`Class::Conflict`] if somebody did.
    pub async fn write_secret(&self, namespace: &str, secret: &Secret) -> Result<Secret, KubeError> {
        let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
        let name = secret.metadata.name.clone().unwrap_or_default();
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match secret.metadata.resource_version {
            None => {
                let call = call::<Secret>("create", namespace, &name);
                fault::write("secret", within(call, api.create(&parameters, secret))).await
            }
            Some(_) => {
                let call = call::<Secret>("replace", namespace, &name);
                fault::write("secret", within(call, api.replace(&name, &parameters, secret))).await
            }
        }
    }

    /// Gives an object an annotation.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn annotate<K>(&self, object: &K, (annotation, value): (String, String)) -> Result<(), KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let (namespace, name) = names_of(object);
        let api = Api::<K>::namespaced(self.client.clone(), &namespace);
        let body: Value = json!({ "metadata": { "annotations": { annotation: value } } });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let call = call::<K>("annotate", &namespace, &name);
        fault::write("annotation", within(call, api.patch(&name, &parameters, &Patch::Merge(body)))).await.map(drop)
    }
}
