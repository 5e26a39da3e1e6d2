//! The harness of the suites that need something real: a nats-server, an API server, or a whole Kubernetes node.
//!
//! ```text
//! programs ─▶ process ─▶ nats                    NatsServer: kill, restart, keep the data
//!             scratch    control_plane ─▶ api_server    ApiServer: etcd, API server, controller manager
//!                                      └▶ node ─▶ cluster    Node: the same and a kubelet, in namespaces of its own
//!                                                   └▶ install    Ropeway on it, by its chart
//! ```
//!
//! What is started here ends with the test: a value that is dropped kills its processes by id; when the test process
//! itself dies, the kernel kills them, and the janitor of each scratch folder removes what is left on disk.
//! A missing program is an error that names the command which installs it; nothing is ever skipped.

pub mod api_server;
pub mod azure;
mod certificates;
pub mod cluster;
mod control_plane;
mod error;
pub mod files;
pub mod install;
mod kubeconfig;
pub mod nats;
pub mod node;
pub mod oidc;
pub mod paged;
pub mod port;
pub mod process;
pub mod programs;
pub mod receiver;
pub mod scene;
pub mod scratch;
pub mod wait;

pub use api_server::ApiServer;
pub use cluster::Cluster;
pub use error::Error;
pub use nats::NatsServer;
pub use node::Node;
