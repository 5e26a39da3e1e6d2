//! Whether a request comes from whom it says: over the raw bytes, in constant time, before anything is parsed. Pure but
//! for the reading of mounted secrets; the time is an argument.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, header};
use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    secret_ref::SecretValue,
    source::{
        Hmac as HmacScheme, HmacAlgorithm, SecretEncoding, SignatureEncoding, SignatureTimestamp, SignedPart,
        StandardWebhooks, TimestampUnit, Verification,
    },
};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use crate::secret::{SecretError, Secrets};

/// How far a sender's clock may be off where the scheme does not say.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What a signature is computed over.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query as received.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body's raw bytes.
    pub body: &'a [u8],
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
}

/// A verified request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The sender's id of the event, equal for its repeats.
    pub id: Option<String>,
}

/// Judges a request.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(
    verification: &Verification,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let Verification { standard_webhooks, hmac, bearer, basic } = verification;
    if let Some(scheme) = standard_webhooks {
        return standard(scheme, secrets, request, now);
    }
    if let Some(scheme) = hmac {
        return generic(scheme, secrets, request, now);
    }
    let given = single(request.headers, header::AUTHORIZATION.as_str())?;
    let (scheme, given) = given.split_once(' ').ok_or(VerifyError::Refused("no credentials"))?;
    if let Some(bearer) = bearer
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return any(&bearer.tokens, secrets, |token| same(token, given.trim().as_bytes()));
    }
    if let Some(basic) = basic
        && scheme.eq_ignore_ascii_case("basic")
    {
        let username = match basic.username.key() {
            Some(key) => secrets.text(key)?.expose_secret().to_owned(),
            None => basic.username.value.clone().unwrap_or_default(),
        };
        let given = BASE64_STANDARD.decode(given.trim()).map_err(|_| VerifyError::Refused("not base 64"))?;
        return any(&basic.passwords, secrets, |password| {
            same(&[username.as_bytes(), b":", password].concat(), &given)
        });
    }
    Err(VerifyError::Refused("another scheme of credentials"))
}

/// Standard Webhooks, v1: HMAC-SHA256 over `id.timestamp.body`; any of the listed signatures may fit.
fn standard(
    scheme: &StandardWebhooks,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let id = single(request.headers, "webhook-id")?;
    let timestamp = single(request.headers, "webhook-timestamp")?;
    let signatures = single(request.headers, "webhook-signature")?;
    let tolerance =
        scheme.tolerance.map_or(TOLERANCE, |tolerance| SignedDuration::try_from(tolerance.std()).unwrap_or(TOLERANCE));
    in_time(timestamp, TimestampUnit::Seconds, tolerance, now)?;
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body].concat();
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
        .collect();
    any(&scheme.secrets, secrets, |secret| {
        let Some(key) = standard_key(secret) else { return false };
        let expected = digest(HmacAlgorithm::Sha256, &key, &signed);
        // Every signature is compared, so that the time says nothing about which one fitted.
        given.iter().fold(false, |found, signature| found | same(&expected, signature))
    })
    .map(|_| Verified { id: Some(id.to_owned()) })
}

/// The key of a Standard Webhooks secret: base 64 after `whsec_`.
fn standard_key(secret: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(secret).ok()?.trim();
    BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok().filter(|key| !key.is_empty())
}

fn generic(
    scheme: &HmacScheme,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let given = single(request.headers, &scheme.header)?;
    let given = match scheme.prefix.as_deref() {
        Some(prefix) => given.strip_prefix(prefix).ok_or(VerifyError::Refused("the signature lacks its prefix"))?,
        None => given,
    };
    let given = match scheme.encoding.unwrap_or_default() {
        SignatureEncoding::Hex => data_encoding::HEXLOWER_PERMISSIVE.decode(given.as_bytes()).ok(),
        SignatureEncoding::Base64 => BASE64_STANDARD.decode(given).ok(),
        SignatureEncoding::Base64Url => BASE64_URL_SAFE_NO_PAD.decode(given).ok(),
    }
    .ok_or(VerifyError::Refused("the signature is not encoded as it should be"))?;
    if let Some(SignatureTimestamp { header, unit, tolerance }) = &scheme.timestamp {
        let tolerance = tolerance.map_or(TOLERANCE, |it| SignedDuration::try_from(it.std()).unwrap_or(TOLERANCE));
        in_time(single(request.headers, header)?, unit.unwrap_or_default(), tolerance, now)?;
    }
    let signed = signed_bytes(scheme, request)?;
    let id = scheme.id_header.as_deref().map(|name| single(request.headers, name)).transpose()?;
    let algorithm = scheme.algorithm.unwrap_or_default();
    any(&scheme.secrets, secrets, |secret| {
        let key = match scheme.secret_encoding.unwrap_or_default() {
            SecretEncoding::Raw => Some(secret.to_vec()),
            SecretEncoding::Base64 => BASE64_STANDARD.decode(secret).ok(),
            SecretEncoding::Hex => data_encoding::HEXLOWER_PERMISSIVE.decode(secret).ok(),
        };
        key.filter(|key| !key.is_empty()).is_some_and(|key| same(&digest(algorithm, &key, &signed), &given))
    })
    .map(|_| Verified { id: id.map(str::to_owned) })
}

fn signed_bytes(scheme: &HmacScheme, request: SignedRequest<'_>) -> Result<Vec<u8>, VerifyError> {
    let body = [SignedPart { body: Some(true), method: None, path: None, timestamp: None, header: None, text: None }];
    let parts = scheme.signed.as_deref().filter(|parts| !parts.is_empty()).unwrap_or(&body);
    let mut bytes = Vec::with_capacity(request.body.len() + 128);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            bytes.extend_from_slice(scheme.separator.as_deref().unwrap_or_default().as_bytes());
        }
        match part {
            SignedPart { header: Some(name), .. } => bytes.extend_from_slice(single(request.headers, name)?.as_bytes()),
            SignedPart { text: Some(text), .. } => bytes.extend_from_slice(text.as_bytes()),
            SignedPart { method: Some(true), .. } => bytes.extend_from_slice(request.method.as_str().as_bytes()),
            SignedPart { path: Some(true), .. } => bytes.extend_from_slice(request.path.as_bytes()),
            SignedPart { timestamp: Some(true), .. } => {
                let header = scheme.timestamp.as_ref().map(|timestamp| timestamp.header.as_str());
                let header = header.ok_or(VerifyError::Refused("no timestamp header is configured"))?;
                bytes.extend_from_slice(single(request.headers, header)?.as_bytes());
            }
            _ => bytes.extend_from_slice(request.body),
        }
    }
    Ok(bytes)
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

fn in_time(text: &str, unit: TimestampUnit, tolerance: SignedDuration, now: Timestamp) -> Result<(), VerifyError> {
    let time = match unit {
        TimestampUnit::Seconds => text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()),
        TimestampUnit::Milliseconds => text.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        TimestampUnit::Rfc3339 => text.parse().ok(),
    };
    let time: Timestamp = time.ok_or(VerifyError::Refused("the timestamp can't be read"))?;
    if now.duration_since(time).abs() > tolerance {
        return Err(VerifyError::Refused("the timestamp is too far off"));
    }
    Ok(())
}

/// Whether any secret fits. All of them are tried, so that the time says nothing about which one did. A missing one counts
/// only if none of the others fits.
fn any(values: &[SecretValue], secrets: &Secrets, fits: impl Fn(&[u8]) -> bool) -> Result<Verified, VerifyError> {
    let mut found = false;
    let mut unable = None;
    for value in values {
        match secrets.text(value.key()) {
            Ok(secret) => found |= fits(secret.expose_secret().as_bytes()),
            Err(error) => unable = Some(error),
        }
    }
    match (found, unable) {
        (true, _) => Ok(Verified::default()),
        (false, Some(error)) => Err(error.into()),
        (false, None) => Err(VerifyError::Refused("no secret fits")),
    }
}

fn digest(algorithm: HmacAlgorithm, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    }
    match algorithm {
        HmacAlgorithm::Sha256 => with::<Hmac<sha2::Sha256>>(key, bytes),
        HmacAlgorithm::Sha512 => with::<Hmac<sha2::Sha512>>(key, bytes),
        HmacAlgorithm::Sha1 => with::<Hmac<sha1::Sha1>>(key, bytes),
    }
}

fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests;
