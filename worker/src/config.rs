//! The configuration: one file in, validated programs and policies out. All problems are reported at once.

use std::{path::Path, sync::Arc};

use ropeway_auth::address::{AddressPolicy, RangeError};
use ropeway_crds::worker_config::{CONFIG_VERSION, SourceConfig, WorkerConfig};
use ropeway_mapping::{Program, Purpose};

use crate::map::{LaneMapping, ProgramError, Programs};

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("failed to read the configuration {path}")]
    Read {
        /// Its path.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what this version understands.
    #[error("failed to understand the configuration")]
    Parse(#[source] serde_json::Error),
    /// The file is of another version.
    #[error("the configuration has version {found}, this worker understands {CONFIG_VERSION}")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// An address range is none.
    #[error("failed to understand an allowed address range")]
    Range(#[source] RangeError),
    /// Expressions that don't compile.
    #[error("{} expressions don't compile, first: {}", .0.len(), .0[0])]
    Programs(Vec<ProgramError>),
}

/// A configuration with everything compiled that it holds.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration.
    pub config: WorkerConfig,
    /// Ten characters that stand for it.
    pub fingerprint: String,
    /// Where deliveries may go.
    pub addresses: Arc<AddressPolicy>,
    /// For each Integration, in order: its lanes' programs, in order.
    pub mappings: Vec<Vec<LaneMapping>>,
    /// For each Integration, in order: the expression for the ids of events that carry none.
    pub event_ids: Vec<Option<Program>>,
    /// For each Integration, in order: the program for the destination's answer to a request.
    pub replies: Vec<Option<Program>>,
}

/// Reads the configuration from a file.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: &Path) -> Result<Prepared, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
    prepare(&bytes)
}

/// Makes a configuration ready to run.
///
/// # Errors
/// See [`ConfigError`].
pub fn prepare(bytes: &[u8]) -> Result<Prepared, ConfigError> {
    let config: WorkerConfig = serde_json::from_slice(bytes).map_err(ConfigError::Parse)?;
    if config.version != CONFIG_VERSION {
        return Err(ConfigError::Version { found: config.version });
    }
    let addresses = Arc::new(AddressPolicy::new(&config.allowed_private_ranges).map_err(ConfigError::Range)?);
    let mut errors = Vec::new();
    let mut mappings = Vec::new();
    let mut programs = Programs::default();
    let (mut event_ids, mut replies) = (Vec::new(), Vec::new());
    for integration in &config.integrations {
        let mut lanes = Vec::new();
        let shared = Arc::new(integration.clone());
        for lane in 0..integration.lanes.len() {
            match LaneMapping::compile(&config.namespace, &shared, lane, &mut programs) {
                Ok(mapping) => lanes.push(mapping),
                Err(found) => errors.extend(found),
            }
        }
        mappings.push(lanes);
        let reply = match &integration.source {
            SourceConfig::Request { reply, .. } => reply.as_ref(),
            _ => None,
        };
        let reply = reply.map(|source| programs.compile(source, Purpose::Transform)).transpose();
        replies.push(reply.unwrap_or_else(|source| {
            errors.push(ProgramError::Expression { field: "source.request.reply".into(), source });
            None
        }));
        let id = integration.event.id.as_ref().map(|source| programs.compile(source, Purpose::Key)).transpose();
        event_ids.push(id.unwrap_or_else(|source| {
            errors.push(ProgramError::Expression { field: "event.id".into(), source });
            None
        }));
    }
    if !errors.is_empty() {
        return Err(ConfigError::Programs(errors));
    }
    Ok(Prepared { fingerprint: WorkerConfig::fingerprint(bytes), config, addresses, mappings, event_ids, replies })
}
