//! The local nats-server: found, started, and ended with us.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ropeway_nats::{Settings, connect};

/// The local server can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no program.
    #[error("there is no nats-server in PATH nor in .tools/; run `make tools`, or give --nats-url")]
    NotFound,
    /// It can't be started.
    #[error("failed to start {program}")]
    Start {
        /// Its path.
        program: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It started and does not answer.
    #[error("nats-server did not answer within ten seconds; its log is {log}")]
    Silent {
        /// Its log file.
        log: String,
    },
}

/// A server that ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its address.
    pub url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is ours and keeps what it acknowledged; there is nobody to hand an error to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server that keeps its data below `folder`.
///
/// # Errors
/// See [`ServerError`].
pub async fn start(folder: &Path) -> Result<Server, ServerError> {
    let program = find().ok_or(ServerError::NotFound)?;
    let fail = |source| ServerError::Start { program: program.display().to_string(), source };
    let store = folder.join("nats");
    std::fs::create_dir_all(&store).map_err(fail)?;
    let log = folder.join("nats-server.log");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).map_err(fail)?.port();
    let child = Command::new(&program)
        .args(["--jetstream", "--addr", "127.0.0.1", "--port", &port.to_string(), "--store_dir"])
        .arg(&store)
        .arg("--log")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(fail)?;
    let server = Server { child, url: format!("nats://127.0.0.1:{port}") };
    let settings = Settings::open(&server.url);
    for _ in 0..100 {
        if connect(&settings, "ropeway dev").await.is_ok() {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(ServerError::Silent { log: log.display().to_string() })
}

/// The program in PATH, or in a `.tools` folder here or above.
fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let tools = here.ancestors().map(|folder| folder.join(".tools")).collect::<Vec<_>>();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    in_path.into_iter().chain(tools).map(|folder| folder.join("nats-server")).find(|program| program.is_file())
}
