//! Stage broker: a Destination whose access token comes from a refresh token comes in, and the Secret with both goes out.
//! The operator alone exchanges refresh tokens, since one may be good for one use: who does it says so first, by
//! compare-and-set, and what came is stored before anybody uses it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Resource, ResourceExt};
use ropeway_auth::{
    address::AddressPolicy,
    brokered::stands_for,
    keyring::Keyring,
    oauth2::{answer::Grant, client::Client, request::Exchange},
    secret::Secrets,
    token::TokenError,
};
use ropeway_crds::{
    Destination,
    account::TokenWish,
    auth::OAuth2,
    names::{NamespaceNames, ShortUid, token_key, token_secret},
    reference::destination_settings,
    secret_ref::SecretKeyRef,
};
use secrecy::SecretString;

use self::decide::{Facts, Held, REFRESHING, Step, decide};
use crate::{context::Context, error::Error, fault, integration::apply::ApplyError, io::kubernetes::Class};

pub mod decide;

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
    /// When a person consents, or changes a Secret.
    Stays,
}

/// Keeps the tokens of a Destination, if they are the operator's business.
///
/// # Errors
/// If the API server can't be asked.
pub async fn keep(destination: &Destination, context: &Context) -> Result<Option<View>, Error> {
    let oauth2 = destination.spec.auth.as_ref().filter(|auth| auth.is_brokered()).and_then(|auth| auth.oauth2.as_ref());
    let Some(spec) = oauth2 else { return Ok(None) };
    let (namespace, name) = (destination.namespace().unwrap_or_default(), destination.name_any());
    let secret = context.kubernetes.get::<Secret>(&namespace, &token_secret(&name)).await?;
    let held = secret.as_ref().map(Held::of).unwrap_or_default();
    let wish = wish(destination, &namespace, context).await;
    let secrets = secrets(destination, &namespace, context).await?;
    let given = spec.refresh_token.as_ref().and_then(|token| secrets.text(token.key()).ok());
    let me = context.identity();
    let facts = Facts {
        spec,
        given: given.as_ref(),
        refused: wish.as_ref().map(|wish| wish.refused.as_str()),
        me,
        now: Timestamp::now(),
    };
    let key = (namespace.clone(), name.clone());
    let mut view = View {
        expires: held.expires,
        refreshed: held.refreshed,
        consent_expires: held.consent_expires,
        ..View::default()
    };
    let (token, anew) = match decide(&held, &facts) {
        Step::Wait(_) => {
            context.destinations.refreshed(&key);
            return Ok(Some(view));
        }
        Step::Busy => return Ok(Some(view)),
        Step::NoConsent => {
            view.trouble = Some((no_consent(&name, spec), Outlook::Stays));
            return Ok(Some(view));
        }
        Step::Refresh { token, anew } => (token, anew),
    };
    let with = format!("{} {}", stands_for(&token), secrets.fingerprint());
    let known = context.destinations.attempt(&key);
    if let Some(attempt) = known.as_ref().filter(|attempt| attempt.with == with && Instant::now() < attempt.until) {
        tell(&mut view, attempt);
        return Ok(Some(view));
    }
    let begun = match begin(destination, secret, &held, &namespace, context).await {
        Ok(begun) => begun,
        Err(Error::Apply(ApplyError::Kubernetes(error))) if error.class() == Class::Forbidden => {
            let message = format!(
                "the operator may not write the Secret {}; let it by the chart's tokenBroker.enabled",
                token_secret(&name)
            );
            view.trouble = Some((message, Outlook::Stays));
            return Ok(Some(view));
        }
        Err(error) => return Err(error),
    };
    let keyring = Keyring::new(secrets, Arc::new(addresses(context)));
    let client = Client::new(spec.clone(), &keyring);
    let asked = async { client.ask(Exchange::Refresh(&token), &client.material()?).await };
    match fault::write("token", asked).await {
        Ok(grant) => {
            let next = after(&held, grant, token, anew);
            store(begun, &next, &namespace, context).await?;
            context.destinations.refreshed(&key);
            context.metrics.token_granted();
            show(&name, &namespace, context).await;
            Ok(Some(View {
                expires: next.expires,
                refreshed: next.refreshed,
                consent_expires: next.consent_expires,
                ..View::default()
            }))
        }
        Err(error) => {
            tracing::warn!(namespace, name, %error, "an access token could not be refreshed");
            context.metrics.token_failed();
            let failures = known.map_or(0, |attempt| attempt.failures).saturating_add(1);
            let attempt = Attempt { until: Instant::now() + pause(&error, failures), error, failures, with };
            tell(&mut view, &attempt);
            context.destinations.attempted(key, attempt);
            Ok(Some(view))
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
        _ => Outlook::Stays,
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
        TokenError::Refused(_) | TokenError::Unusable(_) | TokenError::Address(_) => REFUSED_PAUSE,
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
        refreshing: None,
    }
}

/// Says that a refresh is under way. Whoever is late gets a conflict, and looks again.
async fn begin(
    destination: &Destination,
    secret: Option<Secret>,
    held: &Held,
    namespace: &str,
    context: &Context,
) -> Result<Secret, Error> {
    let mut secret = secret_of(destination, secret, held);
    let said = format!("{} {}", context.identity(), Timestamp::now());
    secret.metadata.annotations.get_or_insert_default().insert(REFRESHING.into(), said);
    Ok(context.kubernetes.write_secret(namespace, &secret).await?)
}

/// The Secret with a Destination's tokens: the one that is there, or a new one. It goes with the Destination.
pub fn secret_of(destination: &Destination, found: Option<Secret>, held: &Held) -> Secret {
    let mut secret = found.unwrap_or_default();
    secret.metadata.name = Some(token_secret(&destination.name_any()));
    secret.metadata.namespace = destination.namespace();
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert("app.kubernetes.io/managed-by".into(), "ropeway-operator".into());
    labels.insert(crate::integration::observe::USE_LABEL.into(), "allowed".into());
    if let Some(owner) = destination.owner_ref(&()) {
        secret.metadata.owner_references = Some(vec![owner]);
    }
    if let Some(annotations) = &mut secret.metadata.annotations {
        annotations.remove(REFRESHING);
    }
    secret.data = Some(held.data());
    secret
}

/// Stores what came. It is the only copy, so it is tried until it stands there; somebody who wrote in between does not keep
/// it from that unless they have tokens of a later refresh.
async fn store(begun: Secret, next: &Held, namespace: &str, context: &Context) -> Result<(), Error> {
    const TRIES: u32 = 10;
    let name = begun.name_any();
    let mut secret = begun;
    let mut tries = 0;
    loop {
        secret.data = Some(next.data());
        secret.metadata.annotations.get_or_insert_default().remove(REFRESHING);
        let error = match context.kubernetes.write_secret(namespace, &secret).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        if tries == TRIES {
            return Err(error.into());
        }
        tracing::warn!(namespace, name, %error, "refreshed tokens are not stored yet");
        if error.class() != Class::Conflict {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let Ok(found) = context.kubernetes.get::<Secret>(namespace, &name).await else { continue };
        secret = match found {
            Some(found) if Held::of(&found).refreshed > next.refreshed => return Ok(()),
            Some(found) => found,
            None => {
                secret.metadata.resource_version = None;
                secret.metadata.uid = None;
                secret
            }
        };
    }
}

/// Lets kubelets look at once: they do when a pod changes.
async fn show(name: &str, namespace: &str, context: &Context) {
    let secret = token_secret(name);
    let mounts = |pod: &Pod| {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut named = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.as_ref());
        named.any(|named| *named == secret)
    };
    let pods = context.kubernetes.list::<Pod>(namespace, "app.kubernetes.io/name=ropeway-worker").await;
    for pod in pods.into_iter().flatten().filter(mounts) {
        let said = (("ropeway.dev/token-refreshed").to_owned(), Timestamp::now().to_string());
        if let Err(error) = context.kubernetes.annotate(&pod, said).await {
            tracing::debug!(%error, "a kubelet will show the new token a little later");
        }
    }
}

/// What workers wish. That it can't be read is no reason to leave tokens alone.
async fn wish(destination: &Destination, namespace: &str, context: &Context) -> Option<TokenWish> {
    let found = context.kubernetes.namespace(namespace).await.ok()??;
    let names = NamespaceNames::new(ShortUid::of(&found.uid().unwrap_or_default()));
    let jetstream = context.connections.known(&context.kubernetes, namespace).await.ok()?;
    let key = token_key(&ShortUid::of(&destination.uid().unwrap_or_default()));
    let entry = jetstream.entry(&names.state_bucket(), &key).await.ok()??;
    serde_json::from_slice(&entry.value).ok()
}

/// The values of the Secrets and ConfigMaps that the credentials name.
async fn secrets(destination: &Destination, namespace: &str, context: &Context) -> Result<Secrets, Error> {
    let mut held = BTreeMap::new();
    for key in destination.spec.auth.iter().flat_map(ropeway_crds::auth::Auth::secret_keys) {
        let found = context.kubernetes.get::<Secret>(namespace, &key.name).await?;
        if let Some(value) = found.and_then(|secret| secret.data?.remove(&key.key)) {
            held.insert(key, value.0);
        }
    }
    let mut config_maps = BTreeMap::new();
    for (_, key) in destination_settings(&destination.spec) {
        let found = context.kubernetes.get::<ConfigMap>(namespace, &key.name).await?;
        if let Some(value) = found.and_then(|map| map.data?.remove(&key.key)) {
            config_maps.insert(SecretKeyRef { name: key.name, key: key.key }, value.into_bytes());
        }
    }
    Ok(Secrets::held(held, config_maps))
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
