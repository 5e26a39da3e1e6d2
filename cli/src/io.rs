//! The door of the CLI to the API server.

use kube::{Api, Client, ResourceExt, api::ListParams};
use ropeway_crds::{Integration, status::IntegrationStatus};

/// The API server can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no usable kubeconfig.
    #[error("failed to find a cluster; set KUBECONFIG, or show a local run with --dev .ropeway")]
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
