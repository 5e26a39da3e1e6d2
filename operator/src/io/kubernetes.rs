//! The door to the API server: the only place that uses [`kube::Api`] (but for the watches, which are streams of their
//! own). Every call has a deadline, and every failure a class that decides what follows.

use std::{fmt, future::Future, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, ObjectReference},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::fault;

mod error;
mod write;

use error::classify;
pub use error::{Call, Class, KubeError};

/// Owner of what the operator writes in children.
pub const FIELD_MANAGER: &str = "ropeway-operator";

/// Owner of what the operator writes in status.
pub const STATUS_MANAGER: &str = "ropeway-operator-status";

/// The longest a call may take. The client has no read timeout of its own and retries for a long time.
const DEADLINE: Duration = Duration::from_secs(10);

/// The door to the API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    recorder: Recorder,
}

impl Kubernetes {
    /// A door that uses this client.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "ropeway-operator".into(), instance: None };
        Self { recorder: Recorder::new(client.clone(), reporter), client }
    }

    /// The client, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// One object, or `None` where there is none.
    ///
    /// # Errors
    /// See [`KubeError`]; a missing object is none.
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        within(call::<K>("get", namespace, name), api.get_opt(name)).await
    }

    /// A namespace.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn namespace(&self, name: &str) -> Result<Option<Namespace>, KubeError> {
        let api = Api::<Namespace>::all(self.client.clone());
        within(call::<Namespace>("get", "", name), api.get_opt(name)).await
    }

    /// The objects of a namespace with these labels.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn list<K>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let parameters = ListParams::default().labels(labels);
        within(call::<K>("list", namespace, "*"), api.list(&parameters)).await.map(|list| list.items)
    }

    /// Server-side apply of a child. Fields of ours that somebody else changed become ours again.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn apply<K>(&self, namespace: &str, object: &K) -> Result<K, KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let name = object.meta().name.clone().unwrap_or_default();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(object);
        let call = call::<K>("apply", namespace, &name);
        fault::write("apply", within(call, api.patch(&name, &parameters, &patch))).await
    }

    /// Server-side apply of a status. The UID makes sure that it never lands on an object made again under the name.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn apply_status<K>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        status: &impl Serialize,
    ) -> Result<(), KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let body = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": { "name": name, "uid": uid },
            "status": status,
        });
        let parameters = PatchParams::apply(STATUS_MANAGER).force();
        let patch = Patch::Apply(body);
        let call = call::<K>("write the status of", namespace, name);
        fault::write("status", within(call, api.patch_status(name, &parameters, &patch))).await.map(drop)
    }

    /// Replaces an object's finalizers, provided that nobody wrote in between.
    ///
    /// # Errors
    /// See [`KubeError`]; [`Class::Conflict`] if somebody did.
    pub async fn set_finalizers<K>(&self, object: &K, finalizers: &[String]) -> Result<(), KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let (namespace, name) = names_of(object);
        let api = Api::<K>::namespaced(self.client.clone(), &namespace);
        let meta = object.meta();
        let body: Value = json!({ "metadata": {
            "resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": finalizers,
        }});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(body);
        let call = call::<K>("change the finalizers of", &namespace, &name);
        fault::write("finalizers", within(call, api.patch(&name, &parameters, &patch))).await.map(drop)
    }

    /// Takes an annotation away that asked for something that was done.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn remove_annotation<K>(&self, object: &K, annotation: &str) -> Result<(), KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let (namespace, name) = names_of(object);
        let api = Api::<K>::namespaced(self.client.clone(), &namespace);
        let body: Value = json!({ "metadata": { "uid": object.meta().uid, "annotations": { annotation: null } } });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let call = call::<K>("take an annotation from", &namespace, &name);
        fault::write("annotation", within(call, api.patch(&name, &parameters, &Patch::Merge(body)))).await.map(drop)
    }

    /// Deletes a child if it is owned by `owner`. Answers whether it was there.
    ///
    /// # Errors
    /// See [`KubeError`]; a missing object is none.
    pub async fn delete_owned<K>(&self, namespace: &str, name: &str, owner: &str) -> Result<bool, KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let Some(found) = self.get::<K>(namespace, name).await? else { return Ok(false) };
        let owned = found.meta().owner_references.iter().flatten().any(|reference| reference.uid == owner);
        if !owned {
            return Ok(false);
        }
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let preconditions = Preconditions { uid: found.meta().uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let call = call::<K>("delete", namespace, name);
        match fault::write("delete", within(call, api.delete(name, &parameters))).await {
            Ok(_) => Ok(true),
            Err(error) if error.class() == Class::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// UIDs of the objects of a namespace that carry a finalizer. Reads metadata only, so that one that can't be read
    /// hides no other.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn holders<K>(&self, namespace: &str, finalizer: &str) -> Result<Vec<String>, KubeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let found = within(call::<K>("list", namespace, "*"), api.list_metadata(&ListParams::default())).await?;
        let holds = |meta: &kube::api::ObjectMeta| meta.finalizers.iter().flatten().any(|held| held == finalizer);
        let metas = found.items.into_iter().map(|object| object.metadata);
        Ok(metas.filter(holds).filter_map(|meta| meta.uid).collect())
    }

    /// Which of our kinds the API server does not know.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn missing_kinds(&self) -> Result<Vec<String>, KubeError> {
        let known = self.plurals(&format!("{}/v1alpha1", ropeway_crds::GROUP)).await?;
        let wanted = ["integrations", "destinations"];
        Ok(wanted
            .into_iter()
            .filter(|plural| !known.iter().any(|name| name == plural))
            .map(|plural| format!("{plural}.{}", ropeway_crds::GROUP))
            .collect())
    }

    /// Whether the API server knows a kind.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub async fn has_kind(&self, group_version: &str, plural: &str) -> Result<bool, KubeError> {
        Ok(self.plurals(group_version).await?.iter().any(|known| known == plural))
    }

    /// The plurals of the kinds of a group's version; none where the group is not there.
    async fn plurals(&self, group_version: &str) -> Result<Vec<String>, KubeError> {
        let discover = Call { verb: "discover", kind: "API group".into(), name: group_version.to_owned() };
        match within(discover, self.client.list_api_group_resources(group_version)).await {
            Ok(list) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
            Err(error) if error.class() == Class::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a Kubernetes Event. Best effort: in a terminating namespace none can be written, and nothing depends on it.
    pub async fn event(&self, object: &ObjectReference, warning: bool, reason: &str, note: String) {
        let type_ = if warning { EventType::Warning } else { EventType::Normal };
        let note = Some(note.chars().take(250).collect());
        let event = Event { type_, reason: reason.into(), note, action: "Reconcile".into(), secondary: None };
        let publish = fault::write("event", self.recorder.publish(&event, object));
        if !matches!(tokio::time::timeout(DEADLINE, publish).await, Ok(Ok(()))) {
            tracing::debug!(reason, "an event could not be written");
        }
    }
}

fn names_of<K: Resource>(object: &K) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn call<K: Resource<DynamicType = ()>>(verb: &'static str, namespace: &str, name: &str) -> Call {
    let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    Call { verb, kind: K::kind(&()).into_owned(), name }
}

async fn within<T>(call: Call, future: impl Future<Output = Result<T, kube::Error>>) -> Result<T, KubeError> {
    match tokio::time::timeout(DEADLINE, future).await {
        Err(_) => Err(KubeError::TimedOut { call }),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(KubeError::Failed { call, class: classify(&source), source: Box::new(source) }),
    }
}
