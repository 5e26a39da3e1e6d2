//! Stage deliver: a [`Record`] comes in, an [`Outcome`] goes out. The one place where a record leaves us.
//!
//! A failed delivery is a value; there is no error to hand on.

pub mod address;
pub mod credentials;
pub mod http;

use std::sync::Arc;

use jiff::Timestamp;
use ropeway_crds::{delivery::OutcomeKind, worker_config::LaneConfig};
use ropeway_mapping::{Context, Data, EventAttributes, Input, IntegrationName, Limits, Program, run_outcome};
use secrecy::ExposeSecret;

use crate::{
    deliver::{
        address::AddressPolicy,
        http::{HttpDoor, SendFailure},
    },
    fault::{self, Step},
    map::Record,
    provider::{self, Failure, HoldCause, Outcome, Request, Response},
    secret::{SecretError, Secrets},
};

/// What a lane needs to deliver.
#[derive(Debug)]
pub struct Deliverer {
    config: LaneConfig,
    outcomes: Vec<Program>,
    secrets: Secrets,
    door: HttpDoor,
}

impl Deliverer {
    /// A deliverer for one lane. `outcomes` are the compiled programs of its outcome rules.
    pub fn new(config: LaneConfig, outcomes: Vec<Program>, secrets: Secrets, addresses: Arc<AddressPolicy>) -> Self {
        let door = HttpDoor::new(config.tls.clone(), secrets.clone(), addresses);
        Self { config, outcomes, secrets, door }
    }

    /// The first Secret key that is missing or unusable, if any.
    pub fn missing_secret(&self) -> Option<SecretError> {
        let LaneConfig { provider, auth, tls, .. } = &self.config;
        let provider_keys = provider.http.iter().flat_map(|http| http.secret_keys()).cloned();
        let auth_keys = auth.iter().flat_map(|auth| auth.secret_keys()).cloned();
        let tls_keys = tls.iter().flat_map(|tls| tls.secret_keys());
        provider_keys.chain(auth_keys).chain(tls_keys).find_map(|key| self.secrets.bytes(&key).err())
    }

    /// Sends one record and says what became of it.
    pub async fn deliver(&self, record: &Record) -> Outcome {
        let request = match self.request(record) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        fault::reached(Step::Sending);
        let answer = self.door.send(request, self.config.delivery.timeout.std()).await;
        fault::reached(Step::Answered);
        let now = Timestamp::now();
        match answer {
            Ok(response) => self.judge(&response, now),
            Err(SendFailure::Address(refused)) => Outcome::Hold {
                cause: HoldCause::Address,
                failure: Failure { code: None, message: refused.to_string() },
            },
            Err(SendFailure::Configuration(message)) => {
                Outcome::Hold { cause: HoldCause::Credentials, failure: Failure { code: None, message } }
            }
            Err(SendFailure::Transport(message)) => {
                Outcome::Retry { after: None, failure: Failure { code: None, message } }
            }
        }
    }

    fn request(&self, record: &Record) -> Result<Request, Outcome> {
        let Some(provider) = &self.config.provider.http else {
            return Err(unusable("the Destination names no provider".into()));
        };
        let mut values = Vec::new();
        for header in provider.headers.iter().flatten() {
            values.push(match (&header.value, &header.value_from) {
                (_, Some(source)) => {
                    self.secrets.text(&source.secret_key_ref).map_err(missing)?.expose_secret().to_owned()
                }
                (value, None) => value.clone().unwrap_or_default(),
            });
        }
        let mut request =
            provider::http::request(provider, &values, record).map_err(|error| unusable(error.to_string()))?;
        if let Some(auth) = &self.config.auth {
            credentials::apply(auth, &self.secrets, &mut request)?;
        }
        Ok(request)
    }

    /// The user's rules first, then the default table.
    fn judge(&self, response: &Response, now: Timestamp) -> Outcome {
        let fallback = provider::default_outcome(response, now);
        if self.outcomes.is_empty() {
            return fallback;
        }
        let headers: Vec<(&str, &str)> =
            response.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let data = Data::from_response(response.status.as_u16(), headers, &response.body);
        let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
        let limits = Limits::default();
        let rules = self.outcomes.iter().zip(&self.config.delivery.outcomes);
        for (index, (program, rule)) in rules.enumerate() {
            // A rule that fails on this answer does not match; the next one, or the table, decides.
            if run_outcome(program, Input { data: &data, context: &context }, &limits).unwrap_or(false) {
                let code = response.status.as_u16();
                let message = format!("the destination answered {code}, and outcome rule {} applies", index + 1);
                let failure = Failure { code: Some(code), message };
                return match rule.then {
                    OutcomeKind::Deliver => Outcome::Delivered,
                    OutcomeKind::Retry => {
                        Outcome::Retry { after: provider::retry_after(&response.headers, now), failure }
                    }
                    OutcomeKind::Reject => Outcome::Rejected(failure),
                    OutcomeKind::Hold => Outcome::Hold { cause: HoldCause::Rule, failure },
                };
            }
        }
        fallback
    }
}

fn missing(error: SecretError) -> Outcome {
    Outcome::Hold { cause: HoldCause::Credentials, failure: Failure { code: None, message: error.to_string() } }
}

/// The configuration can't be used at all. Nothing is wrong with the event, so it waits.
fn unusable(message: String) -> Outcome {
    Outcome::Hold { cause: HoldCause::Rule, failure: Failure { code: None, message } }
}
