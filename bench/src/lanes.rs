//! A worker with many lanes, each of which waits for events.

use std::{path::Path, time::Duration};

use async_nats::jetstream::{Context, consumer};
use tempfile::TempDir;

use crate::{
    Error, golden, process::Process, scene::Scene, server::Server, variant::launch_worker, workload::Workload,
};

/// How long a thousand lanes may take to open.
const PATIENCE: Duration = Duration::from_secs(120);

/// A worker whose lanes are open, and its server.
#[derive(Debug)]
pub struct Lanes {
    /// The worker.
    pub worker: Process,
    /// The server.
    pub server: Server,
    /// Their streams.
    pub scene: Scene,
    /// Where their output goes.
    pub folder: TempDir,
}

impl Lanes {
    /// Starts both and waits until every lane asks its consumer for events. One lane for each of these addresses.
    ///
    /// # Errors
    /// When a lane does not open.
    pub async fn open(urls: &[String], workload: Workload, worker: &Path) -> Result<Self, Error> {
        let folder = golden::scratch()?;
        let scene = Scene::new(folder.path(), urls, workload)?;
        let server = Server::start(&folder.path().join("nats")).await?;
        scene.apply(&server).await?;
        let mut worker = launch_worker(&server, &scene, worker, folder.path())?.start(folder.path())?;
        let jetstream = server.jetstream().await?;
        for (stream, consumer) in scene.lanes() {
            let asks = async || match waiting(&jetstream, &stream, &consumer).await? {
                0 => Err("it has no waiting pull".into()),
                _ => Ok(()),
            };
            worker.until("a lane", PATIENCE, asks).await?;
        }
        Ok(Self { worker, server, scene, folder })
    }
}

async fn waiting(jetstream: &Context, stream: &str, consumer: &str) -> Result<usize, crate::error::Source> {
    let info: consumer::Info = jetstream.get_stream_no_info(stream).await?.consumer_info(consumer).await?;
    Ok(info.num_waiting)
}
