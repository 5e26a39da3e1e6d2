//! One filled server, of which every run gets a copy: the same streams, the same consumers, the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    Error,
    error::file,
    process::{Launch, SURROUNDINGS},
    scene::Scene,
    server::Server,
};

/// The data of a server that was filled and stopped in good order.
#[derive(Debug)]
pub struct Golden {
    folder: TempDir,
}

impl Golden {
    /// Makes the streams of a scene and fills them.
    ///
    /// # Errors
    /// When the server can't be filled.
    pub async fn fill(scene: &Scene, events: u64) -> Result<Self, Error> {
        let folder = scratch()?;
        let server = Server::start(folder.path()).await?;
        scene.apply(&server).await?;
        let load = Launch::own("load", SURROUNDINGS)?.arguments(["--nats-url", &server.url]);
        let load = load.arguments(["--events", &events.to_string(), "--subjects", &scene.subjects().join(",")]);
        load.start(folder.path())?.finish().await?;
        server.process.stop().await;
        Ok(Self { folder })
    }

    /// A server on a copy of the data, in this folder.
    ///
    /// # Errors
    /// When the data can't be copied or the server does not start.
    pub async fn server(&self, folder: &Path) -> Result<Server, Error> {
        copy(&self.folder.path().join("data"), &folder.join("data"))?;
        Server::start(folder).await
    }
}

/// A folder that is removed when its value is dropped.
///
/// # Errors
/// When it can't be made.
pub fn scratch() -> Result<TempDir, Error> {
    let place = place();
    tempfile::Builder::new().prefix("ropeway-bench-").tempdir_in(&place).map_err(file("make a folder in", &place))
}

/// Where servers keep their data: in memory where there is such a place, so that what is measured is not the disk and
/// whoever else uses it. `TMPDIR` says otherwise.
#[must_use]
pub fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(file("make", to))?;
    for entry in fs::read_dir(from).map_err(file("read", from))? {
        let source: PathBuf = entry.map_err(file("read", from))?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(file("copy", &source))?;
        }
    }
    Ok(())
}
