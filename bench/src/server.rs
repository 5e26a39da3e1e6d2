//! A nats-server with JetStream on the core of the surroundings.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::jetstream::{self, Context, consumer};

use crate::{
    Error,
    error::{call, file},
    process::{Launch, Process, SURROUNDINGS, free_port},
};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Its address for clients.
    pub url: String,
}

impl Server {
    /// Starts a server on the data in `folder`, which need not be there yet.
    ///
    /// # Errors
    /// When it is missing or does not take clients.
    pub async fn start(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(file("make", folder))?;
        let port = free_port()?;
        let configuration = folder.join("nats.conf");
        // Everything else is as it comes: above all `sync_interval`, which is two minutes.
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\", max_file_store: 16GB }}\n",
            folder.join("data").display()
        );
        fs::write(&configuration, text).map_err(file("write", &configuration))?;
        let launch = Launch::new("nats-server", program(), SURROUNDINGS);
        let arguments = ["--config".into(), configuration.into_os_string()];
        let mut process = launch.arguments(arguments).start(folder)?;
        let url = format!("nats://127.0.0.1:{port}");
        let ready = async || {
            let client = async_nats::connect(&url).await?;
            jetstream::new(client).query_account().await?;
            Ok(())
        };
        process.until("nats-server", Duration::from_secs(60), ready).await?;
        Ok(Self { process, url })
    }

    /// A connection to its JetStream.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn jetstream(&self) -> Result<Context, Error> {
        Ok(jetstream::new(async_nats::connect(&self.url).await.map_err(call("connect to NATS"))?))
    }

    /// What a consumer has not handed out yet, and what it has handed out without an acknowledgement.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn unsettled(&self, stream: &str, consumer: &str) -> Result<(u64, usize), Error> {
        let stream = self.jetstream().await?.get_stream_no_info(stream).await.map_err(call("find the stream"))?;
        let info: consumer::Info = stream.consumer_info(consumer).await.map_err(call("look at the consumer"))?;
        Ok((info.num_pending, info.num_ack_pending))
    }
}

/// The program of `make tools`, or the one in `PATH`.
#[must_use]
pub fn program() -> PathBuf {
    let built = Path::new(".tools/nats-server");
    match built.canonicalize() {
        Ok(path) => path,
        Err(_) => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("nats-server"))
            .find(|path| path.is_file())
            .unwrap_or_else(|| built.to_owned()),
    }
}
