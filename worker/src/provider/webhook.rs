//! The provider `webhook`: one record is one message to a webhook of somebody else, signed as Standard Webhooks 1.0 says
//! (v1 HMAC-SHA256 with `whsec_` keys, v1a Ed25519 with `whsk_` keys, one signature for each key).

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use ropeway_auth::http::{Request, Response};
use ropeway_crds::{account::Cause, provider::WebhookProvider};
use sha2::Sha256;

use super::{
    Failure, Outcome, Verdict, default_verdict,
    http::{RequestError, address},
};
use crate::map::Record;

/// How a record becomes a signed message. `keys` are the texts of the signing keys, in the order of the spec. The time is
/// that of this attempt, the id that of the event at this destination.
///
/// # Errors
/// If the URL or a key is unusable.
pub fn request(
    provider: &WebhookProvider,
    keys: &[String],
    record: &Record,
    now: Timestamp,
) -> Result<Request, RequestError> {
    let uri = address(&provider.url, "provider.webhook.url")?;
    let id = format!("msg_{}", record.key);
    let seconds = now.as_second();
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(&record.body);
    let mut signatures = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        signatures.push(signature(key.trim(), &signed).ok_or(RequestError::Key { index })?);
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", seconds.to_string()), ("webhook-signature", signatures.join(" "))]
    {
        let value = HeaderValue::try_from(value)
            .map_err(|_| RequestError::Header { name: name.into(), field: "provider.webhook" })?;
        headers.insert(name, value);
    }
    Ok(Request { method: Method::POST, uri, headers, body: record.body.clone() })
}

/// What an answer means: 410 asks that nothing more is sent; the rest is as everywhere.
pub fn verdict(response: &Response, now: Timestamp) -> Verdict {
    let mut verdict = default_verdict(response, now);
    if response.status.as_u16() == 410 {
        let failure =
            Failure { code: Some(410), message: "the destination answered 410: it wants no more messages".into() };
        verdict.outcome = Outcome::Hold { cause: Cause::Gone, failure };
    }
    verdict
}

fn signature(key: &str, signed: &[u8]) -> Option<String> {
    if let Some(secret) = key.strip_prefix("whsec_") {
        let secret = BASE64_STANDARD.decode(secret).ok().filter(|secret| (24..=64).contains(&secret.len()))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).ok()?;
        mac.update(signed);
        return Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())));
    }
    let secret = BASE64_STANDARD.decode(key.strip_prefix("whsk_")?).ok()?;
    // The seed alone, or the seed with the public key after it.
    let seed: [u8; 32] = match secret.len() {
        32 | 64 => secret[..32].try_into().ok()?,
        _ => return None,
    };
    let key = SigningKey::from_bytes(&seed);
    if secret.len() == 64 && key.verifying_key().as_bytes() != &secret[32..] {
        return None;
    }
    Some(format!("v1a,{}", BASE64_STANDARD.encode(key.sign(signed).to_bytes())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ed25519_dalek::{Signature, Verifier};
    use ropeway_mapping::EventAttributes;

    use super::*;

    fn made(keys: &[String], body: &'static str) -> Result<Request, RequestError> {
        let provider: WebhookProvider = serde_json::from_value(serde_json::json!({
            "url": "https://example.com/hook", "signing": { "keys": [] },
        }))
        .unwrap();
        let key = "p5jXN8AQM9LWM0D4loKWxJek".to_owned();
        let record = Record::new(Bytes::from_static(body.as_bytes()), key, EventAttributes::default().into());
        request(&provider, keys, &record, Timestamp::from_second(1_614_265_330).unwrap())
    }

    /// The published vector of the Standard Webhooks libraries.
    #[test]
    fn the_published_vector_is_met() {
        let request = made(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()], r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(request.headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(request.headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn each_key_gives_a_signature_and_the_asymmetric_one_verifies() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let keys = [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            format!("whsk_{}", BASE64_STANDARD.encode([7; 32])),
            format!("whsk_{}", BASE64_STANDARD.encode(key.to_keypair_bytes())),
        ];
        let request = made(&keys, "{}").unwrap();
        let all = request.headers["webhook-signature"].to_str().unwrap();
        let signatures: Vec<&str> = all.split(' ').collect();
        assert_eq!(signatures.len(), 3);
        assert_eq!(signatures[1], signatures[2]);
        let bytes = BASE64_STANDARD.decode(signatures[1].strip_prefix("v1a,").unwrap()).unwrap();
        let signature = Signature::from_slice(&bytes).unwrap();
        let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{}";
        assert!(key.verifying_key().verify(signed, &signature).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_without_saying_what_it_holds() {
        for key in ["", "hunter2", "whsec_!!!", "whsec_c2hvcnQ=", "whsk_c2hvcnQ="] {
            let error = made(&[key.to_owned()], "{}").unwrap_err().to_string();
            assert!(error.contains("signing.keys[0]") && !error.contains("hunter2"), "{error}");
        }
    }
}
