//! A worker with many lanes, each of which waits for events.

use std::{path::Path, time::Duration};

use async_nats::jetstream::{Context, consumer};
use tempfile::TempDir;

use crate::{
    Error, error::Source, golden, process::Process, scene::Scene, server::Server, variant::launch_worker,
    workload::Workload,
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
            let asks = async || waiting(&jetstream, &stream, &consumer).await;
            worker.until("a lane", PATIENCE, asks).await?;
        }
        Ok(Self { worker, server, scene, folder })
    }
}

/// Succeeds when somebody asks this consumer for events.
///
/// # Errors
/// When nobody does, or the server can't be asked.
pub async fn waiting(jetstream: &Context, stream: &str, consumer: &str) -> Result<(), Source> {
    let info: consumer::Info = jetstream.get_stream_no_info(stream).await?.consumer_info(consumer).await?;
    if info.num_waiting > 0 { Ok(()) } else { Err(format!("nobody asks {consumer} for events").into()) }
}
