//! Stage broker: a Destination whose access token comes from a refresh token comes in, and the Secret with both goes out.
//! The operator alone exchanges refresh tokens, since one may be good for one use: who does it says so first, by
//! compare-and-set, and what came is stored before anybody uses it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use ropeway_auth::{
    address::AddressPolicy,
    brokered::stands_for,
    keyring::Keyring,
    oauth2::{answer::Grant, client::Client, request::Exchange},
    secret::Secrets,
    token::TokenError,
};
use ropeway_crds::{Destination, auth::OAuth2, names::token_secret};
use secrecy::{ExposeSecret, SecretString};

pub use self::store::secret_of;
use self::{
    decide::{Facts, Held, Step, decide, server_of},
    read::{secrets, wish},
    store::{begin, show, store},
};
use crate::{context::Context, error::Error, fault, integration::apply::ApplyError, io::kubernetes::Class};

pub mod decide;
mod read;
mod store;

/// The pause after a server said no. A change of what it was asked with ends it.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// The longest pause after a server could not be asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How an attempt to refresh ended that gave nothing.
#[derive(Clone, Debug)]
pub struct Attempt {
    error: TokenError,
    until: Instant,
    failures: u32,
    /// What stands for what it was asked with.
    with: String,
}

/// What is told about a Destination's tokens.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When the access token ends.
    pub expires: Option<Timestamp>,
    /// When it was got.
    pub refreshed: Option<Timestamp>,
    /// When the consent ends.
    pub consent_expires: Option<Timestamp>,
    /// How often refreshing has failed since.
    pub failures: u32,
    /// Why the last attempt gave nothing, and whether it will be so until something is changed.
    pub trouble: Option<(String, Outlook)>,
}

/// Whether trouble passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// By itself.
    Passes,
    /// When a person consents.
    Consent,
    /// When somebody changes what the client proves itself with.
    Credentials,
    /// When the address is another one, or the administrator allows it.
    Address,
    /// When the operator gets the right.
    Rights,
}

/// Tokens of which nothing is to be done for a while.
#[derive(Clone, Debug)]
pub struct Quiet {
    view: View,
    until: Instant,
    /// What stands for the access token.
    access: Option<String>,
}

impl Quiet {
    /// What is told of them, if that is still so when workers say that this token was refused.
    pub fn view(&self, refused: Option<&str>) -> Option<View> {
        let asked = refused.is_some() && refused == self.access.as_deref();
        (Instant::now() < self.until && !asked).then(|| self.view.clone())
    }
}

/// How long nobody looks at what a Secret holds, at most, where nothing says that it has changed.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps the tokens of a Destination, if they are the operator's business.
///
/// # Errors
/// If the API server can't be asked.
pub async fn keep(destination: &Destination, context: &Context) -> Result<Option<View>, Error> {
    let oauth2 = destination.spec.auth.as_ref().filter(|auth| auth.is_brokered()).and_then(|auth| auth.oauth2.as_ref());
    let Some(spec) = oauth2 else { return Ok(None) };
    let (namespace, name) = (destination.namespace().unwrap_or_default(), destination.name_any());
    let key = (namespace.clone(), name.clone());
    let wish = wish(destination, &namespace, context).await;
    let refused = wish.as_ref().map(|wish| wish.refused.as_str());
    if let Some(view) = context.destinations.quiet(&key).and_then(|quiet| quiet.view(refused)) {
        return Ok(Some(view));
    }
    let secret = context.kubernetes.get::<Secret>(&namespace, &token_secret(&name)).await?;
    let held = secret.as_ref().map(Held::of).unwrap_or_default();
    let secrets = secrets(destination, &namespace, context).await?;
    let given = spec.refresh_token.as_ref().and_then(|token| secrets.secret(token).ok());
    let facts = Facts { spec, given: given.as_ref(), refused, me: context.identity(), now: Timestamp::now() };
    let mut view = View::of(&held);
    match decide(&held, &facts) {
        Step::Wait(wait) => {
            let access = held.access.as_ref().map(stands_for);
            let quiet = Quiet { view: view.clone(), until: Instant::now() + wait.min(LOOK), access };
            context.destinations.refreshed(key, quiet);
        }
        Step::Busy => {}
        Step::NoConsent => view.trouble = Some((no_consent(&name, spec), Outlook::Consent)),
        Step::Refresh { token, anew } => {
            // One at a time: a server that does not answer holds up its own namespace alone.
            let lock = context.lock(&format!("the tokens of {namespace}"));
            if let Ok(_alone) = lock.try_lock() {
                let with = format!("{} {} {}", stands_for(&token), secrets.fingerprint(), server_of(spec));
                let asking = Asking { destination, spec, secrets, token, anew, with };
                return refresh(asking, secret, &held, view, context).await.map(Some);
            }
        }
    }
    Ok(Some(view))
}

/// A refresh that is due.
struct Asking<'a> {
    destination: &'a Destination,
    spec: &'a OAuth2,
    secrets: Secrets,
    token: SecretString,
    anew: Option<String>,
    /// What stands for all that the server is shown.
    with: String,
}

/// Exchanges a refresh token, unless that was tried in vain a moment ago.
async fn refresh(
    asking: Asking<'_>,
    secret: Option<Secret>,
    held: &Held,
    mut view: View,
    context: &Context,
) -> Result<View, Error> {
    let Asking { destination, spec, secrets, token, anew, with } = asking;
    let (namespace, name) = (destination.namespace().unwrap_or_default(), destination.name_any());
    let key = (namespace.clone(), name.clone());
    let known = context.destinations.attempt(&key);
    if let Some(attempt) = known.as_ref().filter(|attempt| attempt.with == with && Instant::now() < attempt.until) {
        tell(&mut view, attempt);
        return Ok(view);
    }
    fault::planted("token", || token.expose_secret().to_owned());
    let begun = match begin(destination, secret, held, &namespace, context).await {
        Ok(begun) => begun,
        Err(Error::Apply(ApplyError::Kubernetes(error))) if error.class() == Class::Forbidden => {
            let secret = token_secret(&name);
            let told =
                format!("the operator may not write the Secret {secret}; let it by the chart's tokenBroker.enabled");
            view.trouble = Some((told, Outlook::Rights));
            return Ok(view);
        }
        Err(error) => return Err(error),
    };
    let keyring = Keyring::new(secrets, Arc::new(addresses(context)));
    let client = Client::new(spec.clone(), &keyring);
    let asked = async { client.ask(Exchange::Refresh(&token), &client.material()?).await };
    match fault::write("token", asked).await {
        Ok(grant) => {
            let next = Held { server: Some(server_of(spec)), ..after(held, grant, token, anew) };
            store(begun, &next, &namespace, context).await?;
            let view = View::of(&next);
            let access = next.access.as_ref().map(stands_for);
            let quiet = Quiet { view: view.clone(), until: Instant::now(), access };
            context.destinations.refreshed(key, quiet);
            context.metrics.token_granted();
            show(&name, &namespace, context).await;
            Ok(view)
        }
        Err(error) => {
            tracing::warn!(namespace, name, %error, "an access token could not be refreshed");
            context.metrics.token_failed();
            let failures = known.map_or(0, |attempt| attempt.failures).saturating_add(1);
            let attempt = Attempt { until: Instant::now() + pause(&error, failures), error, failures, with };
            tell(&mut view, &attempt);
            context.destinations.attempted(key, attempt);
            Ok(view)
        }
    }
}

impl View {
    fn of(held: &Held) -> Self {
        Self {
            expires: held.expires,
            refreshed: held.refreshed,
            consent_expires: held.consent_expires,
            ..Self::default()
        }
    }
}

fn no_consent(name: &str, spec: &OAuth2) -> String {
    match spec.refresh_token {
        Some(_) => "the Secret of spec.auth.oauth2.refreshToken holds no refresh token".to_owned(),
        None => format!("nobody has consented yet; run: ropeway login {name}"),
    }
}

fn tell(view: &mut View, attempt: &Attempt) {
    let outlook = match attempt.error {
        TokenError::Unavailable { .. } => Outlook::Passes,
        TokenError::GrantRefused(_) => Outlook::Consent,
        TokenError::Secret(_) | TokenError::Unusable(_) | TokenError::Refused(_) => Outlook::Credentials,
        TokenError::Address(_) => Outlook::Address,
    };
    view.failures = attempt.failures;
    view.trouble = Some((attempt.error.to_string(), outlook));
}

fn pause(error: &TokenError, failures: u32) -> Duration {
    match error {
        TokenError::Unavailable { after, .. } => {
            let doubled = Duration::from_secs(2).saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
            after.map_or(doubled, |after| after.min(REFUSED_PAUSE))
        }
        TokenError::Secret(_) => Duration::from_secs(5),
        TokenError::Refused(_) | TokenError::GrantRefused(_) | TokenError::Unusable(_) | TokenError::Address(_) => {
            REFUSED_PAUSE
        }
    }
}

/// What is held from now on.
fn after(held: &Held, grant: Grant, used: SecretString, anew: Option<String>) -> Held {
    let Grant { access, refresh, consent_expires } = grant;
    let rotated = refresh.is_some();
    Held {
        expires: access.expires,
        access: Some(access.value),
        refreshed: Some(Timestamp::now()),
        // Most servers give none where the old one stays good.
        refresh: Some(refresh.unwrap_or(used)),
        consent_expires: if rotated { consent_expires } else { consent_expires.or(held.consent_expires) },
        began_with: anew.or_else(|| held.began_with.clone()),
        server: held.server.clone(),
        refreshing: None,
    }
}

fn addresses(context: &Context) -> AddressPolicy {
    // The ranges were parsed on the command line.
    AddressPolicy::new(&context.settings.allowed_private_ranges).unwrap_or_default()
}

/// Whether a consent ends so soon that somebody should know.
pub fn ends_soon(view: &View, now: Timestamp) -> bool {
    let week = SignedDuration::from_hours(7 * 24);
    view.consent_expires.is_some_and(|ends| ends.duration_since(now) < week)
}
