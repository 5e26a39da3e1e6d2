//! etcd, API server and controller manager as child processes. Used by the API server alone and inside a node.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::{
    Error,
    certificates::Authority,
    error::file,
    kubeconfig,
    process::{Launch, Process},
};

/// The addresses of Services.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The address of the Service `kubernetes`: the first of the range.
const API_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// On two busy cores the first start of an API server takes ten seconds; the rest is patience.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the programs listen, and what the API server tells pods about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) etcd_port: u16,
    pub(crate) etcd_peer_port: u16,
    pub(crate) api_port: u16,
    pub(crate) controller_port: u16,
    /// The address under which pods reach the API server; without one there are no pods, and it listens on the loopback only.
    pub(crate) advertised: Option<IpAddr>,
}

/// The running programs and their certificates. Fields are dropped in this order: clients before servers.
pub(crate) struct ControlPlane {
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
    authority: Authority,
    addresses: Addresses,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts the three programs in `folder` and waits until the API server is ready.
    pub(crate) async fn start(folder: &Path, addresses: Addresses) -> Result<Self, Error> {
        let authority = Authority::new(&folder.join("pki"))?;
        let mut etcd = start_etcd(folder, addresses)?;
        let listens = async || {
            TcpStream::connect((LOOPBACK, addresses.etcd_port)).await.map(drop).map_err(|error| error.to_string())
        };
        etcd.until("etcd listens", PATIENCE, listens).await?;
        write_kubeconfig(folder, "admin", "admin", &["system:masters"], addresses, &authority)?;
        let mut api_server = start_api_server(folder, addresses, &authority)?;
        let client = kubeconfig::client(&folder.join("admin.kubeconfig")).await?;
        api_server.until("the API server is ready", PATIENCE, async || ready(&client).await).await?;
        let controller_manager = start_controller_manager(folder, addresses, &authority)?;
        Ok(Self { controller_manager, api_server, etcd, authority, addresses, folder: folder.to_owned() })
    }

    /// Writes `<name>.kubeconfig` for a user and its groups.
    pub(crate) fn kubeconfig(&self, name: &str, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        write_kubeconfig(&self.folder, name, user, groups, self.addresses, &self.authority)
    }

    /// Fails when one of the programs has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.etcd.check()?;
        self.api_server.check()?;
        self.controller_manager.check()
    }

    /// Kills the API server; what it stored stays in etcd.
    pub(crate) fn kill_api_server(&mut self) {
        self.api_server.kill();
    }

    /// Starts the API server again on the same port and waits until it is ready.
    pub(crate) async fn restart_api_server(&mut self) -> Result<(), Error> {
        self.api_server.kill();
        self.api_server = start_api_server(&self.folder, self.addresses, &self.authority)?;
        let client = kubeconfig::client(&self.folder.join("admin.kubeconfig")).await?;
        self.api_server.until("the API server is ready again", PATIENCE, async || ready(&client).await).await
    }

    /// The API server's process, to freeze it (`STOP`, `CONT`).
    pub(crate) fn api_server(&self) -> &Process {
        &self.api_server
    }
}

async fn ready(client: &kube::Client) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(|_| ()).map_err(|error| error.to_string())
}

fn write_kubeconfig(
    folder: &Path,
    name: &str,
    user: &str,
    groups: &[&str],
    addresses: Addresses,
    authority: &Authority,
) -> Result<PathBuf, Error> {
    let server = format!("https://127.0.0.1:{}", addresses.api_port);
    kubeconfig::write(&folder.join(format!("{name}.kubeconfig")), &server, authority, &authority.client(user, groups)?)
}

fn start_etcd(folder: &Path, addresses: Addresses) -> Result<Process, Error> {
    let client = format!("http://127.0.0.1:{}", addresses.etcd_port);
    let peer = format!("http://127.0.0.1:{}", addresses.etcd_peer_port);
    let launch = Launch::tool("etcd")?
        .argument(format!("--data-dir={}", folder.join("etcd").display()))
        .argument(format!("--listen-client-urls={client}"))
        .argument(format!("--advertise-client-urls={client}"))
        .argument(format!("--listen-peer-urls={peer}"))
        .argument(format!("--initial-advertise-peer-urls={peer}"))
        .argument(format!("--initial-cluster=default={peer}"))
        // The data need not outlive the machine, only the process.
        .argument("--unsafe-no-fsync")
        .argument("--log-level=warn");
    Process::start("etcd", launch, &folder.join("logs/etcd.log"))
}

fn start_api_server(folder: &Path, addresses: Addresses, authority: &Authority) -> Result<Process, Error> {
    const NAMES: [&str; 5] = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let reached_at: Vec<IpAddr> = [LOOPBACK, API_SERVICE].into_iter().chain(addresses.advertised).collect();
    let serving = authority.server("kube-apiserver", &NAMES, &reached_at)?;
    let kubelet_client = authority.client("kube-apiserver-kubelet-client", &["system:masters"])?;
    let [signer, verifier] = ["service-accounts.key", "service-accounts.pub"].map(|name| authority.file(name));
    let launch = Launch::tool("kube-apiserver")?
        .argument(format!("--etcd-servers=http://127.0.0.1:{}", addresses.etcd_port))
        .argument(format!("--secure-port={}", addresses.api_port))
        .argument(format!("--tls-cert-file={}", serving.certificate_file.display()))
        .argument(format!("--tls-private-key-file={}", serving.key_file.display()))
        .argument(format!("--client-ca-file={}", authority.file("ca.crt").display()))
        .argument(format!("--kubelet-client-certificate={}", kubelet_client.certificate_file.display()))
        .argument(format!("--kubelet-client-key={}", kubelet_client.key_file.display()))
        // The node's name is nowhere resolvable.
        .argument("--kubelet-preferred-address-types=InternalIP")
        .argument("--authorization-mode=Node,RBAC")
        .argument("--enable-admission-plugins=NodeRestriction")
        .argument("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .argument(format!("--service-account-key-file={}", verifier.display()))
        .argument(format!("--service-account-signing-key-file={}", signer.display()))
        .argument(format!("--service-cluster-ip-range={SERVICE_RANGE}"))
        .argument("--allow-privileged=true");
    let launch = match addresses.advertised {
        Some(address) => launch.argument("--bind-address=0.0.0.0").argument(format!("--advertise-address={address}")),
        None => launch
            .arguments(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            // The API server's own endpoint can't be a loopback address, and nobody asks for it without pods.
            .argument("--endpoint-reconciler-type=none"),
    };
    Process::start("kube-apiserver", launch, &folder.join("logs/kube-apiserver.log"))
}

fn start_controller_manager(folder: &Path, addresses: Addresses, authority: &Authority) -> Result<Process, Error> {
    const USER: &str = "system:kube-controller-manager";
    let kubeconfig = write_kubeconfig(folder, "kube-controller-manager", USER, &[], addresses, authority)?;
    let ca = authority.file("ca.crt");
    let launch = Launch::tool("kube-controller-manager")?
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        .argument(format!("--root-ca-file={}", ca.display()))
        .argument(format!("--cluster-signing-cert-file={}", ca.display()))
        .argument(format!("--cluster-signing-key-file={}", authority.file("ca.key").display()))
        .argument(format!("--service-account-private-key-file={}", authority.file("service-accounts.key").display()))
        .argument("--use-service-account-credentials=true")
        // It asks a lot while it starts, and its own limit costs seconds.
        .arguments(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .argument("--leader-elect=false")
        .argument("--bind-address=127.0.0.1")
        .argument(format!("--secure-port={}", addresses.controller_port));
    Process::start("kube-controller-manager", launch, &folder.join("logs/kube-controller-manager.log"))
}

/// Makes the folders that the programs expect.
pub(crate) fn prepare(folder: &Path) -> Result<(), Error> {
    for name in ["logs", "pki"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(file("make", &path))?;
    }
    Ok(())
}
