//! Vendors whose schemes are more than an HMAC over parts of the request.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use p256::{
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
    pkcs8::DecodePublicKey,
};
use ropeway_crds::{
    secret_ref::SecretValue,
    source::{Hmac, HmacAlgorithm, HubSpotVersion, SendGridVerification, SignedBodyAndTime},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{SignedRequest, Verified, VerifyError, any, any_value, hmac, in_time, same, single};
use ropeway_auth::secret::Secrets;

/// What HubSpot's page on validation decodes in an address before it signs; its own client library does not.
const HUBSPOT_DECODES: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// HubSpot v3: the address as it was called, or as its page on validation writes it.
pub(super) fn hubspot(
    scheme: &Hmac,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let called = request.url.ok_or(VerifyError::Refused("the public address is not configured"))?;
    let decoded = HUBSPOT_DECODES
        .iter()
        .fold(called.to_owned(), |url, (from, to)| url.replace(from, to).replace(&from.to_ascii_lowercase(), to));
    match hmac::verify(scheme, secrets, request, now) {
        Err(VerifyError::Refused(_)) if decoded != called => {
            hmac::verify(scheme, secrets, SignedRequest { url: Some(&decoded), ..request }, now)
        }
        judged => judged,
    }
}

/// HubSpot v1 and v2: the SHA-256 of the secret before what is signed.
pub(super) fn hubspot_digest(
    keys: &[SecretValue],
    version: HubSpotVersion,
    secrets: &Secrets,
    request: SignedRequest<'_>,
) -> Result<Verified, VerifyError> {
    let given = hmac::from_hex(single(request.headers, "x-hubspot-signature")?)?;
    let called = match version {
        HubSpotVersion::V2 => {
            let url = request.url.ok_or(VerifyError::Refused("the public address is not configured"))?;
            [request.method.as_str(), url].concat()
        }
        HubSpotVersion::V1 | HubSpotVersion::V3 => String::new(),
    };
    any(keys, secrets, |secret| {
        let digest = Sha256::new().chain_update(secret).chain_update(&called).chain_update(request.body).finalize();
        same(&digest, &given)
    })
    .map(|()| Verified::default())
}

/// Segment: the body, or of a batch the first event alone.
pub(super) fn segment(
    scheme: &Hmac,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    match hmac::verify(scheme, secrets, request, now) {
        Err(VerifyError::Refused(reason)) => {
            let first = first_element(request.body).ok_or(VerifyError::Refused(reason))?;
            hmac::verify(scheme, secrets, SignedRequest { body: first.get().as_bytes(), ..request }, now)
        }
        judged => judged,
    }
}

/// The text of the first element of a JSON array. The elements behind it are not looked at.
fn first_element(body: &[u8]) -> Option<&RawValue> {
    let inside = body.trim_ascii_start().strip_prefix(b"[")?;
    serde_json::Deserializer::from_slice(inside).into_iter::<&RawValue>().next()?.ok()
}

/// Lever: an HMAC over `token` and `triggeredAt`, all three in the body.
pub(super) fn lever(
    scheme: &SignedBodyAndTime,
    secrets: &Secrets,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Proof<'a> {
        signature: String,
        token: String,
        #[serde(borrow)]
        triggered_at: &'a RawValue,
        id: Option<String>,
    }
    let Proof { signature, token, triggered_at, id } =
        serde_json::from_slice(body).map_err(|_| VerifyError::Refused("the body has no signature"))?;
    let given = hmac::from_hex(&signature)?;
    let written = triggered_at.get();
    let time = written.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    in_time(time, scheme.tolerance, now)?;
    let signed = [token.as_bytes(), written.as_bytes()].concat();
    any(&scheme.secrets, secrets, |secret| same(&hmac::digest(HmacAlgorithm::Sha256, secret, &signed), &given))?;
    // The token is good for one event; the event's own id, where there is one, is known to others too.
    Ok(Verified { id: id.filter(|id| !id.is_empty()).or(Some(token)) })
}

/// SendGrid: ECDSA with P-256 and SHA-256 over time and body, the signature in DER.
pub(super) fn sendgrid(
    scheme: &SendGridVerification,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let signature = single(request.headers, "x-twilio-email-event-webhook-signature")?;
    let timestamp = single(request.headers, "x-twilio-email-event-webhook-timestamp")?;
    let time = timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    in_time(time, scheme.tolerance, now)?;
    let signature = BASE64_STANDARD.decode(signature).ok().and_then(|der| Signature::from_der(&der).ok());
    let signature = signature.ok_or(VerifyError::Refused("the signature is not written as it should be"))?;
    let signed = [timestamp.as_bytes(), request.body].concat();
    any_value(&scheme.public_keys, secrets, |key| {
        let der = BASE64_STANDARD.decode(key.trim()).ok();
        let key = der.and_then(|der| VerifyingKey::from_public_key_der(&der).ok());
        key.is_some_and(|key| key.verify(&signed, &signature).is_ok())
    })
    .map(|()| Verified::default())
}
