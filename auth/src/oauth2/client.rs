//! One client of one authorization server: makes a request, sends it, reads the answer.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_crds::{
    auth::OAuth2,
    azure::{AzureIdentity, VaultSecret},
    reference::vault_secrets,
    secret_ref::{SecretKeyRef, SecretNameRef, SecretValue, Value},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    answer::{self, Asked, Grant},
    request::{self, Exchange, Material, Moment},
};
use crate::{
    azure::{
        self, Proof,
        certificate::{self, Certificate},
        managed,
    },
    discovery::{Issuer, discover},
    http::{HttpDoor, SendFailure},
    keyring::Keyring,
    secret::Secrets,
    token::TokenError,
};

/// How long an authorization server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long endpoints that were found out are believed in.
const KNOWN: Duration = Duration::from_secs(3600);

/// One client of one authorization server.
#[derive(Debug)]
pub struct Client {
    spec: OAuth2,
    proof: Proof,
    secrets: Secrets,
    /// What of it is in Key Vault.
    vaulted: Vec<VaultSecret>,
    door: HttpDoor,
    found: Mutex<Option<(Issuer, Instant)>>,
}

impl Client {
    /// The client that this describes.
    pub fn new(spec: OAuth2, keyring: &Keyring) -> Self {
        let door = keyring.door(spec.tls.clone());
        let vaulted = vault_secrets(&spec, "oauth2").into_iter().map(|(_, secret)| secret).collect();
        let secrets = keyring.secrets.clone();
        Self { spec, proof: Proof::Described, secrets, vaulted, door, found: Mutex::default() }
    }

    /// The client that an identity of Entra ID is.
    pub(crate) fn of_identity(identity: &AzureIdentity, keyring: &Keyring) -> Self {
        let (spec, proof) = azure::client(identity, &keyring.azure);
        Self { proof, ..Self::new(spec, keyring) }
    }

    /// What it was described by.
    pub fn spec(&self) -> &OAuth2 {
        &self.spec
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn ask(&self, exchange: Exchange<'_>, material: &Material) -> Result<Grant, TokenError> {
        if let Proof::Node { client_id, allowed } = &self.proof {
            return self.ask_node(client_id.as_deref(), *allowed).await;
        }
        let endpoint = self.token_endpoint().await?;
        let asked = Asked { instant: Instant::now(), time: Timestamp::now() };
        let fresh = [(); 2].map(|()| format!("{:032x}", rand::random::<u128>()));
        let moment = Moment { now: asked.time, fresh };
        let statement = self.statement(material, &endpoint, &moment)?;
        let material = &Material { client_statement: statement, ..material.clone() };
        let request = request::request(&self.spec, &endpoint, exchange, material, &moment)?;
        let response = self.door.send(request, DEADLINE).await.map_err(|failure| match failure {
            SendFailure::Address(refused) => TokenError::Address(refused),
            SendFailure::Configuration(why) => TokenError::Unusable(format!("oauth2.{why}")),
            SendFailure::Transport(why) => TokenError::Unavailable {
                message: format!("the token endpoint {} can't be asked: {why}", answer::host(&self.spec)),
                after: None,
            },
        })?;
        answer::answer(&self.spec, &response, asked, &request::secrets(exchange, material))
    }

    /// What proves an identity of Entra ID, where its description does not say that.
    fn statement(
        &self,
        material: &Material,
        endpoint: &str,
        moment: &Moment,
    ) -> Result<Option<SecretString>, TokenError> {
        match (&self.proof, &material.certificate) {
            (Proof::Certificate(_), Some(held)) => {
                certificate::statement(held, &material.client_id, endpoint, moment).map(Some)
            }
            (Proof::Federated(file), _) => azure::federated(file).map(Some),
            _ => Ok(None),
        }
    }

    async fn ask_node(&self, client_id: Option<&str>, allowed: bool) -> Result<Grant, TokenError> {
        if !allowed {
            let message = "the administrator does not let this namespace use managed identities";
            return Err(TokenError::Unusable(message.into()));
        }
        let scope = self.spec.scopes.iter().flatten().next().map(String::as_str).unwrap_or_default();
        let access = managed::ask(client_id, scope, managed::now()).await?;
        Ok(Grant { access, refresh: None, consent_expires: None })
    }

    /// Reads what is in Key Vault, so that [`Client::material`] finds it.
    pub async fn ready(&self) {
        self.secrets.ready(&self.vaulted).await;
    }

    /// Reads what is in Key Vault again, after it was refused. Says whether anything has changed.
    pub async fn renew(&self) -> bool {
        self.secrets.renew(&self.vaulted).await
    }

    /// What Secrets hold for a request.
    ///
    /// # Errors
    /// If one is missing or can't be used.
    pub fn material(&self) -> Result<Material, TokenError> {
        let OAuth2 { client_id, client_secret, client_assertion, assertion, .. } = &self.spec;
        let text = |secret: &SecretValue| self.secrets.secret(secret).map_err(TokenError::Secret);
        let value = |given: &Value| {
            self.secrets.value(given.value.as_deref(), given.value_from.as_ref()).map_err(TokenError::Secret)
        };
        Ok(Material {
            client_id: value(client_id)?,
            client_secret: client_secret.as_ref().map(text).transpose()?,
            client_key: client_assertion.as_ref().map(|assertion| text(&assertion.key)).transpose()?,
            grant_key: assertion.as_ref().map(|assertion| text(&assertion.key)).transpose()?,
            subject: assertion.as_ref().map(|assertion| value(&assertion.subject)).transpose()?,
            client_statement: None,
            certificate: match &self.proof {
                Proof::Certificate(secret) => Some(self.certificate(secret)?),
                _ => None,
            },
        })
    }

    fn certificate(&self, secret: &SecretNameRef) -> Result<Certificate, TokenError> {
        let entry = |key: &str| {
            let key = SecretKeyRef { name: secret.name.clone(), key: key.into() };
            self.secrets.text(&key).map_err(TokenError::Secret)
        };
        Ok(Certificate { certificate: entry("tls.crt")?, key: entry("tls.key")? })
    }

    /// Where a person gives consent.
    ///
    /// # Errors
    /// If that can't be found out.
    pub async fn authorization_endpoint(&self) -> Result<String, TokenError> {
        match &self.spec.authorization_url {
            Some(url) => Ok(url.clone()),
            None => self.endpoint("authorization", |found| found.authorization_endpoint.as_ref()).await,
        }
    }

    async fn token_endpoint(&self) -> Result<String, TokenError> {
        match &self.spec.token_url {
            Some(url) => Ok(url.clone()),
            None => self.endpoint("token", |found| found.token_endpoint.as_ref()).await,
        }
    }

    async fn endpoint(
        &self,
        name: &str,
        pick: impl Fn(&Issuer) -> Option<&String> + Send,
    ) -> Result<String, TokenError> {
        let Some(issuer) = &self.spec.issuer else {
            return Err(TokenError::Unusable(format!("oauth2 tells no {name} endpoint and no issuer that would")));
        };
        let now = Instant::now();
        let known = self.found().clone();
        let fresh = known.as_ref().filter(|(_, found)| now.duration_since(*found) < KNOWN);
        if let Some(endpoint) = fresh.and_then(|(found, _)| pick(found)) {
            return Ok(endpoint.clone());
        }
        let host = answer::host(&self.spec);
        match (discover(&self.door, issuer, DEADLINE).await, known) {
            (Ok(found), _) => {
                let endpoint = pick(&found).cloned();
                *self.found() = Some((found, now));
                endpoint.ok_or_else(|| TokenError::Refused(format!("the issuer {host} names no {name} endpoint")))
            }
            // Where it was is more likely to be right than nothing.
            (Err(_), Some((found, _))) if pick(&found).is_some() => Ok(pick(&found).cloned().unwrap_or_default()),
            (Err(why), _) => Err(TokenError::Unavailable {
                message: format!("the issuer {host} does not tell its endpoints: {why}"),
                after: None,
            }),
        }
    }

    fn found(&self) -> MutexGuard<'_, Option<(Issuer, Instant)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Material {
    /// Whether both hold the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let secret = |one: &Option<SecretString>, other: &Option<SecretString>| match (one, other) {
            (Some(one), Some(other)) => one.expose_secret() == other.expose_secret(),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.client_id == other.client_id
            && self.subject == other.subject
            && secret(&self.client_secret, &other.client_secret)
            && secret(&self.client_key, &other.client_key)
            && secret(&self.grant_key, &other.grant_key)
            && match (&self.certificate, &other.certificate) {
                (Some(one), Some(other)) => one.is_same(other),
                (one, other) => one.is_none() && other.is_none(),
            }
    }
}
