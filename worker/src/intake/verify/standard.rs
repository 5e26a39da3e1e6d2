//! Standard Webhooks: v1 is an HMAC-SHA256 over `id.timestamp.body`, v1a an Ed25519 signature of the same; any of the listed
//! signatures may fit.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use http::HeaderMap;
use jiff::Timestamp;
use ropeway_crds::source::{HmacAlgorithm, StandardWebhooks};

use super::{SignedRequest, Verified, VerifyError, any, any_value, hmac::digest, in_time, same, single};
use ropeway_auth::secret::Secrets;

/// The most signatures that one header may list.
const MOST_SIGNATURES: usize = 16;

/// The names of the headers, and those that Svix gave them before there was a standard.
const NAMES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

/// Judges a request by Standard Webhooks.
pub(super) fn verify(
    scheme: &StandardWebhooks,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let [id, timestamp, signatures] = names(request.headers).map(|name| single(request.headers, name));
    let (id, timestamp, signatures) = (id?, timestamp?, signatures?);
    in_time(timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()), scheme.tolerance, now)?;
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body].concat();
    let of = |version: &str| -> Vec<Vec<u8>> {
        let given = signatures.split(' ').filter_map(|signature| signature.strip_prefix(version)?.strip_prefix(','));
        given.filter_map(|text| BASE64_STANDARD.decode(text).ok()).take(MOST_SIGNATURES).collect()
    };
    let symmetric = any(scheme.secrets.as_deref().unwrap_or_default(), secrets, |secret| {
        let Some(key) = key(secret) else { return false };
        let expected = digest(HmacAlgorithm::Sha256, &key, &signed);
        // Every signature is compared, so that the time says nothing about which one fitted.
        of("v1").iter().fold(false, |found, signature| found | same(&expected, signature))
    });
    let asymmetric = || {
        any_value(scheme.public_keys.as_deref().unwrap_or_default(), secrets, |key| {
            let Some(key) = public_key(key) else { return false };
            let fits = |given: &Vec<u8>| {
                Signature::from_slice(given).is_ok_and(|signature| key.verify_strict(&signed, &signature).is_ok())
            };
            of("v1a").iter().any(fits)
        })
    };
    match (symmetric, scheme.public_keys.is_some()) {
        (Ok(()), _) => {}
        (Err(_), true) => asymmetric()?,
        (Err(error), false) => return Err(error),
    }
    Ok(Verified { id: Some(id.to_owned()) })
}

/// Whose names of the headers the request has.
fn names(headers: &HeaderMap) -> [&'static str; 3] {
    let [standard, svix] = NAMES;
    if headers.contains_key(svix[2]) && !headers.contains_key(standard[2]) { svix } else { standard }
}

/// The key of a secret: base 64 after `whsec_`.
fn key(secret: &[u8]) -> Option<Vec<u8>> {
    let text = secret.strip_prefix(b"whsec_").unwrap_or(secret);
    BASE64_STANDARD.decode(text).ok().filter(|key| !key.is_empty())
}

/// A public key: base 64 after `whpk_`.
fn public_key(text: &str) -> Option<VerifyingKey> {
    let bytes = BASE64_STANDARD.decode(text.trim().strip_prefix("whpk_").unwrap_or(text.trim())).ok()?;
    VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()
}
