//! Ropeway on a cluster: its images, built here, and its chart.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, api_server::kubectl, process::run, programs};

/// The namespace that [`chart`] installs into.
pub const NAMESPACE: &str = "ropeway-system";

/// The images that an installation needs, as `scripts/image.sh` names them.
pub const IMAGES: [&str; 2] = ["nats", "ropeway"];

/// The range of Service addresses in a test node, kind, k3d and most others: the example's receiver is there.
const PRIVATE_RANGES: &str = "allowPrivateRanges={10.0.0.0/8}";

/// Builds an image unless its archive is up to date, and gives the archive. The profile is `dev` unless `PROFILE` says
/// otherwise.
///
/// # Errors
/// When it can't be built, with what the build printed.
pub fn image(kind: &str) -> Result<PathBuf, Error> {
    let root = programs::repository();
    let archive = root.join(".tools/images").join(format!("{kind}.tar"));
    let mut build = Command::new(root.join("scripts/image.sh"));
    build.arg(kind).current_dir(&root).env("OUTPUT", &archive);
    // What cargo tells the test about itself is not for the cargo in the script: build scripts that look at it run again.
    for (name, _) in std::env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if name == "CARGO" || name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
            build.env_remove(&name);
        }
    }
    if std::env::var_os("PROFILE").is_none() {
        build.env("PROFILE", "dev");
    }
    run(&mut build)?;
    Ok(archive)
}

/// Installs or upgrades the chart with its trial NATS, from the images of [`image`], and waits until it is ready.
/// The namespace enforces Pod Security `restricted`. `settings` are further `--set` arguments.
///
/// # Errors
/// When the chart is refused or does not become ready in time.
pub fn chart(kubeconfig: &Path, settings: &[&str]) -> Result<(), Error> {
    namespace(kubeconfig, NAMESPACE)?;
    let mut helm = Command::new(programs::find("helm")?);
    helm.env("KUBECONFIG", kubeconfig)
        .args(["upgrade", "ropeway", "--install", "--wait", "--timeout", "90s", "--namespace", NAMESPACE])
        .arg(programs::repository().join("charts/ropeway"));
    let (nats, version) = ("nats.image.repository=ropeway.dev/ropeway-nats", env!("CARGO_PKG_VERSION"));
    let tag = format!("nats.image.tag={version}");
    // Each Integration reserves its share, and all tests of a cluster have one server.
    let room = "nats.maxFileStore=32Gi";
    for setting in ["nats.enabled=true", nats, &tag, room, PRIVATE_RANGES].iter().chain(settings) {
        helm.args(["--set", setting]);
    }
    run(&mut helm).map(drop)
}

/// Makes a namespace that enforces Pod Security `restricted`, unless it is there.
///
/// # Errors
/// When it is refused.
pub fn namespace(kubeconfig: &Path, name: &str) -> Result<(), Error> {
    let exists = run(kubectl(kubeconfig)?.args(["get", "namespace", name])).is_ok();
    if !exists {
        run(kubectl(kubeconfig)?.args(["create", "namespace", name]))?;
    }
    let label = "pod-security.kubernetes.io/enforce=restricted";
    run(kubectl(kubeconfig)?.args(["label", "--overwrite", "namespace", name, label])).map(drop)
}
