//! Kubeconfig files: everything inline, so that one file is all that a user, `kubectl` or `helm` needs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    Error,
    certificates::{Authority, Identity},
    error::file,
};

/// Writes a kubeconfig for `identity`. JSON is YAML, and needs no quoting rules of our own.
pub(crate) fn write(path: &Path, server: &str, authority: &Authority, identity: &Identity) -> Result<PathBuf, Error> {
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "ropeway-test",
        "clusters": [{"name": "ropeway-test", "cluster": {
            "server": server,
            "certificate-authority-data": encoded(&authority.certificate()),
        }}],
        "users": [{"name": "ropeway-test", "user": {
            "client-certificate-data": encoded(&identity.certificate),
            "client-key-data": encoded(&identity.key),
        }}],
        "contexts": [{"name": "ropeway-test", "context": {"cluster": "ropeway-test", "user": "ropeway-test"}}],
    });
    fs::write(path, format!("{content:#}\n")).map_err(file("write", path))?;
    Ok(path.to_owned())
}

/// A client for the cluster and user of a kubeconfig.
pub(crate) async fn client(path: &Path) -> Result<kube::Client, Error> {
    let unusable = |source| Error::Kubeconfig { path: path.to_owned(), source };
    let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(unusable)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
        .await
        .map_err(unusable)?;
    kube::Client::try_from(config).map_err(|source| Error::Client(Box::new(source)))
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
