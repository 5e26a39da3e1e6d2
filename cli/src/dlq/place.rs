//! Where an Integration's dead letters are: in the NATS of a local run, or in that of a cluster.

use std::{
    io,
    path::{Path, PathBuf},
};

use ropeway_crds::names::{NamespaceNames, ShortUid};
use ropeway_nats::{ConnectError, Settings, connect};
use ropeway_operator::offline::{DeadLetters, JetStream};

use super::args::Target;
use crate::{
    dev::local::Local,
    io::{ClusterError, Found},
};

/// The folder of a local run where none is given.
const DATA: &str = ".ropeway";

/// Where NATS is where only credentials are given: the end of a port-forward.
const NATS_URL: &str = "nats://127.0.0.1:4222";

/// The dead letters can't be found.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There is no local run, and nothing says where else to look.
    #[error(
        "there is no local run in {DATA}, and nothing says where NATS is: give --nats-url for a cluster (kubectl \
         port-forward brings its NATS here), or --data for a local run with another folder"
    )]
    Nowhere,
    /// The local run does not say where it is.
    #[error("failed to read what the local run in {folder} says of itself; is `ropeway dev --data {folder}` running?")]
    Local {
        /// Its folder.
        folder: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The local run has no such Integration.
    #[error("the local run in {folder} has no Integration {name:?}; it has {known}")]
    Unknown {
        /// Its folder.
        folder: String,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// An address with credentials would be seen in the process list.
    #[error("the address of NATS must hold no credentials; put them in a folder and give --nats-credentials")]
    Credentials,
    /// The folder of credentials is not there.
    #[error("there is no folder {}; --nats-credentials names one with the entries of the Secret ropeway-nats", .0.display())]
    NoFolder(PathBuf),
    /// The API server can't be asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An entry of the credentials is wrong.
    #[error("the NATS credentials can't be used; see --nats-credentials")]
    Settings(#[source] ConnectError),
    /// The NATS of the local run does not answer.
    #[error("the NATS of the local run in {folder} can't be used; is `ropeway dev` still running?")]
    LocalNats {
        /// Its folder.
        folder: String,
        /// What went wrong.
        #[source]
        source: ConnectError,
    },
    /// The NATS of the cluster does not answer.
    #[error(
        "NATS can't be used; see --nats-url and --nats-credentials, and for a server inside the cluster run: kubectl \
         --namespace ropeway-system port-forward service/nats 4222"
    )]
    ClusterNats(#[source] ConnectError),
}

/// The dead letters of one Integration.
pub struct Place {
    /// The door to them.
    pub letters: DeadLetters,
    /// The destinations that the Integration has now.
    pub destinations: Vec<String>,
    /// The streams of its namespace.
    pub names: NamespaceNames,
    /// Its UID.
    pub integration: ShortUid,
    /// The connection.
    pub jetstream: JetStream,
}

/// Finds the dead letters that a command line means.
///
/// # Errors
/// See [`PlaceError`].
pub async fn find(target: &Target) -> Result<Place, PlaceError> {
    let of_cluster = target.nats_url.is_some() || target.nats_credentials.is_some() || target.namespace.is_some();
    match &target.data {
        Some(folder) => local(folder, target).await,
        None if of_cluster => cluster(target).await,
        None if Path::new(DATA).join(crate::dev::local::FILE).exists() => local(Path::new(DATA), target).await,
        None => Err(PlaceError::Nowhere),
    }
}

async fn local(folder: &Path, target: &Target) -> Result<Place, PlaceError> {
    let shown = folder.display().to_string();
    let run = Local::read(folder).map_err(|source| PlaceError::Local { folder: shown.clone(), source })?;
    let Some(found) = run.integrations.get(&target.integration) else {
        let known = run.integrations.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(PlaceError::Unknown { folder: shown, name: target.integration.clone(), known });
    };
    let settings = Settings::open(&run.nats_url);
    let place = open(&settings, &run.namespace_uid, &found.uid, found.destinations.clone()).await;
    place.map_err(|source| PlaceError::LocalNats { folder: shown, source })
}

async fn cluster(target: &Target) -> Result<Place, PlaceError> {
    let url = target.nats_url.as_deref().unwrap_or(NATS_URL);
    if url.contains('@') {
        return Err(PlaceError::Credentials);
    }
    let settings = match &target.nats_credentials {
        Some(folder) if !folder.is_dir() => return Err(PlaceError::NoFolder(folder.clone())),
        Some(folder) => from_folder(target.nats_url.as_deref(), folder).map_err(PlaceError::Settings)?,
        None => Settings::open(url),
    };
    let Found { uid, namespace_uid, destinations } =
        crate::io::integration(target.namespace.as_deref(), &target.integration).await?;
    open(&settings, &namespace_uid, &uid, destinations).await.map_err(PlaceError::ClusterNats)
}

/// An address that is given wins over the entry `url`, which is an address inside the cluster.
fn from_folder(url: Option<&str>, folder: &Path) -> Result<Settings, ConnectError> {
    let read = |entry: &str| match (entry, url) {
        ("url", Some(_)) => None,
        _ => std::fs::read(folder.join(entry)).ok(),
    };
    Settings::from_entries(url.unwrap_or(NATS_URL), read)
}

async fn open(
    settings: &Settings,
    namespace_uid: &str,
    uid: &str,
    destinations: Vec<String>,
) -> Result<Place, ConnectError> {
    let client = connect(settings, "ropeway dlq").await?;
    let names = NamespaceNames::new(ShortUid::of(namespace_uid));
    let (jetstream, integration) = (JetStream::new(client), ShortUid::of(uid));
    let letters = DeadLetters::new(jetstream.clone(), names.clone(), integration.clone());
    Ok(Place { letters, destinations, names, integration, jetstream })
}
