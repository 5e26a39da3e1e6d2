//! What is to be done about a Destination's tokens now. Pure: what the Secret holds, what workers say and the time come in.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use ropeway_auth::brokered::{ACCESS_TOKEN, EXPIRES_AT, stands_for};
use ropeway_crds::{auth::OAuth2, names::hash};
use secrecy::{ExposeSecret, SecretString};

/// The key with the refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";

/// The key with the time at which the access token was got.
pub const REFRESHED_AT: &str = "refreshed_at";

/// The key with the time at which the consent ends; absent where the server does not tell.
pub const CONSENT_EXPIRES_AT: &str = "consent_expires_at";

/// The key with what stands for the refresh token of the user's own that all began with; absent after a login.
pub const BEGAN_WITH: &str = "began_with";

/// The key with what stands for the server and the client that the tokens are of.
pub const SERVER: &str = "server";

/// The annotation that says who refreshes and since when: `<who> <RFC 3339>`.
pub const REFRESHING: &str = "ropeway.dev/refreshing";

/// Whoever said so longer ago than this is no more: a refresh takes ten seconds at most, and its writes as long again.
const REFRESH_LASTS: SignedDuration = SignedDuration::from_secs(40);

/// An access token that was refused is not replaced twice within this time.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);

/// How long before its end an access token is renewed at most where the spec does not say: kubelets take a minute or two to
/// show a changed Secret.
const EARLY: SignedDuration = SignedDuration::from_mins(5);

/// An access token whose end is not told is renewed after this time where the spec does not say.
const UNTOLD: SignedDuration = SignedDuration::from_mins(30);

/// What the Secret holds.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The access token.
    pub access: Option<SecretString>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was got.
    pub refreshed: Option<Timestamp>,
    /// The refresh token.
    pub refresh: Option<SecretString>,
    /// When the consent ends.
    pub consent_expires: Option<Timestamp>,
    /// What stands for the refresh token that all began with.
    pub began_with: Option<String>,
    /// What stands for the server and the client that all is of.
    pub server: Option<String>,
    /// Who refreshes, and since when.
    pub refreshing: Option<(String, Timestamp)>,
}

impl Held {
    /// What a Secret holds; what can't be read counts as absent.
    pub fn of(secret: &Secret) -> Self {
        let data = secret.data.clone().unwrap_or_default();
        let text = |key: &str| {
            let ByteString(bytes) = data.get(key)?;
            let text = String::from_utf8(bytes.clone()).ok()?;
            (!text.is_empty()).then_some(text)
        };
        let time = |key: &str| Timestamp::from_str(&text(key)?).ok();
        let refreshing = secret.annotations().get(REFRESHING).and_then(|said| {
            let (who, since) = said.split_once(' ')?;
            Some((who.to_owned(), Timestamp::from_str(since).ok()?))
        });
        Self {
            access: text(ACCESS_TOKEN).map(SecretString::from),
            expires: time(EXPIRES_AT),
            refreshed: time(REFRESHED_AT),
            refresh: text(REFRESH_TOKEN).map(SecretString::from),
            consent_expires: time(CONSENT_EXPIRES_AT),
            began_with: text(BEGAN_WITH),
            server: text(SERVER),
            refreshing,
        }
    }

    /// The same as a Secret's data.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let Self { access, expires, refreshed, refresh, consent_expires, began_with, server, refreshing: _ } = self;
        let secret = |value: &Option<SecretString>| value.as_ref().map(|value| value.expose_secret().to_owned());
        let time = |value: &Option<Timestamp>| value.map(|time| time.to_string());
        let entries = [
            (ACCESS_TOKEN, secret(access)),
            // Always there, so that one mount shows both or none.
            (EXPIRES_AT, Some(time(expires).unwrap_or_default())),
            (REFRESHED_AT, time(refreshed)),
            (REFRESH_TOKEN, secret(refresh)),
            (CONSENT_EXPIRES_AT, time(consent_expires)),
            (BEGAN_WITH, began_with.clone()),
            (SERVER, server.clone()),
        ];
        let present = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        present.map(|(key, value)| (key, ByteString(value.into_bytes()))).collect()
    }
}

/// What else is known.
#[derive(Debug)]
pub struct Facts<'a> {
    /// How the Destination describes it.
    pub spec: &'a OAuth2,
    /// The refresh token of the user's own.
    pub given: Option<&'a SecretString>,
    /// What stands for the access token that workers say was refused.
    pub refused: Option<&'a str>,
    /// Who asks.
    pub me: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug)]
pub enum Step {
    /// Nothing until then.
    Wait(Duration),
    /// Nothing can be done: nobody has consented.
    NoConsent,
    /// Somebody else does it.
    Busy,
    /// The refresh token is to be exchanged. `anew` where it is the user's own.
    Refresh {
        /// The refresh token.
        token: SecretString,
        /// What stands for it, where it is the user's own.
        anew: Option<String>,
    },
}

/// What stands for a server and a client of it. What one server gave is shown to no other, whatever a spec is changed to.
pub fn server_of(spec: &OAuth2) -> String {
    let parts = (&spec.token_url, &spec.issuer, &spec.client_id);
    hash(&serde_json::to_vec(&parts).expect("a part of a spec is JSON"), 16)
}

/// What is to be done now.
pub fn decide(held: &Held, facts: &Facts<'_>) -> Step {
    let nothing = Held { refreshing: held.refreshing.clone(), ..Held::default() };
    let held = if held.server.as_ref() == Some(&server_of(facts.spec)) { held } else { &nothing };
    let Facts { spec, given, refused, me, now } = facts;
    let given_stands = given.map(stands_for);
    let is_new = given_stands.is_some() && given_stands != held.began_with;
    let token = match (given, &held.refresh) {
        (Some(given), _) if is_new => (*given).clone(),
        (_, Some(kept)) => kept.clone(),
        (Some(given), None) => (*given).clone(),
        (None, None) => return Step::NoConsent,
    };
    let due = if is_new { *now } else { due(held, spec, *refused, *now) };
    if let Ok(wait) = Duration::try_from(due.duration_since(*now))
        && !wait.is_zero()
    {
        return Step::Wait(wait);
    }
    let busy = held
        .refreshing
        .as_ref()
        .is_some_and(|(who, since)| who != me && now.duration_since(*since).abs() < REFRESH_LASTS);
    if busy {
        return Step::Busy;
    }
    Step::Refresh { token, anew: given_stands.filter(|_| is_new || held.refresh.is_none()) }
}

/// When the access token is to be renewed.
fn due(held: &Held, spec: &OAuth2, refused: Option<&str>, now: Timestamp) -> Timestamp {
    let (Some(access), Some(refreshed)) = (&held.access, held.refreshed) else { return now };
    let signed = |given: Option<ropeway_crds::duration::Duration>| {
        given.and_then(|given| SignedDuration::try_from(given.std()).ok())
    };
    if refused == Some(stands_for(access).as_str()) {
        return refreshed.checked_add(BETWEEN).unwrap_or(now);
    }
    let Some(expires) = held.expires else {
        let age = signed(spec.max_age).unwrap_or(UNTOLD);
        return refreshed.checked_add(age).unwrap_or(now);
    };
    let life = expires.duration_since(refreshed);
    // Half of a short life is left for the kubelet.
    let early = signed(spec.refresh_before).unwrap_or(EARLY).min(life / 2);
    expires.checked_sub(early).unwrap_or(now)
}

#[cfg(test)]
mod tests;
