//! The cluster that the tests of one program share: a node made for them, or one that is already there.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::sync::OnceCell;

use crate::{Error, Node, api_server::kubectl, kubeconfig, node::import_image, process::run};

/// A node of the harness, or, with `CLUSTER_KUBECONFIG` set, a cluster that somebody else made (kind, k3d).
pub enum Cluster {
    /// Made by these tests.
    Node(Box<Node>),
    /// Already there.
    Existing {
        /// Its kubeconfig.
        kubeconfig: PathBuf,
    },
}

impl Cluster {
    /// The cluster of this test program; the first caller starts it. It ends with the program.
    ///
    /// # Errors
    /// As `Node::start`; every later caller gets the same error.
    pub async fn shared() -> Result<&'static Self, &'static Error> {
        static SHARED: OnceCell<Result<Cluster, Error>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    async fn start() -> Result<Self, Error> {
        match env::var_os("CLUSTER_KUBECONFIG") {
            Some(kubeconfig) => Ok(Self::Existing { kubeconfig: kubeconfig.into() }),
            None => Node::start().await.map(|node| Self::Node(Box::new(node))),
        }
    }

    /// The kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        match self {
            Self::Node(node) => node.kubeconfig(),
            Self::Existing { kubeconfig } => kubeconfig,
        }
    }

    /// A client with the rights of an administrator. Each test needs its own: it lives in the test's runtime.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        kubeconfig::client(self.kubeconfig()).await
    }

    /// `kubectl` with the rights of an administrator, ready for arguments.
    ///
    /// # Errors
    /// When kubectl is missing.
    pub fn kubectl(&self) -> Result<Command, Error> {
        kubectl(self.kubeconfig())
    }

    /// Brings an image archive to the cluster. An existing one gets it by the command in `CLUSTER_LOAD`, for example
    /// `kind load image-archive`, with the archive as the last argument; without that the image must be there already.
    ///
    /// # Errors
    /// When the image is refused.
    pub fn load_image(&self, archive: &Path) -> Result<(), Error> {
        match (self, env::var("CLUSTER_LOAD")) {
            (Self::Node(node), _) => import_image(&node.containerd(), archive),
            (Self::Existing { .. }, Err(_)) => Ok(()),
            (Self::Existing { .. }, Ok(load)) => {
                let mut words = load.split_whitespace();
                let mut command = Command::new(words.next().unwrap_or_default());
                run(command.args(words).arg(archive)).map(drop)
            }
        }
    }
}
