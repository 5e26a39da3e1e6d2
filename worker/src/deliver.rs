//! Stage deliver: records come in, an [`Outcome`] for each goes out. The one place where a record leaves us.
//!
//! A failed delivery is a value; there is no error to hand on.

mod exchange;
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

use bytes::Bytes;
use ropeway_auth::{
    credentials::Credentials,
    http::{HttpDoor, Response},
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
use ropeway_mapping::{EventAttributes, Program};

use crate::{
    account::{Account, Permit, breaker::Sign},
    deliver::{
        judge::{sign, telling},
        search::{Reply, Search},
    },
    fault::{self, Step},
    io::{jetstream::Broker, wish::Wisher},
    lane::Trial,
    map::Record,
    provider::{self, Failure, Fate, Invalid, Item, Known, Outcome, Vendor, Verdict, http::Frame},
};

/// What a lane needs to deliver.
#[derive(Debug)]
pub struct Deliverer {
    config: Arc<LaneConfig>,
    outcomes: Vec<Program>,
    secrets: Secrets,
    credentials: Option<Credentials>,
    /// By which another access token is asked for, where the operator keeps it.
    wisher: Option<Wisher>,
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
        let door = if vendor.is_some() { door.reading(MOST_OF_A_VENDORS_ANSWER) } else { door };
        let token_of = config.token_of.as_ref();
        let holder = token_of.map(|it| it.destination.as_str());
        let credentials = config.auth.as_ref().map(|auth| keyring.credentials_of(auth, holder));
        let wisher = token_of.map(|it| Wisher::new(broker.clone(), &it.account));
        let secrets = keyring.secrets.clone();
        let settings =
            account_settings(&config.provider, config.auth.as_ref()).into_iter().map(|(_, key)| key).collect();
        let vaulted = account_vault_secrets(&config.provider, None).into_iter().map(|(_, secret)| secret).collect();
        let frame = OnceLock::new();
        Self {
            config,
            outcomes,
            secrets,
            credentials,
            wisher,
            vendor,
            settings,
            vaulted,
            door,
            broker,
            shadow_of,
            frame,
        }
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
        let answered = self.send(account, parcels, manner).await;
        drop(permit);
        match &answered {
            // Not one alone is refused, so it has to be found out which; or it was said which, and the rest is sent again.
            Answered { outcome: Outcome::Rejected(_), each, .. } if parcels.len() > 1 && each.is_empty() => {
                Box::pin(self.search(account, parcels, manner, answered)).await
            }
            Answered { each, .. } if each.contains(&Fate::Again) => {
                Box::pin(self.search(account, parcels, manner, answered)).await
            }
            _ => {
                let Answered { outcome, each, sign } = answered;
                let known = each.into_iter().filter_map(|fate| match fate {
                    Fate::Known(outcome) => Some(outcome),
                    Fate::Again => None,
                });
                let mut outcomes: Vec<Outcome> = known.collect();
                outcomes.resize(parcels.len(), outcome);
                Exchange { outcomes, sign, too_large: None }
            }
        }
    }

    /// Finds out which of several records are refused, beginning with what came back for all of them.
    async fn search(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner,
        first: Answered,
    ) -> Exchange {
        let mut search = Search::new(parcels.len());
        let mut exchange = Exchange { outcomes: Vec::new(), sign: first.sign.clone(), too_large: None };
        let mut known = Some(first);
        while let Some(sending) = search.send_next() {
            let portion: Vec<Parcel<'_>> = sending.iter().map(|index| parcels[*index]).collect();
            let answered = match known.take() {
                Some(answered) => answered,
                None => {
                    let permit = account.pace().permit(account).await;
                    let answered = self.send(account, &portion, manner).await;
                    drop(permit);
                    exchange.sign = answered.sign.clone();
                    answered
                }
            };
            let reply = match answered.outcome {
                _ if !answered.each.is_empty() => Reply::Told(answered.each),
                Outcome::Rejected(failure) if failure.code == Some(413) => {
                    let weight: usize = portion.iter().map(|parcel| parcel.record.weight).sum();
                    // One that is too large alone says nothing about the others.
                    exchange.too_large = if portion.len() > 1 { Some(weight / 2) } else { None };
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

    /// One request, and what came back.
    async fn send(&self, account: &Arc<Account>, parcels: &[Parcel<'_>], manner: Manner) -> Answered {
        let deadline = self.config.delivery.timeout.std();
        self.send_within(account, parcels, manner, deadline).await.0
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

    async fn send_within(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner,
        deadline: Duration,
    ) -> (Answered, Option<Response>) {
        fault::reached(Step::Sending);
        let (verdict, response) = self.exchange(account, parcels, deadline).await;
        fault::reached(Step::Answered);
        let Verdict { outcome, hint, by_rule, each } = verdict;
        let delivery = parcels.first().map_or("", |parcel| parcel.delivery);
        let sign = sign(telling(&outcome, &each), by_rule, delivery);
        if account.pace().honors_headers() {
            let limited = sign == Sign::Limited;
            let most = self.config.delivery.retry_after_max.std();
            let pause = hint.pause(limited).map(|pause| pause.min(most));
            if pause.is_some() || limited {
                Box::pin(account.pace().slow_down(pause, limited)).await;
            }
        }
        // A trial's result is told by whoever makes it.
        let noted = manner.trial != Trial::Circuit && self.shadow_of.is_none();
        let tripped = noted && account.note(&sign, manner.retry).await;
        let outcome = match (outcome, &sign) {
            // The one that shows that all are forbidden is not to suffer for it.
            (Outcome::Rejected(failure), Sign::Forbidden { .. }) if tripped => {
                Outcome::Hold { cause: Cause::Gone, failure }
            }
            (outcome, _) => outcome,
        };
        (Answered { outcome, each, sign }, response)
    }
}
