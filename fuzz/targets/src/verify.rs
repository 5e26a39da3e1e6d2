//! Every way to verify a request. Nothing that is let in with the right secrets is let in with other ones.

use std::{
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, Method};
use jiff::Timestamp;
use ropeway_auth::{address::AddressPolicy, http::HttpDoor, secret::Secrets};
use ropeway_crds::source::Verification;
use ropeway_worker::intake::{
    listen::Peer,
    verify::{SignedRequest, Verifier, jwt::Issuer},
};
use serde_json::{Value, json};

use crate::message::{Message, choose};

/// The moment of Standard Webhooks' published vector.
const NOW: i64 = 1_614_265_330;

/// The moment for certificates, which had not begun then.
const LATER: i64 = 4_000_000_000;

/// Everything that is made once.
struct Setting {
    right: Secrets,
    wrong: Secrets,
    verifications: Vec<Verification>,
    addresses: Arc<AddressPolicy>,
}

static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
    right: Secrets::new(concat!(env!("CARGO_MANIFEST_DIR"), "/secrets/right")),
    wrong: Secrets::new(concat!(env!("CARGO_MANIFEST_DIR"), "/secrets/wrong")),
    verifications: verifications(),
    addresses: Arc::new(AddressPolicy::new(&[]).expect("no range is wrong")),
});

/// Chosen by the first byte, from `a` on.
fn verifications() -> Vec<Verification> {
    let key = |key: &str| json!({ "name": "hooks", "key": key });
    let secret = |name: &str| json!({ "valueFrom": { "secretKeyRef": key(name) } });
    let signed = json!({ "secrets": [secret("token")] });
    let hubspot = |version: &str| json!({ "hubspot": { "secrets": [secret("token")], "version": version } });
    let hmac = |algorithm: &str, encoding: &str, unit: &str| {
        let parts = [
            json!({ "text": "v" }),
            json!({ "timestamp": true }),
            json!({ "path": true }),
            json!({ "header": "x-part" }),
            json!({ "body": true }),
        ];
        json!({ "hmac": {
            "secrets": [secret("token")], "algorithm": algorithm, "header": "x-sign", "prefix": "v1=", "listSeparator": ",",
            "encoding": encoding, "signed": parts, "separator": ".", "idHeader": "x-id",
            "timestamp": { "header": "x-time", "prefix": "t=", "unit": unit },
        } })
    };
    let certificate = |format: &str| {
        let proxy = json!({ "header": "x-cert", "format": format, "trustedRanges": ["192.0.2.0/24"] });
        json!({ "mtls": { "caRef": key("authority"), "allowedNames": ["sender.example.com"], "proxy": proxy } })
    };
    let jwt = json!({
        "issuer": "https://issuer.example.com", "audiences": ["hooks"], "jwksUrl": "https://issuer.example.com/keys",
        "algorithms": ["RS256", "PS512", "ES256", "ES384", "EdDSA"],
    });
    let public = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let all = [
        json!({ "standardWebhooks": { "secrets": [secret("standard")], "publicKeys": [{ "value": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" }] } }),
        json!({ "github": signed }),
        json!({ "stripe": signed }),
        json!({ "shopify": signed }),
        hubspot("V1"),
        hubspot("V2"),
        hubspot("V3"),
        json!({ "segment": signed }),
        json!({ "greenhouse": signed }),
        json!({ "lever": signed }),
        json!({ "slack": signed }),
        json!({ "sendgrid": { "publicKeys": [{ "value": public }] } }),
        hmac("Sha256", "Hex", "Seconds"),
        hmac("Sha512", "Base64", "Milliseconds"),
        hmac("Sha1", "Base64Url", "Rfc3339"),
        json!({ "bearer": { "tokens": [secret("token")] } }),
        json!({ "basic": { "username": { "value": "crm" }, "passwords": [secret("token")] } }),
        json!({ "apiKey": { "in": "Header", "name": "x-key", "values": [secret("token")] } }),
        json!({ "apiKey": { "in": "Query", "name": "key", "values": [secret("token")] } }),
        certificate("UrlEncodedPem"),
        certificate("Xfcc"),
        certificate("Rfc9440"),
        json!({ "jwt": jwt }),
    ];
    all.into_iter().map(|it| serde_json::from_value(it).expect("it is a verification")).collect()
}

/// A letter, headers and a body. A line `:path: …` is what follows the `?` of the path; for tokens, the body is the
/// issuer's keys.
pub fn run(bytes: &[u8]) {
    let Some(verification) = verification(bytes) else { return };
    // Public keys are no secrets: who signs with the private one is let in whatever is mounted.
    let by_public_key = verification.sendgrid.is_some() || verification.jwt.is_some();
    if is_let_in(bytes) && !by_public_key {
        assert!(!is_let_in_by(bytes, &SETTING.wrong), "a request is let in without its secret");
    }
}

/// Whether the request is verified with the right secrets.
pub fn is_let_in(bytes: &[u8]) -> bool {
    is_let_in_by(bytes, &SETTING.right)
}

fn verification(bytes: &[u8]) -> Option<&'static Verification> {
    let all = &SETTING.verifications;
    choose(bytes, all.len()).map(|(choice, _)| &all[choice])
}

fn is_let_in_by(bytes: &[u8], secrets: &Secrets) -> bool {
    let Some(verification) = verification(bytes) else { return false };
    let message = Message::read(&bytes[1..]);
    let query = message.lines.iter().find_map(|(name, value)| name.is_empty().then_some(*value)).unwrap_or_default();
    let query = query.strip_prefix(b"path:").unwrap_or(query).trim_ascii();
    let path = format!("/hooks/signups?{}", String::from_utf8_lossy(query));
    judge(verification, secrets, &path, &message.headers(), message.body)
}

fn judge(verification: &Verification, secrets: &Secrets, path: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let now = if verification.mtls.is_some() { LATER } else { NOW };
    let now = Timestamp::from_second(now).expect("it is a time");
    let addresses = &SETTING.addresses;
    let keys = || match serde_json::from_slice::<Value>(body) {
        Ok(Value::Array(keys)) => keys,
        _ => Vec::new(),
    };
    let verifier = Verifier::new(verification, secrets.clone(), |jwt| {
        let door = HttpDoor::new(None, secrets.clone(), Arc::clone(addresses));
        Issuer::with_keys(jwt.clone(), door, keys(), now)
    });
    let url = format!("https://hooks.example.com{path}");
    let peer = Peer { address: ([192, 0, 2, 1], 40_000).into(), secure: false, certificates: Arc::default() };
    let request = SignedRequest { method: &Method::POST, path, url: Some(&url), headers, body, peer: &peer };
    let mut verdict = pin!(verifier.verify(request, now));
    match verdict.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => verdict.is_ok(),
        Poll::Pending => panic!("a verdict waits although all keys are there"),
    }
}
