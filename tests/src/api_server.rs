//! A real API server without a node: etcd, kube-apiserver and kube-controller-manager on free ports of the loopback.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tokio::sync::OnceCell;

use crate::{
    Error,
    control_plane::{Addresses, ControlPlane},
    kubeconfig,
    port::free_port,
    programs,
    scratch::Scratch,
    wait::until,
};

/// An API server with the RBAC authorizer, admission and the controllers, empty but for what Kubernetes puts there itself.
///
/// Dropping it kills its processes and removes its folder.
pub struct ApiServer {
    control_plane: ControlPlane,
    kubeconfig: PathBuf,
    _scratch: Scratch,
}

impl ApiServer {
    /// The API server that the tests of this program share; the first caller starts it, and it ends with the program.
    ///
    /// # Errors
    /// As `start`; every later caller gets the same error.
    pub async fn shared() -> Result<&'static Self, &'static Error> {
        static SHARED: OnceCell<Result<ApiServer, Error>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    /// Starts one and waits until it can be used: ready, and with the default service account.
    ///
    /// # Errors
    /// When a program is missing, or does not become ready; then with the end of its log.
    pub async fn start() -> Result<Self, Error> {
        let scratch = Scratch::new("api")?;
        let addresses = Addresses {
            etcd_port: free_port()?,
            etcd_peer_port: free_port()?,
            api_port: free_port()?,
            controller_port: free_port()?,
            advertised: None,
        };
        let control_plane = ControlPlane::start(scratch.path(), addresses).await?;
        let kubeconfig = scratch.path().join("admin.kubeconfig");
        await_controllers(&kubeconfig::client(&kubeconfig).await?).await?;
        Ok(Self { control_plane, kubeconfig, _scratch: scratch })
    }

    /// The kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with the rights of an administrator.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        kubeconfig::client(&self.kubeconfig).await
    }

    /// A kubeconfig for any user and groups; what they may do is up to RBAC.
    ///
    /// # Errors
    /// When the certificate can't be made.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        self.control_plane.kubeconfig(&user.replace([':', '/'], "-"), user, groups)
    }

    /// A client for any user and groups. A service account is the user `system:serviceaccount:<namespace>:<name>`.
    ///
    /// # Errors
    /// When the certificate can't be made.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Result<kube::Client, Error> {
        kubeconfig::client(&self.kubeconfig_for(user, groups)?).await
    }

    /// `kubectl` with the rights of an administrator, ready for arguments.
    ///
    /// # Errors
    /// When kubectl is missing.
    pub fn kubectl(&self) -> Result<Command, Error> {
        kubectl(&self.kubeconfig)
    }

    /// Fails when one of the programs has ended.
    ///
    /// # Errors
    /// With the end of the log of the program that ended.
    pub fn check(&mut self) -> Result<(), Error> {
        self.control_plane.check()
    }

    /// Kills the API server (SIGKILL). What it stored stays.
    pub fn kill(&mut self) {
        self.control_plane.kill_api_server();
    }

    /// Starts the API server again at the same address, with what it had stored.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.control_plane.restart_api_server().await
    }

    /// Freezes the API server: connections stay open and nothing answers.
    pub async fn freeze(&self) {
        self.control_plane.api_server().freeze().await;
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.control_plane.api_server().thaw();
    }
}

/// A `kubectl` for one kubeconfig, without the user's own settings.
pub(crate) fn kubectl(kubeconfig: &Path) -> Result<Command, Error> {
    let mut command = Command::new(programs::find("kubectl")?);
    command.env("KUBECONFIG", kubeconfig);
    Ok(command)
}

/// Waits until the controllers run: the default service account is theirs, and pods are refused without it.
pub(crate) async fn await_controllers(client: &kube::Client) -> Result<(), Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    until("the default service account exists", Duration::from_secs(60), async || {
        match accounts.get_opt("default").await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("absent".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}
