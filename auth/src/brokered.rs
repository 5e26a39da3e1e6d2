//! An access token that the operator keeps in a Secret, because the refresh token behind it must be used by one alone.

use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
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

/// The access token of one Destination, as it is mounted.
#[derive(Debug)]
pub struct Brokered {
    secret: String,
    secrets: Secrets,
    /// What stands for the token that was refused last.
    refused: Mutex<Option<String>>,
}

impl Brokered {
    /// The token of the Destination of this name.
    pub fn new(destination: &str, secrets: Secrets) -> Self {
        Self { secret: token_secret(destination), secrets, refused: Mutex::default() }
    }

    /// The token, if it is good now.
    ///
    /// # Errors
    /// If there is none yet, if it has ended, or if it was refused and there is no other yet.
    pub fn token(&self, now: Timestamp) -> Result<SecretString, TokenError> {
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
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.as_ref().is_some_and(|refused| *refused == stands_for(&token)) {
            return Err(wait(format!(
                "the access token in the Secret {} was refused; a new one is asked for",
                self.secret
            )));
        }
        Ok(token)
    }

    /// Remembers that a token was refused; what stands for it.
    pub fn refused(&self, token: &SecretString) -> String {
        let refused = stands_for(token);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
        refused
    }

    /// What is told about it.
    pub fn report(&self) -> TokenReport {
        TokenReport { expires: self.expires(), ..TokenReport::default() }
    }

    fn expires(&self) -> Option<Timestamp> {
        let text = self.text(EXPIRES_AT).ok()?;
        Timestamp::from_str(text.expose_secret()).ok()
    }

    fn text(&self, key: &str) -> Result<SecretString, crate::secret::SecretError> {
        self.secrets.text(&SecretKeyRef { name: self.secret.clone(), key: key.to_owned() })
    }
}

/// Ten characters that stand for a token and tell nothing of it.
pub fn stands_for(token: &SecretString) -> String {
    hash(token.expose_secret().as_bytes(), 10)
}
