//! One address that is sent to: size and time limits come first, then the proof over the raw bytes. What the request is
//! good for is for its owner to say.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use jiff::Timestamp;
use ropeway_auth::{secret::SecretError, vault::VaultTrouble};
use ropeway_crds::{condition::bounded, integration::State, report::Problem};
use tokio::sync::watch;

use super::{
    listen::Peer,
    refusal::Refusal,
    tell,
    verify::{SignedRequest, Verified, Verifier, VerifyError},
};
use crate::fault;

/// How long a sender may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How much of a body that is too large is read all the same, in bytes, so that its sender sees why it is refused.
const MOST_THROWN_AWAY: usize = 8 << 20;

/// How long that may take.
const THROW_AWAY_DEADLINE: Duration = Duration::from_secs(2);

/// One address.
#[derive(Debug)]
pub struct Address {
    /// Whose it is.
    pub integration: String,
    /// How senders prove who they are.
    pub verifier: Verifier,
    /// The largest body that is read, in bytes.
    pub max_body: usize,
    /// The address that senders call, where it is known.
    pub public_url: Option<String>,
    /// Whether requests must have come by TLS that was ended here.
    pub transport: Transport,
    /// The wished state.
    pub state: watch::Receiver<Option<State>>,
    /// What keeps it from receiving.
    pub problem: watch::Sender<Option<Problem>>,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By HTTP; who ended TLS before is nothing that we see.
    Any,
    /// By TLS that is ended here.
    Tls,
}

/// A request that was let in.
#[derive(Debug)]
pub struct Letter {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What its proof says.
    pub verified: Verified,
}

impl Address {
    /// Lets a request in.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn open(&self, request: Request) -> Result<Letter, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        if !matches!(*self.state.borrow(), Some(State::Running | State::Paused)) {
            return Err(Refusal::NotNow);
        }
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().cloned().ok_or(Refusal::Unverified)?;
        if self.transport == Transport::Tls && !peer.secure {
            return Err(Refusal::Unverified);
        }
        let body = read(&parts.headers, body, self.max_body).await?;
        let verified = self.verify(&parts, &body, &peer).await?;
        Ok(Letter { headers: parts.headers, body, verified })
    }

    async fn verify(&self, parts: &Parts, body: &Bytes, peer: &Peer) -> Result<Verified, Refusal> {
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let url = self.public_url.as_ref().map(|url| match parts.uri.query() {
            Some(query) => format!("{url}?{query}"),
            None => url.clone(),
        });
        let (method, headers) = (&parts.method, &parts.headers);
        let signed = SignedRequest { method, path, url: url.as_deref(), headers, body, peer };
        self.verifier.verify(signed, Timestamp::now()).await.map_err(|error| {
            tracing::info!(integration = %self.integration, %error, "a request was refused");
            let reason = match error {
                VerifyError::Refused(_) => return Refusal::Unverified,
                // Whoever makes keys up can't make the status say that something is wrong.
                VerifyError::NotYet => return Refusal::NotNow,
                VerifyError::Unable(SecretError::Vault(ref error)) => match error.trouble {
                    VaultTrouble::Passes(_) => "KeyVaultUnavailable",
                    VaultTrouble::Refused | VaultTrouble::Address => "KeyVaultRefused",
                },
                VerifyError::Unable(_) => "SecretNotFound",
                VerifyError::NoKeys(_) => "IssuerUnavailable",
            };
            self.report(Some(Problem { reason: reason.into(), message: bounded(&error.to_string()) }));
            Refusal::NotNow
        })
    }

    /// Says what keeps the address from receiving, or that nothing does.
    pub fn report(&self, problem: Option<Problem>) {
        tell(&self.problem, problem);
    }
}

/// Reads a body up to a limit. One that announces more is not read at all.
///
/// # Errors
/// See [`Refusal`].
pub async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        throw_away(body).await;
        return Err(Refusal::TooLarge);
    }
    let mut body = body;
    let reading = async {
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
            if read.len() + data.len() > most {
                return Err(Refusal::TooLarge);
            }
            read.extend_from_slice(&data);
        }
        Ok(read.freeze())
    };
    let read = tokio::time::timeout(fault::deadline(BODY_DEADLINE), reading).await.unwrap_or(Err(Refusal::TooSlow));
    if read.as_ref().is_err_and(|refusal| *refusal == Refusal::TooLarge) {
        throw_away(body).await;
    }
    read
}

/// Reads on and keeps nothing: a connection that is closed with unread data on it takes our answer along.
async fn throw_away(mut body: Body) {
    let reading = async {
        let mut left = MOST_THROWN_AWAY;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(THROW_AWAY_DEADLINE, reading).await;
}
