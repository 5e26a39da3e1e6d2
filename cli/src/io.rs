//! The door of the CLI to the API server.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, api::ListParams};
use ropeway_crds::{Integration, status::IntegrationStatus};

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
    let space = Api::<Namespace>::all(client).get(&namespace).await;
    let space = space.map_err(|source| ClusterError::Namespace { namespace, source })?;
    Ok(Found {
        uid: found.uid().unwrap_or_default(),
        namespace_uid: space.uid().unwrap_or_default(),
        destinations: found.spec.destinations.into_iter().map(|destination| destination.name).collect(),
    })
}
