//! A real nats-server with JetStream, which can be killed and started again on the same data.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    Error,
    error::file,
    port::free_port,
    process::{Launch, Process},
    scratch::Scratch,
};

/// Restoring some hundred thousand messages after a kill takes a second; the rest is patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server on a free port of the loopback. Dropping it kills the server and removes its data.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Process>,
    port: u16,
    configuration: PathBuf,
    scratch: Scratch,
}

impl NatsServer {
    /// Starts a server with JetStream and waits until it takes clients.
    ///
    /// # Errors
    /// When nats-server is missing (with the command that installs it) or does not start (with the end of its log).
    pub async fn start() -> Result<Self, Error> {
        Self::start_with("").await
    }

    /// The same, with lines added to its configuration file, for example `max_payload: 64KB` or accounts.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_with(settings: &str) -> Result<Self, Error> {
        let scratch = Scratch::new("nats")?;
        let (port, configuration) = (free_port()?, scratch.path().join("nats.conf"));
        let data = scratch.path().join("data");
        let text =
            format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{settings}\n", data.display());
        fs::write(&configuration, text).map_err(file("write", &configuration))?;
        let mut server = Self { process: None, port, configuration, scratch };
        server.restart().await?;
        Ok(server)
    }

    /// The address for clients: `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A client that is connected now. It reconnects by itself after a restart.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect(&self) -> Result<async_nats::Client, Error> {
        let url = self.url();
        async_nats::connect(&url).await.map_err(|source| Error::Nats { url, source })
    }

    /// Kills the server (SIGKILL) as a crash would; its data stay.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the server in good order (SIGTERM); its data stay.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(PATIENCE).await;
        }
    }

    /// Starts the server again at the same address on the same data; a server that still runs is killed first.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let launch = Launch::tool("nats-server")?.argument("--config").argument(&self.configuration);
        let mut process = Process::start("nats-server", launch, &self.scratch.path().join("logs/nats-server.log"))?;
        let url = self.url();
        let ready = async || async_nats::connect(&url).await.map(drop).map_err(|error| error.to_string());
        process.until("nats-server takes clients", PATIENCE, ready).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub async fn freeze(&self) {
        if let Some(process) = &self.process {
            process.freeze().await;
        }
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// Where the server keeps a stream, its messages and consumers. Nobody may change that while it runs.
    #[must_use]
    pub fn folder_of(&self, stream: &str) -> PathBuf {
        self.scratch.path().join("data/jetstream/$G/streams").join(stream)
    }

    /// Where the server's output goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("logs/nats-server.log")
    }
}
