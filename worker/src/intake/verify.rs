//! Whether a request comes from whom it says: over the raw bytes, in constant time, before anything is parsed. Pure but
//! for the reading of mounted secrets and of an issuer's keys; the time is an argument.
//!
//! What a vendor signs is a [`Scheme`], made once; most of them are the generic HMAC with its parts filled in.

use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    azure::VaultSecret,
    duration::Duration,
    reference::vault_secrets,
    secret_ref::{SecretValue, Value},
    source::Verification,
};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::listen::Peer;
use ropeway_auth::secret::{SecretError, Secrets};

pub mod certificate;
mod hmac;
pub mod jwt;
mod preset;
mod standard;
mod token;
mod vendor;

pub use preset::{Handshake, IdPlace, Scheme, Vendor, scheme};

/// How far a sender's clock may be off where the scheme does not say.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What a signature is computed over.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query as received.
    pub path: &'a str,
    /// The address that the sender called, with the query as received; none where it is not configured.
    pub url: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body's raw bytes.
    pub body: &'a [u8],
    /// Who is connected.
    pub peer: &'a Peer,
}

/// A request that is not let in.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It does not prove who sent it. Why stays in here: the sender is not told which check failed.
    #[error("the request is not verified: {0}")]
    Refused(&'static str),
    /// We lack a secret to judge it with.
    #[error("the request can't be verified: {0}")]
    Unable(#[from] SecretError),
    /// We lack the issuer's keys to judge it with.
    #[error("the request can't be verified: {0}")]
    NoKeys(#[from] jwt::KeysError),
    /// The issuer had no such key a moment ago, and may not be asked again yet. Nothing is wrong with us.
    #[error("the request can't be verified yet: the issuer's keys were fetched a moment ago without the token's")]
    NotYet,
}

/// A verified request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The sender's id of the request, equal for its repeats.
    pub id: Option<String>,
}

/// How requests to one address are judged.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    secrets: Secrets,
    /// What of it is in Key Vault.
    vaulted: Vec<VaultSecret>,
}

impl Verifier {
    /// A verifier for what the Integration says. `issuer` makes the way to an issuer's keys, where there is one.
    pub fn new(
        verification: &Verification,
        secrets: Secrets,
        issuer: impl FnOnce(&ropeway_crds::source::JwtVerification) -> jwt::Issuer,
    ) -> Self {
        let vaulted = vault_secrets(verification, "verification").into_iter().map(|(_, secret)| secret).collect();
        Self { scheme: scheme(verification, issuer), secrets, vaulted }
    }

    /// Judges a request.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, request: SignedRequest<'_>, now: Timestamp) -> Result<Verified, VerifyError> {
        match &self.scheme {
            Scheme::Jwt(issuer) => issuer.verify(request.headers, now).await,
            other => {
                self.secrets.ready(&self.vaulted).await;
                judge(other, &self.secrets, request, now)
            }
        }
    }

    /// What is known of the vendor beside its signature.
    pub fn vendor(&self) -> Vendor {
        self.scheme.vendor()
    }
}

fn judge(
    scheme: &Scheme,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    match scheme {
        Scheme::Hmac { scheme, vendor: _ } => hmac::verify(scheme, secrets, request, now),
        Scheme::Standard(scheme) => standard::verify(scheme, secrets, request, now),
        Scheme::HubSpot(scheme) => vendor::hubspot(scheme, secrets, request, now),
        Scheme::HubSpotDigest { secrets: keys, version } => vendor::hubspot_digest(keys, *version, secrets, request),
        Scheme::Segment(scheme) => vendor::segment(scheme, secrets, request, now),
        Scheme::Lever(scheme) => vendor::lever(scheme, secrets, request.body, now),
        Scheme::SendGrid(scheme) => vendor::sendgrid(scheme, secrets, request, now),
        Scheme::Bearer(scheme) => token::bearer(scheme, secrets, request.headers),
        Scheme::Basic(scheme) => token::basic(scheme, secrets, request.headers),
        Scheme::ApiKey(scheme) => token::api_key(scheme, secrets, request),
        Scheme::Certificate(scheme) => certificate::verify(scheme, secrets, request, now),
        Scheme::Jwt(_) => Err(VerifyError::Refused("keys of an issuer are needed")),
        Scheme::None => Err(VerifyError::Refused("no way of verification is configured")),
    }
}

/// The value of a header that must be there exactly once and not empty.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, VerifyError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            value.to_str().ok().filter(|text| !text.is_empty()).ok_or(VerifyError::Refused("a header is not text"))
        }
        (None, _) => Err(VerifyError::Refused("a header is missing")),
        (Some(_), Some(_)) => Err(VerifyError::Refused("a header is there twice")),
    }
}

/// Whether a time lies within the tolerance, both ways.
fn in_time(time: Option<Timestamp>, tolerance: Option<Duration>, now: Timestamp) -> Result<(), VerifyError> {
    let tolerance = tolerance.map_or(TOLERANCE, |it| SignedDuration::try_from(it.std()).unwrap_or(TOLERANCE));
    let time = time.ok_or(VerifyError::Refused("the timestamp can't be read"))?;
    if now.duration_since(time).abs() > tolerance {
        return Err(VerifyError::Refused("the timestamp is too far off"));
    }
    Ok(())
}

/// Whether any secret fits. All of them are tried, so that the time says nothing about which one did. A missing one counts
/// only if none of the others fits.
fn any(values: &[SecretValue], secrets: &Secrets, fits: impl Fn(&[u8]) -> bool) -> Result<(), VerifyError> {
    first_fit(values.iter().map(|value| secrets.secret(value)), |secret| fits(secret.expose_secret().as_bytes()))
}

/// The same for values that may be written in the object.
fn any_value(values: &[Value], secrets: &Secrets, fits: impl Fn(&str) -> bool) -> Result<(), VerifyError> {
    let texts = values.iter().map(|value| secrets.value(value.value.as_deref(), value.value_from.as_ref()));
    first_fit(texts, |text| fits(text))
}

fn first_fit<T>(
    values: impl Iterator<Item = Result<T, SecretError>>,
    fits: impl Fn(&T) -> bool,
) -> Result<(), VerifyError> {
    let mut found = false;
    let mut unable = None;
    for value in values {
        match value {
            Ok(value) => found |= fits(&value),
            Err(error) => unable = Some(error),
        }
    }
    match (found, unable) {
        (true, _) => Ok(()),
        (false, Some(error)) => Err(error.into()),
        (false, None) => Err(VerifyError::Refused("no secret fits")),
    }
}

fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests;
