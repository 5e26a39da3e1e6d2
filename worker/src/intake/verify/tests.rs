use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use ropeway_crds::{
    secret_ref::{SecretKeyRef, SecretSource},
    source::HmacAlgorithm,
};
use tempfile::TempDir;

use super::*;

/// The published vector of Standard Webhooks: secret, id, timestamp, body and signature of its reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn secrets(values: &[(&str, &str)]) -> (TempDir, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("hooks")).unwrap();
    for (key, value) in values {
        std::fs::write(folder.path().join("hooks").join(key), value).unwrap();
    }
    let secrets = Secrets::new(folder.path());
    (folder, secrets)
}

fn value(key: &str) -> SecretValue {
    SecretValue { value_from: SecretSource::SecretKeyRef(SecretKeyRef { name: "hooks".into(), key: key.into() }) }
}

fn scheme(field: &str, scheme: serde_json::Value) -> Verification {
    serde_json::from_value(serde_json::json!({ field: scheme })).unwrap()
}

fn standard_scheme(keys: &[&str]) -> Verification {
    let secrets: Vec<SecretValue> = keys.iter().map(|key| value(key)).collect();
    scheme("standardWebhooks", serde_json::json!({ "secrets": secrets }))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    headers
}

fn judge(
    verification: &Verification,
    secrets: &Secrets,
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<Verified, VerifyError> {
    let url = "https://hooks.example.com/hooks/signups?a=1";
    let peer = Peer { address: "192.0.2.1:40000".parse().unwrap(), secure: false, certificates: Arc::default() };
    let (method, path) = (&Method::POST, "/hooks/signups?a=1");
    let request = SignedRequest { method, path, url: Some(url), headers, body, peer: &peer };
    let scheme = scheme_of(verification);
    super::judge(&scheme, secrets, request, Timestamp::from_second(now).unwrap())
}

fn scheme_of(verification: &Verification) -> Scheme {
    super::scheme(verification, |_| unreachable!("no token is judged here"))
}

#[test]
fn the_published_vector_of_standard_webhooks_is_verified() {
    let (_folder, secrets) = secrets(&[("old", "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZA=="), ("new", SECRET)]);
    let headers =
        headers(&[("webhook-id", ID), ("webhook-timestamp", &TIME.to_string()), ("webhook-signature", SIGNATURE)]);
    for keys in [&["new"][..], &["old", "new"], &["new", "missing"]] {
        let verified = judge(&standard_scheme(keys), &secrets, &headers, BODY, TIME + 299).unwrap();
        assert_eq!(verified.id.as_deref(), Some(ID));
    }
}

#[test]
fn what_is_not_signed_by_the_vector_is_refused() {
    let (_folder, secrets) = secrets(&[
        ("new", SECRET),
        ("other", "whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldA=="),
        ("empty", ""),
        ("blank", "whsec_"),
    ]);
    let time = TIME.to_string();
    let good = [("webhook-id", ID), ("webhook-timestamp", time.as_str()), ("webhook-signature", SIGNATURE)];
    let refused = |keys: &[&str], pairs: &[(&str, &str)], body: &[u8], now: i64| {
        judge(&standard_scheme(keys), &secrets, &headers(pairs), body, now).is_err()
    };
    assert!(refused(&["new"], &good, BODY, TIME + 301), "stale");
    assert!(refused(&["new"], &good, BODY, TIME - 301), "from the future");
    assert!(refused(&["other"], &good, BODY, TIME), "another key");
    assert!(refused(&["empty"], &good, BODY, TIME), "an empty secret");
    assert!(refused(&["blank"], &good, BODY, TIME), "a secret of no bytes");
    assert!(refused(&["new"], &good, &BODY[..BODY.len() - 1], TIME), "a truncated body");
    assert!(refused(&["new"], &good, br#"{"test": 2432232315}"#, TIME), "an altered byte");
    for missing in 0..3 {
        let pairs: Vec<_> = good.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
        assert!(refused(&["new"], &pairs, BODY, TIME), "without {}", good[missing].0);
        let twice: Vec<_> = good.iter().copied().chain([good[missing]]).collect();
        assert!(refused(&["new"], &twice, BODY, TIME), "{} twice", good[missing].0);
    }
    let other_id = [("webhook-id", "msg_other"), good[1], good[2]];
    assert!(refused(&["new"], &other_id, BODY, TIME), "another id");
    assert!(refused(&["new"], &[good[0], good[1], ("webhook-signature", "v1,")], BODY, TIME), "an empty signature");
}

#[test]
fn signatures_of_others_are_verified_by_the_generic_hmac() {
    let (_folder, secrets) =
        secrets(&[("github", "It's a Secret to Everybody"), ("slack", "8f742231b10e8888abcd99yyyzzz85a5")]);
    let github = scheme(
        "hmac",
        serde_json::json!({
            "secrets": [value("github")], "header": "X-Hub-Signature-256", "prefix": "sha256=", "idHeader": "X-GitHub-Delivery",
        }),
    );
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers_ = headers(&[("x-hub-signature-256", signature), ("x-github-delivery", "72d3162e")]);
    let verified = judge(&github, &secrets, &headers_, b"Hello, World!", 0).unwrap();
    assert_eq!(verified.id.as_deref(), Some("72d3162e"));
    assert!(judge(&github, &secrets, &headers_, b"Hello, World?", 0).is_err());

    let slack = scheme(
        "hmac",
        serde_json::json!({
            "secrets": [value("slack")], "header": "X-Slack-Signature", "prefix": "v0=", "separator": ":",
            "signed": [{"text": "v0"}, {"timestamp": true}, {"body": true}],
            "timestamp": {"header": "X-Slack-Request-Timestamp"},
        }),
    );
    // Made with `printf 'v0:1531420618:{"a":1}' | openssl dgst -sha256 -hmac …`.
    let body = br#"{"a":1}"#;
    let headers_ = headers(&[
        ("x-slack-signature", "v0=9bd39e31413c635ee3162653e2574bcbe07d23f0b386e9a46e1abd6ea3d91133"),
        ("x-slack-request-timestamp", "1531420618"),
    ]);
    assert!(judge(&slack, &secrets, &headers_, body, 1_531_420_618).is_ok());
    assert!(judge(&slack, &secrets, &headers_, body, 1_531_420_618 + 3600).is_err());
}

#[test]
fn tokens_and_passwords_are_compared_whole() {
    let (_folder, secrets) = secrets(&[("one", "t0ken\n"), ("two", "t0ken-2")]);
    let bearer = scheme("bearer", serde_json::json!({ "tokens": [value("one"), value("two")] }));
    let basic = scheme("basic", serde_json::json!({ "username": {"value": "crm"}, "passwords": [value("one")] }));
    let ok = |verification: &Verification, text: &str| {
        judge(verification, &secrets, &headers(&[("authorization", text)]), b"", 0).is_ok()
    };
    assert!(ok(&bearer, "Bearer t0ken"));
    assert!(ok(&bearer, "bearer t0ken-2"));
    assert!(!ok(&bearer, "Bearer t0ken-"));
    assert!(!ok(&bearer, "Basic t0ken"));
    assert!(!ok(&bearer, "Bearer"));
    assert!(ok(&basic, &format!("Basic {}", BASE64_STANDARD.encode("crm:t0ken"))));
    assert!(!ok(&basic, &format!("Basic {}", BASE64_STANDARD.encode("crm:t0ken2"))));
    assert!(!ok(&basic, &format!("Basic {}", BASE64_STANDARD.encode("crx:t0ken"))));
}

#[test]
fn without_any_usable_secret_we_say_that_we_are_unable() {
    let (_folder, secrets) = secrets(&[]);
    let bearer = scheme("bearer", serde_json::json!({ "tokens": [value("missing")] }));
    let error = judge(&bearer, &secrets, &headers(&[("authorization", "Bearer x")]), b"", 0).unwrap_err();
    assert!(matches!(error, VerifyError::Unable(SecretError::Missing { .. })), "{error:?}");
}

mod certificate;
mod vendors;
