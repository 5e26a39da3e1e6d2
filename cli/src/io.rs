//! The door of the CLI to the API server.

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Namespace as KubeNamespace, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use ropeway_crds::{
    Destination, Integration,
    secret_ref::{ConfigMapKeyRef, SecretKeyRef},
    status::IntegrationStatus,
};
use serde::de::DeserializeOwned;

/// The API server can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no usable kubeconfig.
    #[error(
        "failed to find a cluster; set KUBECONFIG, or look at a local run (status --dev .ropeway, dlq --data .ropeway)"
    )]
    NoCluster(#[source] kube::Error),
    /// The Integrations can't be listed.
    #[error("failed to list the Integrations of the namespace {namespace}")]
    List {
        /// The namespace.
        namespace: String,
        /// What went wrong.
        #[source]
        source: kube::Error,
    },
    /// The Integration can't be read.
    #[error("failed to read the Integration {name} of the namespace {namespace}")]
    Read {
        /// The namespace.
        namespace: String,
        /// The Integration.
        name: String,
        /// What went wrong.
        #[source]
        source: kube::Error,
    },
    /// There is no such Integration.
    #[error(
        "there is no Integration {name:?} in the namespace {namespace}; `ropeway status --namespace {namespace}` lists them"
    )]
    NotFound {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// There is no such Destination.
    #[error(
        "there is no Destination {name:?} in the namespace {namespace}; `kubectl get destinations -n {namespace}` lists them"
    )]
    NoDestination {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// An object can't be read.
    #[error("failed to read the {kind} {name} of the namespace {namespace}")]
    Get {
        /// The kind.
        kind: String,
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// What went wrong.
        #[source]
        source: Box<kube::Error>,
    },
    /// A Secret can't be written.
    #[error("failed to write the Secret {name} of the namespace {namespace}")]
    Write {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// What went wrong.
        #[source]
        source: Box<kube::Error>,
    },
    /// The namespace can't be read.
    #[error(
        "failed to read the namespace {namespace}, whose UID names its streams; it takes the right to get namespaces"
    )]
    Namespace {
        /// The namespace.
        namespace: String,
        /// What went wrong.
        #[source]
        source: kube::Error,
    },
}

/// What names an Integration's streams, and its destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its UID.
    pub uid: String,
    /// The UID of its namespace.
    pub namespace_uid: String,
    /// The names of its destinations.
    pub destinations: Vec<String>,
}

/// The statuses of the Integrations of a namespace, by name.
///
/// # Errors
/// See [`ClusterError`].
pub async fn statuses(namespace: Option<&str>) -> Result<Vec<(String, IntegrationStatus)>, ClusterError> {
    let client = Client::try_default().await.map_err(ClusterError::NoCluster)?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace()).to_owned();
    let api: Api<Integration> = Api::namespaced(client, &namespace);
    let found = api.list(&ListParams::default()).await.map_err(|source| ClusterError::List { namespace, source })?;
    Ok(found.into_iter().map(|it| (it.name_any(), it.status.unwrap_or_default())).collect())
}

/// One Integration of a namespace.
///
/// # Errors
/// See [`ClusterError`].
pub async fn integration(namespace: Option<&str>, name: &str) -> Result<Found, ClusterError> {
    let client = Client::try_default().await.map_err(ClusterError::NoCluster)?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace()).to_owned();
    let api: Api<Integration> = Api::namespaced(client.clone(), &namespace);
    let read = |source| ClusterError::Read { namespace: namespace.clone(), name: name.to_owned(), source };
    let found = api.get_opt(name).await.map_err(read)?;
    let found = found.ok_or_else(|| ClusterError::NotFound { namespace: namespace.clone(), name: name.to_owned() })?;
    let space = Api::<KubeNamespace>::all(client).get(&namespace).await;
    let space = space.map_err(|source| ClusterError::Namespace { namespace, source })?;
    Ok(Found {
        uid: found.uid().unwrap_or_default(),
        namespace_uid: space.uid().unwrap_or_default(),
        destinations: found.spec.destinations.into_iter().map(|destination| destination.name).collect(),
    })
}

/// A namespace of the cluster in the kubeconfig.
pub struct Namespace {
    client: Client,
    name: String,
}

impl Namespace {
    /// This namespace, or the kubeconfig's own.
    ///
    /// # Errors
    /// If there is no cluster.
    pub async fn open(name: Option<&str>) -> Result<Self, ClusterError> {
        let client = Client::try_default().await.map_err(ClusterError::NoCluster)?;
        let name = name.unwrap_or_else(|| client.default_namespace()).to_owned();
        Ok(Self { client, name })
    }

    /// A Destination.
    ///
    /// # Errors
    /// If it can't be read or is not there.
    pub async fn destination(&self, name: &str) -> Result<Destination, ClusterError> {
        let found = self.get::<Destination>(name).await?;
        found.ok_or_else(|| ClusterError::NoDestination { namespace: self.name.clone(), name: name.to_owned() })
    }

    /// The value of a Secret's key.
    ///
    /// # Errors
    /// If the Secret can't be read; one that is not there is none.
    pub async fn secret_value(&self, key: &SecretKeyRef) -> Result<Option<Vec<u8>>, ClusterError> {
        let found = self.get::<Secret>(&key.name).await?;
        Ok(found.and_then(|secret| secret.data?.remove(&key.key)).map(|value| value.0))
    }

    /// The value of a ConfigMap's key.
    ///
    /// # Errors
    /// If the ConfigMap can't be read; one that is not there is none.
    pub async fn setting(&self, key: &ConfigMapKeyRef) -> Result<Option<Vec<u8>>, ClusterError> {
        let found = self.get::<ConfigMap>(&key.name).await?;
        Ok(found.and_then(|map| map.data?.remove(&key.key)).map(String::into_bytes))
    }

    /// Writes a Secret made of the one that is there, again and again until nobody wrote in between.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn replace_secret(
        &self,
        name: &str,
        make: impl Fn(Option<Secret>) -> Secret,
    ) -> Result<(), ClusterError> {
        const TRIES: usize = 10;
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.name);
        let mut tries = 0;
        loop {
            let secret = make(self.get::<Secret>(name).await?);
            let written = match secret.metadata.resource_version {
                Some(_) => api.replace(name, &PostParams::default(), &secret).await,
                None => api.create(&PostParams::default(), &secret).await,
            };
            tries += 1;
            match written {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {}
                Err(source) => {
                    return Err(ClusterError::Write {
                        namespace: self.name.clone(),
                        name: name.to_owned(),
                        source: source.into(),
                    });
                }
            }
        }
    }

    async fn get<K>(&self, name: &str) -> Result<Option<K>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), &self.name);
        api.get_opt(name).await.map_err(|source| ClusterError::Get {
            kind: K::kind(&()).into_owned(),
            namespace: self.name.clone(),
            name: name.to_owned(),
            source: source.into(),
        })
    }
}
