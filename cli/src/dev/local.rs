//! What a local run says of itself in its data folder, so that other commands find its streams.

use std::{collections::BTreeMap, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::stage::Staged;

/// The file's name in the data folder.
pub const FILE: &str = "local.json";

/// A local run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// Where its NATS is.
    pub nats_url: String,
    /// The made-up UID of its namespace.
    pub namespace_uid: String,
    /// Its Integrations by name.
    pub integrations: BTreeMap<String, LocalIntegration>,
}

/// An Integration of a local run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalIntegration {
    /// Its made-up UID.
    pub uid: String,
    /// The names of its destinations.
    pub destinations: Vec<String>,
}

impl Local {
    /// A local run of these Integrations.
    pub fn of(nats_url: &str, staged: &[Staged]) -> Self {
        let integration = |staged: &Staged| {
            let lanes = staged.plan.jetstream.lanes.iter();
            let destinations = lanes.map(|lane| lane.destination.clone()).collect();
            let identity = &staged.plan.identity;
            (identity.name.clone(), LocalIntegration { uid: identity.uid.clone(), destinations })
        };
        Self {
            nats_url: nats_url.to_owned(),
            namespace_uid: staged.first().map(|it| it.plan.identity.namespace_uid.clone()).unwrap_or_default(),
            integrations: staged.iter().map(integration).collect(),
        }
    }

    /// Writes it, readable by the user alone: an address may hold a password.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let (path, fresh) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
        let text = serde_json::to_vec_pretty(self).expect("plain types are writable as JSON");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        io::Write::write_all(&mut file, &text)?;
        // A reader sees the one or the other and never half of it.
        std::fs::rename(fresh, path)
    }

    /// Reads it.
    ///
    /// # Errors
    /// If there is none, or it makes no sense.
    pub fn read(folder: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(FILE))?).map_err(io::Error::other)
    }
}
