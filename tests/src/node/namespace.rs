//! Sockets inside the node's network namespace, made by this process.
//!
//! A socket belongs to the namespace in which it was made, whoever uses it later. So a thread enters the namespace,
//! makes the socket and hands it out.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    os::fd::AsFd as _,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{io::copy_bidirectional, net, runtime, task};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The network namespace of another process; kept alive by this value.
#[derive(Debug, Clone)]
pub(crate) struct NetworkNamespace(Arc<File>);

impl NetworkNamespace {
    /// The namespace of a process that has left ours.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let path = format!("/proc/{pid}/ns/net");
        let link = |path: &str| fs::read_link(path).map_err(|error| error.to_string());
        if link(&path)? == link("/proc/self/ns/net")? {
            return Err("still in this process' namespace".to_owned());
        }
        File::open(&path).map(|file| Self(Arc::new(file))).map_err(|error| error.to_string())
    }

    /// Runs `work` on a thread inside the namespace.
    pub(crate) fn enter<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let thread = self.spawn(work);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> JoinHandle<io::Result<T>> {
        let namespace = self.0.clone();
        thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }
}

/// A port of the loopback whose connections end inside the namespace. Dropping it closes all of them.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Forward {
    pub(super) fn start(namespace: &NetworkNamespace, target: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        // A runtime of its own: the one of the test that starts a shared node ends before the node does.
        let thread = namespace.spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let tasks = task::LocalSet::new();
            tasks.block_on(&runtime, async {
                let accepting = accept(net::TcpListener::from_std(listener)?, target);
                stopped.run_until_cancelled(accepting).await.unwrap_or(Ok(()))
            })
        });
        drop(thread);
        Ok(Self { address, _stop: stop.drop_guard() })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: net::TcpListener, target: SocketAddr) -> io::Result<()> {
    loop {
        let (mut outside, _) = listener.accept().await?;
        task::spawn_local(async move {
            // Either end may go away at any time; the other one sees its connection close.
            if let Ok(mut inside) = net::TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}
