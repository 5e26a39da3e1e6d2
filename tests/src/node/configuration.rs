//! The configuration files of the node's programs, as text. Pure.

use std::path::Path;

use serde_json::{Value, json};

use super::{ADDRESS, NAME};

/// The image of the container that holds a pod's namespaces.
pub(super) const PAUSE_IMAGE: &str = "ropeway.test/pause:1";
/// The addresses of pods.
const POD_RANGE: &str = "10.244.0.0/24";

/// containerd with folders of its own, so that a containerd of the host is left alone.
pub(super) fn containerd(folder: &Path, cni_programs: &Path) -> String {
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Some virtual machines withhold the capability to lower it, and runc fails then.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#,
        folder = folder.display(),
        cni = cni_programs.display(),
    )
}

/// One bridge for all pods, addresses from a file, and masquerade for what leaves it.
pub(super) fn pod_network() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "ropeway-test",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// The kubelet, on control groups of version 1, never evicting and never removing an image: nothing could bring it back.
pub(super) fn kubelet(folder: &Path, group: &str) -> Value {
    let file = |name: &str| folder.join(name).display().to_string();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": file("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", file("containerd.sock")),
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "imagefs.available": "0%", "imagefs.inodesFree": "0%",
        },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "resolvConf": file("resolv.conf"),
        // How soon a running pod feels that a Secret has come or gone.
        "syncFrequency": "3s",
    })
}

/// kube-proxy by iptables; the table of connections is the host kernel's and stays as it is.
pub(super) fn kube_proxy(folder: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": folder.join("kube-proxy.kubeconfig")},
        "clusterCIDR": POD_RANGE,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NAME,
        "iptables": {"minSyncPeriod": "100ms"},
        "mode": "iptables",
    })
}

/// DNS for Services and for the names that a test sets; every other name does not exist.
pub(super) fn dns(folder: &Path) -> String {
    format!(
        r".:53 {{
  errors
  hosts {folder}/hosts {{
    ttl 1
    reload 500ms
    fallthrough
  }}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {folder}/dns.kubeconfig
    pods insecure
    ttl 1
  }}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
",
        folder = folder.display(),
    )
}
