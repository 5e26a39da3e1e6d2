//! Tokens that a process gets for itself: asked for once, however many need one, kept, and renewed before they end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_crds::{auth::OAuth2, azure::AzureIdentity, report::TokenReport};
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    cache::{Cached, Need},
    keyring::Keyring,
    oauth2::{
        answer,
        client::Client,
        request::{Exchange, Material},
    },
    token::{AccessToken, TokenError},
};

/// How often it is looked whether a Secret that a token was asked for with has changed.
const LOOK: Duration = Duration::from_secs(2);

/// All tokens of a process. Equal descriptions share one.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<Mutex<BTreeMap<String, Arc<TokenSource>>>>);

impl Tokens {
    /// The source of the tokens that this describes.
    pub(crate) fn source(&self, spec: &OAuth2, keyring: &Keyring) -> Arc<TokenSource> {
        // What stands in the vault is somebody else's for another identity.
        let key = serde_json::to_string(&(spec, keyring.secrets.vault_identity())).expect("a spec is JSON");
        self.kept(key, || Client::new(spec.clone(), keyring))
    }

    /// The source of the tokens of this identity.
    pub(crate) fn identity(&self, identity: &AzureIdentity, keyring: &Keyring) -> Arc<TokenSource> {
        let key = serde_json::to_string(identity).expect("an identity is JSON");
        self.kept(key, || Client::of_identity(identity, keyring))
    }

    fn kept(&self, key: String, make: impl FnOnce() -> Client) -> Arc<TokenSource> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sources.entry(key).or_insert_with(|| Arc::new(TokenSource::new(make()))))
    }
}

/// Where the tokens of one description come from.
#[derive(Debug)]
pub struct TokenSource {
    client: Client,
    state: Mutex<State>,
    /// Held by the one who asks.
    asking: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    cached: Cached,
    /// What the token was asked for with, and when that was looked at last.
    with: Option<(Material, Instant)>,
    granted: Option<Timestamp>,
    requests: u64,
}

impl TokenSource {
    fn new(client: Client) -> Self {
        Self { client, state: Mutex::default(), asking: AsyncMutex::default() }
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
        let got = match self.ask().await {
            // The vault may hold another secret by now.
            Err(TokenError::Refused(_) | TokenError::GrantRefused(_)) if self.client.renew().await => self.ask().await,
            got => got,
        };
        let mut state = self.state();
        match got {
            Ok(token) => {
                state.granted = Some(Timestamp::now());
                Ok(state.cached.granted(token))
            }
            Err(error) => {
                tracing::warn!(server = %answer::host(self.client.spec()), %error, "no access token was got");
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
    pub fn report(&self) -> TokenReport {
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
        let Ok(material) = self.client.material() else { return };
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
        self.client.ready().await;
        let material = self.client.material()?;
        {
            let mut state = self.state();
            state.with = Some((material.clone(), Instant::now()));
            state.requests += 1;
        }
        self.client.ask(Exchange::Own, &material).await.map(|grant| grant.access)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
