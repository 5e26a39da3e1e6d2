//! Puts credentials on a request.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Uri, header};
use ropeway_crds::{
    auth::{ApiKeyAuth, ApiKeyPlace, Auth, BasicAuth},
    report::TokenReport,
};
use secrecy::ExposeSecret;
use url::Url;

use crate::{
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
    source: Option<Arc<TokenSource>>,
}

/// What a request was proved with, where that can be refused and asked for again.
#[derive(Clone, Debug, Default)]
pub struct Proof(Option<Arc<AccessToken>>);

impl Credentials {
    pub(crate) fn new(auth: Auth, secrets: Secrets, source: Option<Arc<TokenSource>>) -> Self {
        Self { auth, secrets, source }
    }

    /// Puts the credentials on a request. Where a token is needed that is not there, it is asked for.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn apply(&self, request: &mut Request) -> Result<Proof, CredentialError> {
        let Auth { bearer, basic, api_key, oauth2: _ } = &self.auth;
        if let Some(bearer) = bearer {
            let token = self.secrets.text(bearer.token.key())?;
            let value = sensitive(format!("Bearer {}", token.expose_secret()), "auth.bearer.token")?;
            request.headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(basic) = basic {
            request.headers.insert(header::AUTHORIZATION, self.basic(basic)?);
        }
        if let Some(api_key) = api_key {
            self.api_key(api_key, request)?;
        }
        let Some(source) = &self.source else { return Ok(Proof::default()) };
        let token = source.token().await?;
        let value = sensitive(format!("Bearer {}", token.value.expose_secret()), "auth.oauth2")?;
        request.headers.insert(header::AUTHORIZATION, value);
        Ok(Proof(Some(token)))
    }

    /// Whether what a request is proved with can be asked for anew.
    pub fn can_renew(&self) -> bool {
        self.source.is_some()
    }

    /// Gives up what a request was proved with after a 401. Says whether the same request may be proved anew.
    pub fn refused(&self, proof: &Proof) -> bool {
        match (&self.source, &proof.0) {
            (Some(source), Some(token)) => source.refused(token),
            _ => false,
        }
    }

    /// What is told about the access token, where there is to be one.
    pub fn token(&self) -> Option<TokenReport> {
        self.source.as_ref().map(|source| source.facts())
    }

    fn basic(&self, basic: &BasicAuth) -> Result<HeaderValue, CredentialError> {
        let username = match basic.username.key() {
            Some(key) => self.secrets.text(key)?.expose_secret().to_owned(),
            None => basic.username.value.clone().unwrap_or_default(),
        };
        let password = match &basic.password {
            Some(password) => self.secrets.text(password.key())?.expose_secret().to_owned(),
            None => String::new(),
        };
        let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
        sensitive(format!("Basic {pair}"), "auth.basic")
    }

    fn api_key(&self, api_key: &ApiKeyAuth, request: &mut Request) -> Result<(), CredentialError> {
        let value = self.secrets.text(api_key.value.key())?;
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
    let mut body: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&request.body).map_err(|_| not_an_object())?;
    body.insert(name.to_owned(), value.into());
    request.body = serde_json::to_vec(&body).map_err(|_| not_an_object())?.into();
    Ok(())
}
