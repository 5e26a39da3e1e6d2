//! The generic HMAC: parts of the request in order, a key, an algorithm, an encoding.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac as Mac1, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use ropeway_crds::source::{
    Hmac, HmacAlgorithm, SecretEncoding, SignatureEncoding, SignatureTimestamp, SignedPart, TimestampUnit,
};

use super::{SignedRequest, Verified, VerifyError, any, in_time, same, single};
use ropeway_auth::secret::Secrets;

/// The most signatures that one header may list.
const MOST_SIGNATURES: usize = 16;

/// Judges a request by this scheme.
pub(super) fn verify(
    scheme: &Hmac,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let given = signatures(scheme, request.headers)?;
    if let Some(timestamp) = &scheme.timestamp {
        let time = moment(stamp(scheme, timestamp, request.headers)?, timestamp.unit.unwrap_or_default());
        in_time(time, timestamp.tolerance, now)?;
    }
    let signed = signed_bytes(scheme, request)?;
    fits(scheme, secrets, &signed, &given)?;
    let id = scheme.id_header.as_deref().map(|name| single(request.headers, name)).transpose()?;
    Ok(Verified { id: id.map(str::to_owned) })
}

/// Whether any of the signatures is one of these bytes by any of the keys.
pub(super) fn fits(scheme: &Hmac, secrets: &Secrets, signed: &[u8], given: &[Vec<u8>]) -> Result<(), VerifyError> {
    let algorithm = scheme.algorithm.unwrap_or_default();
    any(&scheme.secrets, secrets, |secret| {
        let key = match scheme.secret_encoding.unwrap_or_default() {
            SecretEncoding::Raw => Some(secret.to_vec()),
            SecretEncoding::Base64 => BASE64_STANDARD.decode(secret).ok(),
            SecretEncoding::Hex => data_encoding::HEXLOWER_PERMISSIVE.decode(secret).ok(),
        };
        let Some(key) = key.filter(|key| !key.is_empty()) else { return false };
        let expected = digest(algorithm, &key, signed);
        // Every signature is compared, so that the time says nothing about which one fitted.
        given.iter().fold(false, |found, signature| found | same(&expected, signature))
    })
}

/// The signatures that the header gives.
pub(super) fn signatures(scheme: &Hmac, headers: &HeaderMap) -> Result<Vec<Vec<u8>>, VerifyError> {
    let text = single(headers, &scheme.header)?;
    let prefix = scheme.prefix.as_deref().unwrap_or_default();
    let decode = |given: &str| match scheme.encoding.unwrap_or_default() {
        SignatureEncoding::Hex => from_hex(given).ok(),
        SignatureEncoding::Base64 => BASE64_STANDARD.decode(given).ok(),
        SignatureEncoding::Base64Url => BASE64_URL_SAFE_NO_PAD.decode(given).ok(),
    };
    let given: Vec<Vec<u8>> =
        items(scheme, text).filter_map(|item| decode(item.strip_prefix(prefix)?)).take(MOST_SIGNATURES).collect();
    if given.is_empty() {
        return Err(VerifyError::Refused("the signature is not written as it should be"));
    }
    Ok(given)
}

/// The values of a header that may be a list.
fn items<'a>(scheme: &'a Hmac, text: &'a str) -> impl Iterator<Item = &'a str> {
    let separator = scheme.list_separator.as_deref();
    let list = separator.map(|separator| text.split(separator).map(str::trim));
    let one = separator.is_none().then_some(text);
    list.into_iter().flatten().chain(one)
}

/// The text of the signed time.
fn stamp<'a>(
    scheme: &'a Hmac,
    timestamp: &'a SignatureTimestamp,
    headers: &'a HeaderMap,
) -> Result<&'a str, VerifyError> {
    let text = single(headers, &timestamp.header)?;
    let Some(prefix) = timestamp.prefix.as_deref() else { return Ok(text) };
    let mut found = items(scheme, text).filter_map(|item| item.strip_prefix(prefix));
    match (found.next(), found.next()) {
        (Some(text), None) => Ok(text),
        _ => Err(VerifyError::Refused("the signed time is missing or there twice")),
    }
}

fn moment(text: &str, unit: TimestampUnit) -> Option<Timestamp> {
    match unit {
        TimestampUnit::Seconds => Timestamp::from_second(text.parse().ok()?).ok(),
        TimestampUnit::Milliseconds => Timestamp::from_millisecond(text.parse().ok()?).ok(),
        TimestampUnit::Rfc3339 => text.parse().ok(),
    }
}

fn signed_bytes(scheme: &Hmac, request: SignedRequest<'_>) -> Result<Vec<u8>, VerifyError> {
    let body = [SignedPart { body: Some(true), ..SignedPart::default() }];
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
            SignedPart { url: Some(true), .. } => {
                let url = request.url.ok_or(VerifyError::Refused("the public address is not configured"))?;
                bytes.extend_from_slice(url.as_bytes());
            }
            SignedPart { timestamp: Some(true), .. } => {
                let timestamp = scheme.timestamp.as_ref();
                let timestamp = timestamp.ok_or(VerifyError::Refused("no timestamp header is configured"))?;
                bytes.extend_from_slice(stamp(scheme, timestamp, request.headers)?.as_bytes());
            }
            _ => bytes.extend_from_slice(request.body),
        }
    }
    Ok(bytes)
}

/// A signature that is written in hexadecimal.
pub(super) fn from_hex(text: &str) -> Result<Vec<u8>, VerifyError> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.map_err(|_| VerifyError::Refused("the signature is not written as it should be"))
}

/// The HMAC of these bytes.
pub(super) fn digest(algorithm: HmacAlgorithm, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    }
    match algorithm {
        HmacAlgorithm::Sha256 => with::<Mac1<sha2::Sha256>>(key, bytes),
        HmacAlgorithm::Sha512 => with::<Mac1<sha2::Sha512>>(key, bytes),
        HmacAlgorithm::Sha1 => with::<Mac1<sha1::Sha1>>(key, bytes),
    }
}
