//! Stage deliver: records come in, an [`Outcome`] for each goes out. The one place where a record leaves us.
//!
//! A failed delivery is a value; there is no error to hand on.

mod exchange;
mod judge;
mod large;
mod no_http;
mod probe;
mod prove;
mod request;
pub mod search;
mod together;
mod waits;
mod wanted;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ropeway_auth::{
    credentials::Credentials,
    http::{HttpDoor, Response},
    keyring::Keyring,
    secret::{SecretError, Secrets},
};
use ropeway_crds::{
    azure::VaultSecret,
    names::ShortUid,
    reference::{account_settings, account_vault_secrets},
    secret_ref::ConfigMapKeyRef,
    worker_config::LaneConfig,
};
use ropeway_mapping::{EventAttributes, Program};

use crate::{
    account::{Account, Permit, breaker::Sign},
    authenticate::Authenticator,
    io::jetstream::Broker,
    lane::Trial,
    map::Record,
    provider::{self, Failure, Fate, Invalid, Item, Known, Outcome, Vendor, http::Frame},
};

pub use wanted::Wanted;

/// What a lane needs to deliver.
#[derive(Debug)]
pub struct Deliverer {
    config: Arc<LaneConfig>,
    outcomes: Vec<Program>,
    secrets: Secrets,
    authenticator: Option<Authenticator>,
    /// The vendor, where the provider is one.
    vendor: Option<Box<dyn Vendor>>,
    /// The keys of ConfigMaps that values come from.
    settings: Vec<ConfigMapKeyRef>,
    /// What of its requests is in Key Vault.
    vaulted: Vec<VaultSecret>,
    door: HttpDoor,
    broker: Broker,
    /// What all requests have in common, where nothing of it comes from a Secret.
    frame: OnceLock<Frame>,
    /// The Integration whose requests are kept instead of being sent, if that is its mode.
    shadow_of: Option<ShortUid>,
}

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// The record.
    pub record: &'a Record,
    /// The delivery that it belongs to.
    pub delivery: &'a str,
}

/// How and why records are sent.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// Whether none of them is sent for the first time.
    pub retry: bool,
    /// Whether it is a trial.
    pub trial: Trial,
    /// Until when it may take longer than a request does; none where it may not.
    pub wanted: Option<&'a Wanted>,
}

/// What became of records that were sent.
#[derive(Debug)]
pub struct Exchange {
    /// One for each record, in order.
    pub outcomes: Vec<Outcome>,
    /// What the last answer showed about the destination as a whole.
    pub sign: Sign,
    /// How many records should go into one request at most, if these were too many.
    pub too_large: Option<usize>,
}

/// What came back for one request.
#[derive(Debug)]
struct Answered {
    /// For the request as a whole.
    outcome: Outcome,
    /// For each record, if anything was said of single ones.
    each: Vec<Fate>,
    sign: Sign,
}

/// How much of a vendor's answer is read, in bytes.
const MOST_OF_A_VENDORS_ANSWER: usize = 8 << 20;

/// The same where an answer repeats a whole portion that was too large for a request.
const MOST_OF_A_LARGE_ANSWER: usize = 64 << 20;

impl Deliverer {
    /// A deliverer for one lane. `outcomes` are the compiled programs of its outcome rules.
    pub fn new(
        config: Arc<LaneConfig>,
        outcomes: Vec<Program>,
        keyring: &Keyring,
        broker: Broker,
        shadow_of: Option<ShortUid>,
    ) -> Self {
        let keyring = &keyring.with_vault(config.key_vault_identity.as_ref());
        let vendor = provider::vendor(&config.provider);
        let door = keyring.door(config.tls.clone());
        // What a vendor says of each of two thousand records has to be read to its end.
        let door = match &vendor {
            Some(vendor) if vendor.large().is_some() => door.reading(MOST_OF_A_LARGE_ANSWER),
            Some(_) => door.reading(MOST_OF_A_VENDORS_ANSWER),
            None => door,
        };
        let token_of = config.token_of.as_ref();
        let authenticator = config.auth.as_ref().map(|auth| Authenticator::new(auth, token_of, keyring, &broker));
        let secrets = keyring.secrets.clone();
        let settings =
            account_settings(&config.provider, config.auth.as_ref()).into_iter().map(|(_, key)| key).collect();
        let vaulted = account_vault_secrets(&config.provider, None).into_iter().map(|(_, secret)| secret).collect();
        let frame = OnceLock::new();
        Self { config, outcomes, secrets, authenticator, vendor, settings, vaulted, door, broker, shadow_of, frame }
    }

    /// A record in the shape in which it is sent.
    ///
    /// # Errors
    /// If the destination takes no such record.
    pub fn record(&self, body: Bytes, key: String, attributes: Arc<EventAttributes>) -> Result<Record, Invalid> {
        let Some(vendor) = &self.vendor else { return Ok(Record::new(body, key, attributes)) };
        let Item { body, weight, apart } = vendor.item(&body, Known { key: &key, attributes: &attributes })?;
        Ok(Record { body, key, attributes, weight, apart })
    }

    /// What it proves itself with.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.authenticator.as_ref().map(Authenticator::credentials)
    }

    /// The first key of a Secret or a ConfigMap that is missing or unusable, if any.
    pub fn missing_secret(&self) -> Option<SecretError> {
        let LaneConfig { provider, auth, tls, .. } = &*self.config;
        let auth_keys = auth.iter().flat_map(|auth| auth.worker_secret_keys());
        let tls_keys = tls.iter().flat_map(|tls| tls.secret_keys());
        provider
            .secret_keys()
            .into_iter()
            .chain(auth_keys)
            .chain(tls_keys)
            .find_map(|key| self.secrets.bytes(&key).err())
            .or_else(|| self.settings.iter().find_map(|key| self.secrets.setting(key).err()))
    }

    /// Sends a portion, and says what became of each of its records.
    pub async fn deliver(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        permit: Permit,
    ) -> Exchange {
        match self.vendor.as_deref().and_then(Vendor::large) {
            Some(large) => Box::pin(self.send_large(account, parcels, manner, permit, large)).await,
            None => self.send_together(account, parcels, manner, permit).await,
        }
    }

    /// Sends one record for somebody who waits for the answer. It is never sent again from here.
    pub async fn ask(
        &self,
        account: &Arc<Account>,
        parcel: Parcel<'_>,
        trial: Trial,
        deadline: Duration,
        permit: Permit,
    ) -> (Outcome, Sign, Option<Response>) {
        let manner = Manner { retry: false, trial, wanted: None };
        let (answered, response) = self.send_within(account, &[parcel], manner, deadline).await;
        drop(permit);
        let Answered { outcome, each, sign } = answered;
        let own = match each.into_iter().next() {
            Some(Fate::Known(outcome)) => outcome,
            Some(Fate::Again) => Outcome::Unaccounted(Failure::silent("the destination did not say what became of it")),
            None => outcome,
        };
        (own, sign, response)
    }
}
