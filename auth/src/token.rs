//! What a token endpoint gives, or why it gives nothing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::{address::AddressRefused, secret::SecretError};

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token, fit for a header.
    pub value: SecretString,
    /// When it was asked for.
    pub asked: Instant,
    /// When it is to be renewed.
    pub renew: Instant,
    /// When it is of no use any more.
    pub ends: Instant,
    /// The same as a time of day, where the server told it.
    pub expires: Option<Timestamp>,
    /// The address at which the token is good, where the server names one (Salesforce's `instance_url`).
    pub instance_url: Option<String>,
}

/// Why there is no token. No text holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A Secret that the request needs can't be used.
    #[error(transparent)]
    Secret(SecretError),
    /// The request can't be made of what is configured.
    #[error("{0}")]
    Unusable(String),
    /// The server says no. It will say so again until something is changed.
    #[error("{0}")]
    Refused(String),
    /// The server says no to what the client shows beside its credentials: a refresh token, a code or a statement.
    #[error("{0}")]
    GrantRefused(String),
    /// The server can't be reached, or can't answer just now.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// When it asked to be tried again, from now.
        after: Option<Duration>,
    },
    /// The server is at an address where requests may not go.
    #[error(transparent)]
    Address(AddressRefused),
}
