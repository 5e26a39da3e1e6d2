//! What is measured against each other.

use std::{ffi::OsString, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    args::RunArgs,
    process::{Launch, MEASURED, free_port},
    rounds::Rounds,
    scene::Scene,
    server::Server,
    workload::{NotMeasured, Workload},
};

/// What is measured against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The bare loop.
    Floor,
    /// The worker with everything on.
    Ropeway,
    /// A worker written by hand for Node.js.
    Node,
    /// A worker written by hand in Go.
    Go,
}

/// Where a variant takes events from and brings them to.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The server.
    pub server: &'a Server,
    /// The streams.
    pub scene: &'a Scene,
    /// The sink's address.
    pub url: &'a str,
    /// The workload.
    pub workload: Workload,
}

impl Variant {
    /// All of them; the first is what the others are compared with.
    pub const ALL: [Self; 4] = [Self::Floor, Self::Ropeway, Self::Node, Self::Go];

    /// Rounds of all of them.
    #[must_use]
    pub fn rounds(workload: Workload, args: &RunArgs) -> Rounds<'static> {
        let all = Self::ALL.map(|variant| (variant.name(), variant.measurable(&args.worker)));
        Rounds::of_measurable(workload, args.pairs, all)
    }

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ropeway => "ropeway",
            Self::Node => "node",
            Self::Go => "go",
        }
    }

    /// Whether it delivers events as they are. The others map them.
    #[must_use]
    pub fn is_bare(self) -> bool {
        self == Self::Floor
    }

    /// Whether it can be measured here.
    ///
    /// # Errors
    /// With the reason that the results give.
    pub fn measurable(self, worker: &Path) -> Result<(), NotMeasured> {
        let present = |path: &Path| {
            let remedy = || NotMeasured(format!("{} is not built; `make bench` builds it", path.display()));
            if path.exists() { Ok(()) } else { Err(remedy()) }
        };
        match self {
            Self::Floor => Ok(()),
            Self::Ropeway => present(worker),
            Self::Node => present(Path::new("bench/peers/node/node_modules")),
            Self::Go => present(Path::new(GO_PEER)),
        }
    }

    /// How it is started. `folder` is for what it needs to read.
    ///
    /// # Errors
    /// When something can't be written there.
    pub fn launch(self, route: Route<'_>, worker: &Path, folder: &Path) -> Result<Launch, Error> {
        let Route { server, scene, url, workload } = route;
        let options = [
            ("--nats-url", server.url.clone()),
            ("--stream", scene.stream()),
            ("--consumer", scene.consumer().to_string()),
            ("--url", url.to_owned()),
            ("--in-flight", workload.in_flight().to_string()),
            ("--batch", workload.batch().to_string()),
        ];
        let options = options.into_iter().flat_map(|(name, value)| [OsString::from(name), OsString::from(value)]);
        Ok(match self {
            Self::Floor => Launch::own("floor", MEASURED)?.arguments(options),
            Self::Ropeway => launch_worker(server, scene, worker, folder)?,
            Self::Node => {
                Launch::new("node", "node", MEASURED).arguments(["bench/peers/node/worker.mjs"]).arguments(options)
            }
            Self::Go => Launch::new("go", GO_PEER, MEASURED).arguments(options),
        })
    }
}

const GO_PEER: &str = "bench/peers/go/peer";

/// The worker as the operator would start it.
///
/// # Errors
/// When its configuration can't be written.
pub fn launch_worker(server: &Server, scene: &Scene, worker: &Path, folder: &Path) -> Result<Launch, Error> {
    launch_worker_at(free_port()?, server, scene, worker, folder)
}

/// The same, with its addresses at this port of the loopback.
///
/// # Errors
/// When its configuration can't be written.
pub fn launch_worker_at(
    listen: u16,
    server: &Server,
    scene: &Scene,
    worker: &Path,
    folder: &Path,
) -> Result<Launch, Error> {
    scene.write(folder)?;
    let admin = free_port()?;
    let paths = [("--config", folder.join("config.json")), ("--secrets", folder.join("secrets"))];
    let paths = paths.into_iter().flat_map(|(name, path)| [OsString::from(name), path.into_os_string()]);
    Ok(Launch::new("ropeway", worker, MEASURED)
        .arguments(paths)
        .arguments(["--nats-credentials", "/nowhere", "--nats-url", &server.url, "--worker-name", "bench"])
        .arguments(["--listen", &format!("127.0.0.1:{listen}"), "--listen-admin", &format!("127.0.0.1:{admin}")]))
}
