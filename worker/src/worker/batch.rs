//! Runs of batch sources: what a Job does, and `ropeway dev` by the clock.

use std::{path::Path, sync::Arc};

use async_nats::Client;
use ropeway_auth::{keyring::Keyring, secret::Secrets};
use ropeway_crds::worker_config::SourceConfig;

use super::source::store;
use crate::{
    config::Prepared,
    intake::batch::{Job, from::ReadError},
    io::jetstream::Broker,
};

/// A run of each batch source of a configuration. `claim` is the folder that its file is in.
///
/// # Errors
/// If one can't be used as it is configured.
pub fn batch_jobs(
    prepared: &Prepared,
    name: &str,
    secrets: &Secrets,
    client: &Client,
    claim: &Path,
) -> Result<Vec<Job>, ReadError> {
    let broker = Broker::new(client.clone(), prepared.config.names());
    let keyring = Keyring::new(secrets.clone(), Arc::clone(&prepared.addresses));
    let keyring = keyring.with_azure(prepared.config.azure.clone());
    let mut jobs = Vec::new();
    for (integration, id) in prepared.config.integrations.iter().zip(&prepared.event_ids) {
        if let SourceConfig::Batch(spec) = &integration.source {
            let store = store(prepared, &broker, integration, id.clone());
            let keyring = keyring.with_vault(integration.key_vault_identity.as_ref());
            let token_of = integration.token_of.as_ref();
            jobs.push(Job::new(name, spec, store, token_of, &keyring, claim.to_owned())?);
        }
    }
    Ok(jobs)
}
