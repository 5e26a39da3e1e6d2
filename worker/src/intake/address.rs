//! One address that is sent to: size and time limits come first, then the proof over the raw bytes. What the request is
//! good for is for its owner to say.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use ropeway_crds::{condition::bounded, integration::State, report::Problem};
use tokio::sync::watch;

use super::{
    listen::Peer,
    refusal::Refusal,
    verify::{SignedRequest, Verified, Verifier, VerifyError},
};

/// How long a sender may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

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
                VerifyError::Unable(_) => "SecretMissing",
                VerifyError::NoKeys(_) => "IssuerUnavailable",
            };
            self.report(Some(Problem { reason: reason.into(), message: bounded(&error.to_string()) }));
            Refusal::NotNow
        })
    }

    /// Says what keeps the address from receiving, or that nothing does.
    pub fn report(&self, problem: Option<Problem>) {
        self.problem.send_if_modified(|known| {
            let changed = *known != problem;
            *known = problem;
            changed
        });
    }
}

/// Reads a body up to a limit. One that announces more is not read at all.
///
/// # Errors
/// See [`Refusal`].
pub async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(Refusal::TooLarge);
    }
    let mut body = Limited::new(body, most);
    let reading = async {
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => frame.into_data().into_iter().for_each(|data| read.extend_from_slice(&data)),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(Refusal::TooLarge),
                Err(_) => return Err(Refusal::Broken),
            }
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(BODY_DEADLINE, reading).await.unwrap_or(Err(Refusal::TooSlow))
}
