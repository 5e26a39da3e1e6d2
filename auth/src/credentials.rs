//! Puts credentials on a request.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Uri, header};
use jiff::Timestamp;
use ropeway_crds::{
    auth::{ApiKeyAuth, ApiKeyPlace, Auth, BasicAuth},
    azure::VaultSecret,
    reference::vault_secrets,
    report::TokenReport,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use crate::{
    brokered::Brokered,
    http::Request,
    secret::{SecretError, Secrets},
    token::{AccessToken, TokenError},
    tokens::TokenSource,
};

/// Why nothing could be put on a request. No text holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A Secret is missing or can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no access token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What is configured does not go with the request, or a Secret holds what can't be sent.
    #[error("{0}")]
    Unusable(String),
}

/// What proves who we are at one place.
#[derive(Clone, Debug)]
pub struct Credentials {
    auth: Auth,
    secrets: Secrets,
    /// What of them is in Key Vault.
    vaulted: Arc<Vec<VaultSecret>>,
    source: Option<Source>,
}

/// Where access tokens come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// This process gets them.
    Own(Arc<TokenSource>),
    /// The operator does.
    Brokered(Arc<Brokered>),
}

/// What a request was proved with, where that can be refused and asked for again.
#[derive(Clone, Debug, Default)]
pub struct Proof(Option<Token>);

#[derive(Clone, Debug)]
enum Token {
    Own(Arc<AccessToken>),
    Brokered(SecretString),
}

/// What can be done after a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing: it would be refused again.
    None,
    /// The request can be proved anew.
    Own,
    /// The vault may hold another value by now; see [`Credentials::renew`].
    Vault,
    /// The operator can be asked for another token; this stands for the one that was refused.
    Broker(String),
}

impl Credentials {
    pub(crate) fn new(auth: Auth, secrets: Secrets, source: Option<Source>) -> Self {
        let vaulted = match &source {
            // What a token is asked for with is the source's affair.
            Some(_) => Vec::new(),
            None => vault_secrets(&auth, "auth").into_iter().map(|(_, secret)| secret).collect(),
        };
        Self { auth, secrets, vaulted: Arc::new(vaulted), source }
    }

    /// Puts the credentials on a request. Where a token is needed that is not there, it is asked for.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn apply(&self, request: &mut Request) -> Result<Proof, CredentialError> {
        let Auth { bearer, basic, api_key, oauth2: _, azure: _, destination_ref: _ } = &self.auth;
        self.secrets.ready(&self.vaulted).await;
        if let Some(bearer) = bearer {
            let token = self.secrets.secret(&bearer.token)?;
            request.headers.insert(header::AUTHORIZATION, bearing(&token, "auth.bearer.token")?);
        }
        if let Some(basic) = basic {
            request.headers.insert(header::AUTHORIZATION, self.basic(basic)?);
        }
        if let Some(api_key) = api_key {
            self.api_key(api_key, request)?;
        }
        let token = match &self.source {
            None => return Ok(Proof::default()),
            Some(Source::Own(source)) => Token::Own(source.token().await?),
            Some(Source::Brokered(source)) => Token::Brokered(source.token(Timestamp::now(), Instant::now())?),
        };
        let value = match &token {
            Token::Own(token) => &token.value,
            Token::Brokered(value) => value,
        };
        request.headers.insert(header::AUTHORIZATION, bearing(value, "auth")?);
        if request.uri.authority().is_none() {
            let place = match &token {
                Token::Own(token) => token.instance_url.as_deref(),
                Token::Brokered(_) => None,
            };
            request.uri = at_instance(place, &request.uri)?;
        }
        Ok(Proof(Some(token)))
    }

    /// Whether what a request is proved with can be asked for anew.
    pub fn can_renew(&self) -> bool {
        self.source.is_some() || !self.vaulted.is_empty()
    }

    /// Reads again what is in Key Vault. Says whether anything has changed.
    pub async fn renew(&self) -> bool {
        self.secrets.renew(&self.vaulted).await
    }

    /// Gives up what a request was proved with after a 401. Says what can be done.
    pub fn refused(&self, proof: &Proof) -> Renewal {
        match (&self.source, &proof.0) {
            (Some(Source::Own(source)), Some(Token::Own(token))) if source.refused(token) => Renewal::Own,
            (Some(Source::Brokered(source)), Some(Token::Brokered(token))) => {
                source.refused(token, Instant::now()).map_or(Renewal::None, Renewal::Broker)
            }
            (None, _) if !self.vaulted.is_empty() => Renewal::Vault,
            _ => Renewal::None,
        }
    }

    /// Remembers that what a request was proved with was accepted.
    pub fn accepted(&self, proof: &Proof) {
        if let (Some(Source::Brokered(source)), Some(Token::Brokered(_))) = (&self.source, &proof.0) {
            source.accepted();
        }
    }

    /// What is told about the access token, where there is to be one.
    pub fn token(&self) -> Option<TokenReport> {
        self.source.as_ref().map(|source| match source {
            Source::Own(source) => source.report(),
            Source::Brokered(source) => source.report(),
        })
    }

    fn basic(&self, basic: &BasicAuth) -> Result<HeaderValue, CredentialError> {
        let username = self.secrets.value(basic.username.value.as_deref(), basic.username.value_from.as_ref())?;
        let password = match &basic.password {
            Some(password) => self.secrets.secret(password)?.expose_secret().to_owned(),
            None => String::new(),
        };
        let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
        sensitive(format!("Basic {pair}"), "auth.basic")
    }

    fn api_key(&self, api_key: &ApiKeyAuth, request: &mut Request) -> Result<(), CredentialError> {
        let value = self.secrets.secret(&api_key.value)?;
        let value = value.expose_secret();
        match api_key.place {
            ApiKeyPlace::Header => {
                let name = HeaderName::try_from(&api_key.name).map_err(|_| {
                    unusable(format!("auth.apiKey.name {:?} is not the name of a header", api_key.name))
                })?;
                request.headers.insert(name, sensitive(value.to_owned(), "auth.apiKey.value")?);
            }
            ApiKeyPlace::Query => request.uri = with_query(&request.uri, &api_key.name, value)?,
            ApiKeyPlace::Body => into_body(&api_key.name, value, request)?,
        }
        Ok(())
    }
}

/// A path at the address that came with the access token. It is checked like any other when it is connected to.
fn at_instance(instance: Option<&str>, path: &Uri) -> Result<Uri, CredentialError> {
    let Some(instance) = instance else {
        let message = "the token endpoint gives no instance_url; set provider.salesforce.instanceUrl";
        return Err(unusable(message.into()));
    };
    let refuse = || unusable("the token endpoint gives an instance_url that is no address".into());
    let url = Url::parse(instance).ok().filter(|url| url.scheme() == "https" || url.scheme() == "http");
    let url = url.and_then(|url| url.join(&path.to_string()).ok()).ok_or_else(refuse)?;
    Uri::try_from(url.as_str()).map_err(|_| refuse())
}

fn bearing(token: &SecretString, field: &str) -> Result<HeaderValue, CredentialError> {
    sensitive(format!("Bearer {}", token.expose_secret()), field)
}

fn unusable(message: String) -> CredentialError {
    CredentialError::Unusable(message)
}

/// An address with one more pair in its query. No error says what the pair holds.
fn with_query(uri: &Uri, name: &str, value: &str) -> Result<Uri, CredentialError> {
    let refuse = || unusable("auth.apiKey can't be put into the query of the provider's URL".into());
    let mut url = Url::parse(&uri.to_string()).map_err(|_| refuse())?;
    url.query_pairs_mut().append_pair(name, value);
    Uri::try_from(url.as_str()).map_err(|_| refuse())
}

fn sensitive(value: String, field: &str) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| unusable(format!("the Secret of {field} holds what no header may hold")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn into_body(name: &str, value: &str, request: &mut Request) -> Result<(), CredentialError> {
    let not_an_object = || unusable("auth.apiKey.in is Body, but the record is not a JSON object".into());
    // What else is there is copied as it stands: a body can hold megabytes.
    let mut body: BTreeMap<String, &RawValue> = serde_json::from_slice(&request.body).map_err(|_| not_an_object())?;
    let value = to_raw_value(value).map_err(|_| not_an_object())?;
    body.insert(name.to_owned(), &value);
    request.body = serde_json::to_vec(&body).map_err(|_| not_an_object())?.into();
    Ok(())
}
