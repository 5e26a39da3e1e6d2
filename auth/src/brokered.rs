//! An access token that the operator keeps in a Secret, because the refresh token behind it must be used by one alone.

use std::{
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use ropeway_crds::{
    names::{hash, token_secret},
    report::TokenReport,
    secret_ref::SecretKeyRef,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{secret::Secrets, token::TokenError};

/// The key with the access token.
pub const ACCESS_TOKEN: &str = "access_token";

/// The key with the time at which it ends, by RFC 3339; empty where the server does not tell.
pub const EXPIRES_AT: &str = "expires_at";

/// After so many tokens that were refused one after the other, another one promises nothing.
const MOST_IN_A_ROW: u32 = 3;

/// How often one is tried and asked for all the same.
const RARELY: Duration = Duration::from_secs(300);

/// The access token of one Destination, as it is mounted.
#[derive(Debug)]
pub struct Brokered {
    secret: String,
    secrets: Secrets,
    refusals: Mutex<Refusals>,
}

/// Tokens that were refused since one was accepted.
#[derive(Debug, Default)]
struct Refusals {
    /// What stands for the last one.
    last: Option<String>,
    in_a_row: u32,
    /// When another one was asked for.
    asked: Option<Instant>,
}

impl Brokered {
    /// The token of the Destination of this name.
    pub fn new(destination: &str, secrets: Secrets) -> Self {
        Self { secret: token_secret(destination), secrets, refusals: Mutex::default() }
    }

    /// The token, if it is good now.
    ///
    /// # Errors
    /// If there is none yet, if it has ended, or if it was refused and there is no other yet.
    pub fn token(&self, now: Timestamp, instant: Instant) -> Result<SecretString, TokenError> {
        let wait = |message: String| TokenError::Unavailable { message, after: None };
        let Ok(token) = self.text(ACCESS_TOKEN) else {
            return Err(wait(format!(
                "the Secret {} holds no access token yet; the operator writes it once there is consent",
                self.secret
            )));
        };
        if let Some(expires) = self.expires().filter(|expires| *expires <= now) {
            return Err(wait(format!("the access token in the Secret {} ended at {expires}", self.secret)));
        }
        let mut refusals = self.refusals();
        if refusals.last.as_ref().is_none_or(|refused| *refused != stands_for(&token)) {
            return Ok(token);
        }
        if refusals.in_a_row < MOST_IN_A_ROW {
            let message = format!("the access token in the Secret {} was refused; a new one is asked for", self.secret);
            return Err(wait(message));
        }
        if refusals.may_ask(instant) {
            refusals.last = None;
            return Ok(token);
        }
        Err(TokenError::Refused(format!(
            "the destination refuses each new access token in the Secret {}; look at its scopes and at whose consent it is",
            self.secret
        )))
    }

    /// Remembers that a token was refused. Answers what stands for it, if another one is to be asked for.
    pub fn refused(&self, token: &SecretString, now: Instant) -> Option<String> {
        let refused = stands_for(token);
        let mut refusals = self.refusals();
        if refusals.last.as_ref() != Some(&refused) {
            refusals.in_a_row = refusals.in_a_row.saturating_add(1);
            refusals.last = Some(refused.clone());
        }
        if refusals.in_a_row >= MOST_IN_A_ROW && !refusals.may_ask(now) {
            return None;
        }
        refusals.asked = Some(now);
        Some(refused)
    }

    /// Remembers that a token was accepted.
    pub fn accepted(&self) {
        *self.refusals() = Refusals::default();
    }

    /// What is told about it.
    pub fn report(&self) -> TokenReport {
        TokenReport { expires: self.expires(), ..TokenReport::default() }
    }

    fn expires(&self) -> Option<Timestamp> {
        let text = self.text(EXPIRES_AT).ok()?;
        Timestamp::from_str(text.expose_secret()).ok()
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, key: &str) -> Result<SecretString, crate::secret::SecretError> {
        self.secrets.text(&SecretKeyRef { name: self.secret.clone(), key: key.to_owned() })
    }
}

impl Refusals {
    /// Whether another token may be asked for although each was refused.
    fn may_ask(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= RARELY)
    }
}

/// Ten characters that stand for a token and tell nothing of it.
pub fn stands_for(token: &SecretString) -> String {
    hash(token.expose_secret().as_bytes(), 10)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_destination_that_refuses_each_new_token_is_told_and_asked_for_rarely() {
        let folder = tempfile::tempdir().unwrap();
        let brokered = |value: &str| {
            let key = SecretKeyRef { name: token_secret("crm"), key: ACCESS_TOKEN.to_owned() };
            Secrets::held([(key, value.as_bytes().to_vec())].into(), BTreeMap::new())
        };
        let mut crm = Brokered::new("crm", Secrets::new(folder.path()));
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut asked = Vec::new();
        for (number, seconds) in [(1, 0), (2, 15), (3, 30)] {
            crm.secrets = brokered(&format!("token-{number}"));
            let token = crm.token(Timestamp::now(), at(seconds)).unwrap();
            asked.push(crm.refused(&token, at(seconds)).is_some());
            assert!(crm.token(Timestamp::now(), at(seconds)).is_err());
        }
        assert_eq!(asked, [true, true, false]);
        let told = |seconds: u64| crm.token(Timestamp::now(), at(seconds));
        assert!(matches!(told(314), Err(TokenError::Refused(message)) if message.contains("each new access token")));
        // After a while the same one is tried, and another one asked for.
        let token = told(315).unwrap();
        assert!(crm.refused(&token, at(315)).is_some());
        assert!(matches!(crm.token(Timestamp::now(), at(316)), Err(TokenError::Refused(_))));
        crm.accepted();
        assert!(crm.token(Timestamp::now(), at(317)).is_ok());
    }
}
