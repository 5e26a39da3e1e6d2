//! Stage deliver: records come in, an [`Outcome`] for each goes out. The one place where a record leaves us.
//!
//! A failed delivery is a value; there is no error to hand on.

mod judge;
mod no_http;
mod probe;
mod prove;
mod request;
pub mod search;
mod waits;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use ropeway_auth::{
    credentials::Credentials,
    http::{HttpDoor, Response, SendFailure},
    keyring::Keyring,
    secret::{SecretError, Secrets},
};
use ropeway_crds::{
    account::Cause,
    azure::VaultSecret,
    names::ShortUid,
    reference::{account_settings, account_vault_secrets},
    secret_ref::ConfigMapKeyRef,
    worker_config::LaneConfig,
};
use ropeway_mapping::Program;

use crate::{
    account::{Account, Permit, breaker::Sign},
    deliver::{
        judge::{judge, sign},
        search::{Reply, Search},
    },
    fault::{self, Step},
    io::jetstream::Broker,
    lane::Trial,
    map::Record,
    provider::{Failure, Outcome, Verdict, http::Frame},
};

/// What a lane needs to deliver.
#[derive(Debug)]
pub struct Deliverer {
    config: Arc<LaneConfig>,
    outcomes: Vec<Program>,
    secrets: Secrets,
    credentials: Option<Credentials>,
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
pub struct Manner {
    /// Whether none of them is sent for the first time.
    pub retry: bool,
    /// Whether it is a trial.
    pub trial: Trial,
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
        let door = keyring.door(config.tls.clone());
        let credentials = config.auth.as_ref().map(|auth| match &config.token_of {
            Some(destination) => keyring.credentials_of(auth, destination),
            None => keyring.credentials(auth),
        });
        let secrets = keyring.secrets.clone();
        let settings =
            account_settings(&config.provider, config.auth.as_ref()).into_iter().map(|(_, key)| key).collect();
        let vaulted = account_vault_secrets(&config.provider, None).into_iter().map(|(_, secret)| secret).collect();
        Self {
            config,
            outcomes,
            secrets,
            credentials,
            settings,
            vaulted,
            door,
            broker,
            shadow_of,
            frame: OnceLock::new(),
        }
    }

    /// What it proves itself with.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
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

    /// Sends records in one request, and says what became of each. Where they are refused together, more requests follow,
    /// each with a permit of its own.
    pub async fn deliver(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner,
        permit: Permit,
    ) -> Exchange {
        let (outcome, sign) = self.send(account, parcels, manner).await;
        drop(permit);
        match outcome {
            // Not one alone is refused, so it has to be found out which.
            Outcome::Rejected(_) if parcels.len() > 1 => {
                Box::pin(self.search(account, parcels, manner, outcome, sign)).await
            }
            outcome => Exchange { outcomes: vec![outcome; parcels.len()], sign, too_large: None },
        }
    }

    /// Finds out which of several records are refused, beginning with what came back for all of them.
    async fn search(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner,
        first: Outcome,
        sign: Sign,
    ) -> Exchange {
        let mut search = Search::new(parcels.len());
        let mut exchange = Exchange { outcomes: Vec::new(), sign, too_large: None };
        let mut known = Some(first);
        while let Some(sending) = search.send_next() {
            let portion: Vec<Parcel<'_>> = sending.iter().map(|index| parcels[*index]).collect();
            let outcome = match known.take() {
                Some(outcome) => outcome,
                None => {
                    let permit = account.pace().permit(account).await;
                    let (outcome, sign) = self.send(account, &portion, manner).await;
                    drop(permit);
                    exchange.sign = sign;
                    outcome
                }
            };
            let reply = match outcome {
                Outcome::Rejected(failure) if failure.code == Some(413) => {
                    if portion.len() > 1 {
                        exchange.too_large = Some(portion.len() / 2);
                    }
                    Reply::TooLarge(failure)
                }
                Outcome::Rejected(failure) => Reply::Refused(failure),
                outcome => Reply::Each(vec![outcome; portion.len()]),
            };
            search.answered(reply);
        }
        exchange.outcomes = search.finish();
        exchange
    }

    /// One request: its outcome, and what it showed about the destination.
    async fn send(&self, account: &Arc<Account>, parcels: &[Parcel<'_>], manner: Manner) -> (Outcome, Sign) {
        let deadline = self.config.delivery.timeout.std();
        let (outcome, sign, _) = self.send_within(account, parcels, manner, deadline).await;
        (outcome, sign)
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
        let manner = Manner { retry: false, trial };
        let sent = self.send_within(account, &[parcel], manner, deadline).await;
        drop(permit);
        sent
    }

    async fn send_within(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner,
        deadline: Duration,
    ) -> (Outcome, Sign, Option<Response>) {
        fault::reached(Step::Sending);
        let (verdict, response) = self.exchange(account, parcels, deadline).await;
        fault::reached(Step::Answered);
        let Verdict { outcome, hint, by_rule } = verdict;
        let delivery = parcels.first().map_or("", |parcel| parcel.delivery);
        let sign = sign(&outcome, by_rule, delivery);
        if account.pace().honors_headers() {
            let limited = sign == Sign::Limited;
            let most = self.config.delivery.retry_after_max.std();
            let pause = hint.pause(limited).map(|pause| pause.min(most));
            if pause.is_some() || limited {
                Box::pin(account.pace().slow_down(pause, limited)).await;
            }
        }
        // A trial's result is told by whoever makes it.
        let tripped = manner.trial != Trial::Circuit && account.note(&sign, manner.retry).await;
        match (outcome, &sign) {
            // The one that shows that all are forbidden is not to suffer for it.
            (Outcome::Rejected(failure), Sign::Forbidden { .. }) if tripped => {
                (Outcome::Hold { cause: Cause::Gone, failure }, sign, response)
            }
            (outcome, _) => (outcome, sign, response),
        }
    }

    async fn exchange(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        deadline: Duration,
    ) -> (Verdict, Option<Response>) {
        let records: Vec<&Record> = parcels.iter().map(|parcel| parcel.record).collect();
        if let Some(integration) = &self.shadow_of {
            return (Box::pin(self.shadow(integration, &records)).await, None);
        }
        if let (Some(nats), [record]) = (&self.config.provider.nats, records.as_slice()) {
            return (Box::pin(self.publish(&nats.subject, record, deadline)).await, None);
        }
        self.secrets.ready(&self.vaulted).await;
        let request = match self.request(&records) {
            Ok(request) => request,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
        let answer = match self.prove_and_send(account, request, deadline).await {
            Ok(answer) => answer,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
        let now = Timestamp::now();
        let verdict = match answer {
            Ok(response) => return (judge(&self.config, &self.outcomes, &response, now), Some(response)),
            Err(SendFailure::Address(refused)) => {
                Verdict::plain(Outcome::Hold { cause: Cause::Address, failure: Failure::silent(refused.to_string()) })
            }
            Err(SendFailure::Configuration(message)) => {
                Verdict::plain(Outcome::Hold { cause: Cause::Credentials, failure: Failure::silent(message) })
            }
            Err(SendFailure::Transport(message)) => {
                Verdict::plain(Outcome::Retry { after: None, limited: false, failure: Failure::silent(message) })
            }
        };
        (verdict, None)
    }
}
