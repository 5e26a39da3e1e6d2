//! A whole Kubernetes node, in namespaces of its own.
//!
//! ```text
//! this process ── unshare (pid, mount, net, ipc, uts) ── machine (process 1)
//!      │                                                   ├─ containerd ── runc ── the containers of pods
//!      └─ 127.0.0.1:port ── API server 127.0.0.1:6443 ─────┼─ etcd, API server, controller manager, scheduler
//!                                                          └─ kubelet, kube-proxy, DNS
//! ```
//!
//! The machine is one process tree: killing its first process ends everything in it, and its mounts, interfaces and
//! addresses are gone with it. Nothing of the host's network is changed; the way in is one forwarded port.

mod configuration;
mod machine;
mod namespace;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::core::v1 as core;
use kube::Api;

pub use machine::run as run_machine;

use crate::{
    Error,
    api_server::{await_controllers, kubectl},
    error::file,
    kubeconfig,
    node::namespace::{Forward, NetworkNamespace},
    process::{Launch, Process, run},
    programs,
    scratch::Scratch,
};

/// The address of the node inside its network namespace. Pods reach what a test listens on under it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 2);
/// The name of the node.
pub const NAME: &str = "ropeway-node";
/// Where the API server listens inside.
const API_PORT: u16 = 6443;
/// Starting takes five seconds on two idle cores; the rest is patience.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running node with its control plane. Dropping it ends and removes everything.
pub struct Node {
    kubeconfig: PathBuf,
    _forward: Forward,
    namespace: NetworkNamespace,
    machine: Process,
    scratch: Scratch,
}

impl Node {
    /// Starts a node and waits until it is `Ready`.
    ///
    /// # Errors
    /// Without root, when a program is missing (with the command that installs it), or when it does not become ready
    /// (with the end of its log).
    pub async fn start() -> Result<Self, Error> {
        require_root()?;
        for program in machine::PROGRAMS {
            programs::find(program)?;
        }
        let scratch = Scratch::new("node")?;
        let mut machine = start_machine(&scratch)?;
        let pid = machine.id();
        let namespace =
            machine.until("the machine has a network", PATIENCE, async || NetworkNamespace::of(pid)).await?;
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, API_PORT));
        let forward = Forward::start(&namespace, inside).map_err(file("forward", "127.0.0.1"))?;
        let kubeconfig = scratch.path().join("kubeconfig");
        let internal = scratch.path().join("admin.kubeconfig");
        let text = machine.until("the API server has a kubeconfig", PATIENCE, async || read(&internal)).await?;
        let text = text.replace(&format!("https://{inside}"), &format!("https://{}", forward.address()));
        fs::write(&kubeconfig, text).map_err(file("write", &kubeconfig))?;
        let client = kubeconfig::client(&kubeconfig).await?;
        machine.until("the node is ready", PATIENCE, async || node_ready(&client).await).await?;
        await_controllers(&client).await?;
        Ok(Self { kubeconfig, _forward: forward, namespace, machine, scratch })
    }

    /// The kubeconfig of an administrator, for use outside the node.
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

    /// `kubectl` with the rights of an administrator, ready for arguments.
    ///
    /// # Errors
    /// When kubectl is missing.
    pub fn kubectl(&self) -> Result<Command, Error> {
        kubectl(&self.kubeconfig)
    }

    /// Imports an image archive, as `scripts/image.sh` makes it; pods then use it with `imagePullPolicy: Never` or `IfNotPresent`.
    ///
    /// # Errors
    /// When containerd refuses the archive.
    pub fn import_image(&self, archive: &Path) -> Result<(), Error> {
        import_image(&containerd_socket(self.scratch.path()), archive)
    }

    /// Listens on a free port of the node's address. The listener belongs to this process, so a test can serve in it
    /// what pods then call.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn listen(&self) -> Result<TcpListener, Error> {
        let address = SocketAddr::from((ADDRESS, 0));
        self.namespace.enter(move || TcpListener::bind(address)).map_err(file("listen on", address.to_string()))
    }

    /// Connects to a pod, a Service or the node itself.
    ///
    /// # Errors
    /// When nothing answers there.
    pub fn connect(&self, address: impl Into<IpAddr>, port: u16) -> Result<TcpStream, Error> {
        let address = SocketAddr::new(address.into(), port);
        self.namespace
            .enter(move || TcpStream::connect_timeout(&address, Duration::from_secs(5)))
            .map_err(file("connect to", address.to_string()))
    }

    /// Forwards a free port of this machine's loopback to a pod or Service, for as long as the result lives.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn forward(&self, address: impl Into<IpAddr>, port: u16) -> Result<Forward, Error> {
        Forward::start(&self.namespace, SocketAddr::new(address.into(), port)).map_err(file("forward", "127.0.0.1"))
    }

    /// Makes names resolve in pods, next to those of Services, in the form of `/etc/hosts`; replaces what was set before.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_hosts(&self, hosts: &str) -> Result<(), Error> {
        let path = self.scratch.path().join("hosts");
        fs::write(&path, hosts).map_err(file("write", path))
    }

    /// The folder of the logs of the node's programs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.scratch.path().join("logs")
    }

    /// Where containerd listens; for `ctr --address`.
    #[must_use]
    pub fn containerd(&self) -> PathBuf {
        containerd_socket(self.scratch.path())
    }

    /// Fails when the node has ended.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&mut self) -> Result<(), Error> {
        self.machine.check()
    }
}

/// Makes an image archive of static binaries, given as (file, path in the image).
///
/// # Errors
/// When the packer is missing or a file can't be read.
pub fn pack_image(output: &Path, name: &str, files: &[(&Path, &str)]) -> Result<(), Error> {
    let mut command = Command::new(programs::find("image/pack")?);
    command.arg("-output").arg(output).args(["-tag", name]);
    if let Some((_, path)) = files.first() {
        command.args(["-entrypoint", path]);
    }
    command.args(files.iter().map(|(file, path)| format!("{}:{path}", file.display())));
    run(&mut command).map(drop)
}

/// Imports an image archive into the containerd that listens on `socket`.
///
/// # Errors
/// When containerd refuses the archive.
pub fn import_image(socket: &Path, archive: &Path) -> Result<(), Error> {
    let mut command = Command::new(programs::find("ctr")?);
    command.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
    run(&mut command).map(drop)
}

fn containerd_socket(folder: &Path) -> PathBuf {
    folder.join("containerd.sock")
}

fn require_root() -> Result<(), Error> {
    let root = fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0);
    if root { Ok(()) } else { Err(Error::NotRoot) }
}

fn start_machine(scratch: &Scratch) -> Result<Process, Error> {
    let launch = Launch::at("unshare")
        .arguments([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--propagation=slave",
            "--mount-proc",
            "--net",
            "--ipc",
            "--uts",
        ])
        .argument(programs::harness()?)
        .argument("machine")
        .argument(scratch.path())
        .argument(scratch.name());
    Process::start("machine", launch, &scratch.path().join("logs/machine.log"))
}

async fn node_ready(client: &kube::Client) -> Result<(), String> {
    let nodes: Api<core::Node> = Api::all(client.clone());
    let node = nodes.get_opt(NAME).await.map_err(|error| error.to_string())?.ok_or("not registered")?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").ok_or("no condition yet")?;
    if ready.status == "True" { Ok(()) } else { Err(ready.message.unwrap_or_default()) }
}

fn read(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The file is written in one go, but not atomically.
    if text.ends_with("}\n") { Ok(text) } else { Err("half written".to_owned()) }
}
