//! Tokens that a process holds: asked for once, however many need one, kept, and renewed before they end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_crds::{
    auth::OAuth2,
    report::TokenReport,
    secret_ref::{SecretKeyRef, Value},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    cache::{Cached, Need},
    discovery::discover,
    http::{HttpDoor, SendFailure},
    keyring::Keyring,
    oauth2::{
        answer::{self, Asked},
        request::{self, Material, Moment},
    },
    secret::Secrets,
    token::{AccessToken, TokenError},
};

/// How long a token endpoint may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked whether a Secret that a token was asked for with has changed.
const LOOK: Duration = Duration::from_secs(2);

/// How long an endpoint that was found out is believed in.
const KNOWN: Duration = Duration::from_secs(3600);

/// All tokens of a process. Equal descriptions share one.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<Mutex<BTreeMap<String, Arc<TokenSource>>>>);

impl Tokens {
    /// The source of the tokens that this describes.
    pub(crate) fn source(&self, spec: &OAuth2, keyring: &Keyring) -> Arc<TokenSource> {
        let key = serde_json::to_string(spec).expect("a spec is JSON");
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sources.entry(key).or_insert_with(|| Arc::new(TokenSource::new(spec.clone(), keyring))))
    }
}

/// Where the tokens of one description come from.
#[derive(Debug)]
pub struct TokenSource {
    spec: OAuth2,
    secrets: Secrets,
    door: HttpDoor,
    state: Mutex<State>,
    /// Held by the one who asks.
    asking: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    cached: Cached,
    /// What the token was asked for with, and when that was looked at last.
    with: Option<(Material, Instant)>,
    endpoint: Option<(String, Instant)>,
    granted: Option<Timestamp>,
    requests: u64,
}

impl TokenSource {
    fn new(spec: OAuth2, keyring: &Keyring) -> Self {
        let door = keyring.door(spec.tls.clone());
        Self { spec, secrets: keyring.secrets.clone(), door, state: Mutex::default(), asking: AsyncMutex::default() }
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn token(&self) -> Result<Arc<AccessToken>, TokenError> {
        self.look_at_secrets();
        let _alone = match self.need() {
            Need::None(token) => return Ok(token),
            Need::Not(error) => return Err(error),
            Need::Soon(token) => match self.asking.try_lock() {
                Ok(alone) => alone,
                Err(_) => return Ok(token),
            },
            Need::Now => self.asking.lock().await,
        };
        // Somebody may have asked in the meantime.
        let other = match self.need() {
            Need::None(token) => return Ok(token),
            Need::Not(error) => return Err(error),
            Need::Soon(token) => Some(token),
            Need::Now => None,
        };
        let got = self.ask().await;
        let mut state = self.state();
        match (got, other) {
            (Ok(token), _) => {
                state.granted = Some(Timestamp::now());
                Ok(state.cached.granted(token))
            }
            (Err(error), other) => {
                tracing::warn!(server = %answer::host(&self.spec), %error, "no access token was got");
                state.cached.failed(error.clone(), Instant::now(), rand::random());
                other.ok_or(error)
            }
        }
    }

    /// Gives up a token that was refused. Says whether asking for another one promises anything.
    pub fn refused(&self, token: &Arc<AccessToken>) -> bool {
        self.state().cached.refused(token, Instant::now())
    }

    /// What is told about it.
    pub fn facts(&self) -> TokenReport {
        let state = self.state();
        TokenReport {
            expires: state.cached.held().and_then(|token| token.expires),
            granted: state.granted,
            failures: state.cached.failures,
            requests: state.requests,
        }
    }

    /// Forgets everything that was got, and that was refused, with Secrets that have changed since.
    fn look_at_secrets(&self) {
        let now = Instant::now();
        let mut state = self.state();
        if state.with.as_ref().is_none_or(|(_, looked)| now.duration_since(*looked) < LOOK) {
            return;
        }
        // One that has gone is no news: a Secret that is replaced is missing for a moment.
        let Ok(material) = self.material() else { return };
        let same = state.with.as_ref().is_some_and(|(with, _)| with.is_same(&material));
        if !same {
            state.cached = Cached::default();
        }
        state.with = Some((material, now));
    }

    fn need(&self) -> Need {
        self.state().cached.need(Instant::now())
    }

    async fn ask(&self) -> Result<AccessToken, TokenError> {
        let material = self.material()?;
        let endpoint = self.endpoint().await?;
        let asked = Asked { instant: Instant::now(), time: Timestamp::now() };
        let fresh = [(); 2].map(|()| format!("{:032x}", rand::random::<u128>()));
        let request = request::request(&self.spec, &endpoint, &material, &Moment { now: asked.time, fresh })?;
        {
            let mut state = self.state();
            state.with = Some((material.clone(), asked.instant));
            state.requests += 1;
        }
        let response = self.door.send(request, DEADLINE).await.map_err(|failure| match failure {
            SendFailure::Address(refused) => TokenError::Address(refused),
            SendFailure::Configuration(why) => TokenError::Unusable(format!("oauth2.{why}")),
            SendFailure::Transport(why) => TokenError::Unavailable {
                message: format!("the token endpoint {} can't be asked: {why}", answer::host(&self.spec)),
                after: None,
            },
        })?;
        answer::answer(&self.spec, &response, asked, &request::secrets(&material)).map(|grant| grant.access)
    }

    async fn endpoint(&self) -> Result<String, TokenError> {
        let issuer = match (&self.spec.token_url, &self.spec.issuer) {
            (Some(url), _) => return Ok(url.clone()),
            (None, Some(issuer)) => issuer,
            (None, None) => return Err(TokenError::Unusable("oauth2 has neither tokenUrl nor issuer".into())),
        };
        let now = Instant::now();
        let known = self.state().endpoint.clone();
        if let Some((endpoint, _)) = known.as_ref().filter(|(_, found)| now.duration_since(*found) < KNOWN) {
            return Ok(endpoint.clone());
        }
        let found = discover(&self.door, issuer, DEADLINE).await.map_err(|error| error.to_string());
        let endpoint = found.and_then(|found| found.token_endpoint.ok_or_else(|| "it names no token endpoint".into()));
        match (endpoint, known) {
            (Ok(endpoint), _) => {
                self.state().endpoint = Some((endpoint.clone(), now));
                Ok(endpoint)
            }
            // Where it was is more likely to be right than nothing.
            (Err(_), Some((endpoint, _))) => Ok(endpoint),
            (Err(why), None) => Err(TokenError::Unavailable {
                message: format!("the issuer {} does not tell its endpoints: {why}", answer::host(&self.spec)),
                after: None,
            }),
        }
    }

    fn material(&self) -> Result<Material, TokenError> {
        let OAuth2 { client_id, client_secret, client_assertion, assertion, .. } = &self.spec;
        let text = |key: &SecretKeyRef| self.secrets.text(key).map_err(TokenError::Secret);
        let value = |value: &Value| match value.key() {
            Some(key) => text(key).map(|secret| secret.expose_secret().to_owned()),
            None => Ok(value.value.clone().unwrap_or_default()),
        };
        Ok(Material {
            client_id: value(client_id)?,
            client_secret: client_secret.as_ref().map(|secret| text(secret.key())).transpose()?,
            client_key: client_assertion.as_ref().map(|assertion| text(assertion.key.key())).transpose()?,
            grant_key: assertion.as_ref().map(|assertion| text(assertion.key.key())).transpose()?,
            subject: assertion.as_ref().map(|assertion| value(&assertion.subject)).transpose()?,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Material {
    fn is_same(&self, other: &Self) -> bool {
        let secret = |one: &Option<SecretString>, other: &Option<SecretString>| match (one, other) {
            (Some(one), Some(other)) => one.expose_secret() == other.expose_secret(),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.client_id == other.client_id
            && self.subject == other.subject
            && secret(&self.client_secret, &other.client_secret)
            && secret(&self.client_key, &other.client_key)
            && secret(&self.grant_key, &other.grant_key)
    }
}
