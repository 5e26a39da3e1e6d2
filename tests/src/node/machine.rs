//! What runs inside the namespaces, as process 1: mounts, interfaces, control groups, then all programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{ADDRESS, API_PORT, NAME, configuration, containerd_socket, import_image, pack_image};
use crate::{
    Error,
    control_plane::{self, Addresses, ControlPlane},
    error::file,
    process::{Launch, Process, run as run_command},
    programs,
};

/// What a node needs besides a control plane. Looked up before it starts, so that a missing one is named at once.
pub(super) const PROGRAMS: [&str; 18] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "image/pack",
    "image/pause",
    "containerd",
    "ctr",
    "runc",
    "host-local",
    "iptables",
    "conntrack",
    "ip",
    "mount",
    "unshare",
];
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a node in `folder` until one of its programs ends. `group` names its control groups.
///
/// Must be process 1 of namespaces made for it: it mounts over the system's folders and sets up interfaces.
///
/// # Errors
/// When something can't be set up or started, and with the end of the log of the first program that ended.
pub async fn run(folder: &Path, group: &str) -> Result<(), Error> {
    control_plane::prepare(folder)?;
    cover_system_folders()?;
    cover_kernel_settings(folder)?;
    make_control_groups(group)?;
    set_up_network()?;
    write_configuration(folder, group)?;
    // The host's name server can't be reached from here, and waiting for it takes seconds.
    run_command(Command::new("mount").arg("--bind").arg(folder.join("resolv.conf")).arg("/etc/resolv.conf"))?;
    let (containerd, control_plane) = tokio::join!(
        start_containerd(folder),
        ControlPlane::start(
            folder,
            Addresses {
                etcd_port: 2379,
                etcd_peer_port: 2380,
                api_port: API_PORT,
                controller_port: 10257,
                advertised: Some(ADDRESS.into())
            },
        )
    );
    let (mut control_plane, mut programs) = (control_plane?, vec![containerd?]);
    for start in [start_scheduler, start_kubelet, start_kube_proxy, start_dns] {
        programs.push(start(folder, &control_plane)?);
    }
    loop {
        control_plane.check()?;
        programs.iter_mut().try_for_each(Process::check)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Programs have fixed folders here and there; in this mount namespace they are empty and vanish with it.
fn cover_system_folders() -> Result<(), Error> {
    for folder in ["/run", "/var/lib", "/var/log"] {
        run_command(Command::new("mount").args(["-t", "tmpfs", "tmpfs", folder]))?;
    }
    Ok(())
}

/// The kubelet insists on these settings of the kernel, which are the host's. So it finds files in their place that say
/// what it wants, and the host keeps its own.
fn cover_kernel_settings(folder: &Path) -> Result<(), Error> {
    const WANTED: [(&str, &str); 6] = [
        ("kernel/panic", "10"),
        ("kernel/panic_on_oops", "1"),
        ("kernel/keys/root_maxbytes", "25000000"),
        ("kernel/keys/root_maxkeys", "1000000"),
        ("vm/overcommit_memory", "1"),
        ("vm/panic_on_oom", "0"),
    ];
    for (setting, value) in WANTED {
        let (cover, path) = (folder.join("kernel").join(setting), Path::new("/proc/sys").join(setting));
        let parent = cover.parent().expect("a setting is in a folder");
        fs::create_dir_all(parent).map_err(file("make", parent))?;
        fs::write(&cover, value).map_err(file("write", &cover))?;
        run_command(Command::new("mount").arg("--bind").arg(&cover).arg(&path))?;
    }
    Ok(())
}

/// One group of this name in every hierarchy (version 2 has only one); the kubelet puts the groups of pods below it.
fn make_control_groups(group: &str) -> Result<(), Error> {
    for parent in hierarchies()? {
        let path = parent.join(group);
        fs::create_dir_all(&path).map_err(file("make", &path))?;
        // A new group of the cpuset hierarchy of version 1 has no processors and admits no process.
        for setting in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(parent.join(setting)) {
                fs::write(path.join(setting), value).map_err(file("write", path.join(setting)))?;
            }
        }
    }
    Ok(())
}

fn hierarchies() -> Result<Vec<PathBuf>, Error> {
    const ROOT: &str = "/sys/fs/cgroup";
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        for controller in ["cpu", "cpuset", "io", "memory", "hugetlb", "pids"] {
            // The kubelet names the ones that it misses; some kernels lack some that it does not.
            let _ = fs::write(Path::new(ROOT).join("cgroup.subtree_control"), format!("+{controller}"));
        }
        return Ok(vec![ROOT.into()]);
    }
    let entries = fs::read_dir(ROOT).map_err(file("list", ROOT))?;
    let folders: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut folders = folders.map_err(file("list", ROOT))?;
    folders.retain(|folder| !folder.is_symlink() && folder.join("cgroup.procs").exists());
    Ok(folders)
}

/// A loopback, and a pair of interfaces that carries the node's address and the default route. It leads nowhere: pods
/// reach each other, Services and the node, and nothing else.
fn set_up_network() -> Result<(), Error> {
    let address = format!("{ADDRESS}/24");
    let gateway = "10.89.0.1";
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "node0", "type", "veth", "peer", "name", "node1"],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        &["link", "set", "node1", "up"],
        &["route", "add", "default", "via", gateway],
    ] {
        run_command(Command::new(programs::find("ip")?).args(arguments))?;
    }
    for (setting, value) in [("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")] {
        let path = Path::new("/proc/sys").join(setting);
        fs::write(&path, value).map_err(file("write", path))?;
    }
    Ok(())
}

fn write_configuration(folder: &Path, group: &str) -> Result<(), Error> {
    // Debian's plugins are in /usr/lib/cni, other systems' in /opt/cni/bin.
    let host_local = programs::find("host-local")?;
    let cni_programs = host_local.parent().expect("a program is in a folder");
    let files = [
        ("containerd.toml", configuration::containerd(folder, cni_programs)),
        ("cni/10-bridge.conflist", configuration::pod_network().to_string()),
        ("kubelet.yaml", configuration::kubelet(folder, group).to_string()),
        ("kube-proxy.yaml", configuration::kube_proxy(folder).to_string()),
        ("Corefile", configuration::dns(folder)),
        ("resolv.conf", format!("nameserver {ADDRESS}\n")),
        ("hosts", String::new()),
    ];
    let cni = folder.join("cni");
    fs::create_dir_all(&cni).map_err(file("make", cni))?;
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).map_err(file("write", path))?;
    }
    Ok(())
}

async fn start_containerd(folder: &Path) -> Result<Process, Error> {
    let launch = Launch::tool("containerd")?.argument("--config").argument(folder.join("containerd.toml"));
    let mut process = start(folder, "containerd", launch)?;
    let socket = containerd_socket(folder);
    let archive = folder.join("pause.tar");
    pack_image(&archive, configuration::PAUSE_IMAGE, &[(&programs::find("image/pause")?, "/pause")])?;
    let import = async || import_image(&socket, &archive).map_err(|error| error.to_string());
    process.until("containerd takes the pause image", PATIENCE, import).await?;
    Ok(process)
}

fn start_scheduler(folder: &Path, control_plane: &ControlPlane) -> Result<Process, Error> {
    let kubeconfig = control_plane.kubeconfig("kube-scheduler", "system:kube-scheduler", &[])?;
    let launch = Launch::tool("kube-scheduler")?
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        .arguments(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    start(folder, "kube-scheduler", launch)
}

fn start_kubelet(folder: &Path, control_plane: &ControlPlane) -> Result<Process, Error> {
    let kubeconfig = control_plane.kubeconfig("kubelet", &format!("system:node:{NAME}"), &["system:nodes"])?;
    let launch = Launch::tool("kubelet")?
        .argument(format!("--config={}", folder.join("kubelet.yaml").display()))
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        .argument(format!("--hostname-override={NAME}"))
        .argument(format!("--node-ip={ADDRESS}"));
    start(folder, "kubelet", launch)
}

fn start_kube_proxy(folder: &Path, control_plane: &ControlPlane) -> Result<Process, Error> {
    control_plane.kubeconfig("kube-proxy", "system:kube-proxy", &[])?;
    let launch = Launch::tool("kube-proxy")?.argument(format!("--config={}", folder.join("kube-proxy.yaml").display()));
    start(folder, "kube-proxy", launch)
}

fn start_dns(folder: &Path, control_plane: &ControlPlane) -> Result<Process, Error> {
    // Reading Services and endpoints is all it does; a role of its own would have to be made first.
    control_plane.kubeconfig("dns", "ropeway-test-dns", &["system:masters"])?;
    let launch = Launch::tool("coredns")?.argument("-conf").argument(folder.join("Corefile"));
    start(folder, "coredns", launch)
}

fn start(folder: &Path, name: &str, launch: Launch) -> Result<Process, Error> {
    Process::start(name, launch, &folder.join("logs").join(format!("{name}.log")))
}
