//! Each vendor's published vector where there is one, and for every vendor the table of what must be refused.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value as Json, json};

use super::*;

/// A request that a vendor's scheme accepts, and how to write it.
struct Good {
    field: &'static str,
    scheme: Json,
    secret: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    now: i64,
    /// Whether the scheme covers a time.
    timed: bool,
}

const NOW: i64 = 1_614_265_330;

fn hex(key: &[u8], signed: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&super::super::hmac::digest(HmacAlgorithm::Sha256, key, signed))
}

fn keys() -> Json {
    json!({ "secrets": [value("old"), value("new")] })
}

/// Every vendor with a request that it would send, with bytes that are easy to get wrong.
fn every_vendor() -> Vec<Good> {
    let body = "{\"name\":\"J\u{f6}rg \\u003c3\",\r\n\"n\":1.0}\r\n".as_bytes().to_vec();
    let text = String::from_utf8(body.clone()).unwrap();
    let secret = "s3cret";
    let of = |field, headers: Vec<(&'static str, String)>, timed| Good {
        field,
        scheme: keys(),
        secret,
        headers,
        body: body.clone(),
        now: NOW,
        timed,
    };
    let key = secret.as_bytes();
    let base64 = |signed: &str| {
        BASE64_STANDARD.encode(super::super::hmac::digest(HmacAlgorithm::Sha256, key, signed.as_bytes()))
    };
    let url = "https://hooks.example.com/hooks/signups?a=1";
    let millis = (NOW * 1000).to_string();
    let lever = json!({
        "id": "e1", "token": "t1", "triggeredAt": NOW * 1000, "event": "candidateHired",
        "signature": hex(key, format!("t1{}", NOW * 1000).as_bytes()),
    });
    let sha1 = data_encoding::HEXLOWER.encode(&super::super::hmac::digest(HmacAlgorithm::Sha1, key, &body));
    vec![
        of(
            "github",
            vec![("x-hub-signature-256", format!("sha256={}", hex(key, &body))), ("x-github-delivery", "d1".into())],
            false,
        ),
        of(
            "stripe",
            vec![(
                "stripe-signature",
                format!("t={NOW},v1={},v1={}", "0".repeat(64), hex(key, format!("{NOW}.{text}").as_bytes())),
            )],
            true,
        ),
        of("shopify", vec![("x-shopify-hmac-sha256", base64(&text)), ("x-shopify-webhook-id", "d1".into())], false),
        of(
            "hubspot",
            vec![
                ("x-hubspot-request-timestamp", millis.clone()),
                ("x-hubspot-signature-v3", base64(&format!("POST{url}{text}{millis}"))),
            ],
            true,
        ),
        of("segment", vec![("x-signature", sha1)], false),
        of(
            "greenhouse",
            vec![("signature", format!("sha256 {}", hex(key, &body))), ("greenhouse-event-id", "d1".into())],
            false,
        ),
        Good { body: lever.to_string().into_bytes(), ..of("lever", Vec::new(), true) },
        of(
            "slack",
            vec![
                ("x-slack-request-timestamp", NOW.to_string()),
                ("x-slack-signature", format!("v0={}", hex(key, format!("v0:{NOW}:{text}").as_bytes()))),
            ],
            true,
        ),
    ]
}

fn verdict(good: &Good, pairs: &[(&str, String)], body: &[u8], now: i64, values: &[(&str, &str)]) -> bool {
    let (_folder, secrets) = secrets(values);
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    judge(&scheme(good.field, good.scheme.clone()), &secrets, &headers(&pairs), body, now).is_ok()
}

#[test]
fn every_vendors_own_request_is_verified_by_either_key_and_the_table_of_wrong_ones_is_refused() {
    for good in every_vendor() {
        let Good { field, secret, headers, body, now, timed, .. } = &good;
        let (body, now) = (body.as_slice(), *now);
        let with = [("old", "an-older-one"), ("new", *secret)];
        assert!(verdict(&good, headers, body, now, &with), "{field}");
        assert!(verdict(&good, headers, body, now, &[("old", secret), ("new", "a-newer-one")]), "{field}: rotation");
        assert!(!verdict(&good, headers, body, now, &[("old", "x"), ("new", "y")]), "{field}: wrong keys");
        assert!(!verdict(&good, headers, body, now, &[("old", ""), ("new", "\n")]), "{field}: empty secrets");
        assert!(!verdict(&good, headers, &body[..body.len() - 1], now, &with), "{field}: truncated");
        if *field != "lever" {
            // Lever does not sign its payload, which the documentation says.
            let mut altered = body.to_vec();
            altered[3] ^= 1;
            assert!(!verdict(&good, headers, &altered, now, &with), "{field}: an altered byte");
        }
        assert_eq!(verdict(&good, headers, body, now + 301, &with), !timed, "{field}: stale");
        assert_eq!(verdict(&good, headers, body, now - 301, &with), !timed, "{field}: from the future");
        for at in 0..headers.len() {
            let mut without = headers.clone();
            let dropped = without.remove(at);
            assert!(!verdict(&good, &without, body, now, &with), "{field}: without {}", dropped.0);
            let mut twice = headers.clone();
            twice.push(dropped.clone());
            assert!(!verdict(&good, &twice, body, now, &with), "{field}: {} twice", dropped.0);
        }
        for header in headers.iter().filter(|(name, _)| name.contains("signature") || name.contains("hmac")) {
            let mut other = headers.clone();
            other.retain(|(name, _)| name != &header.0);
            for value in [header.1.to_uppercase() + "0", header.1[..header.1.len() / 2].to_owned(), "é".to_owned()] {
                let mut pairs = other.clone();
                pairs.push((header.0, value));
                assert!(!verdict(&good, &pairs, body, now, &with), "{field}: another signature");
            }
        }
    }
}

#[test]
fn githubs_and_slacks_published_vectors_are_verified() {
    let (_folder, secrets) =
        secrets(&[("old", "It's a Secret to Everybody"), ("new", "8f742231b10e8888abcd99yyyzzz85a5")]);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let given = headers(&[("x-hub-signature-256", signature), ("x-github-delivery", "72d3162e")]);
    let verified = judge(&scheme("github", keys()), &secrets, &given, b"Hello, World!", 0).unwrap();
    assert_eq!(verified.id.as_deref(), Some("72d3162e"));
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let given = headers(&[
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("x-slack-request-timestamp", "1531420618"),
    ]);
    assert!(judge(&scheme("slack", keys()), &secrets, &given, body, 1_531_420_618).is_ok());
}

/// The vectors of HubSpot's page on validation and of its client library.
#[test]
fn hubspots_published_vectors_are_verified() {
    let (_folder, secrets) = secrets(&[("old", "x"), ("new", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy")]);
    let body = br#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
    let cases: [(&str, Method, &[u8], &str); 3] = [
        ("V1", Method::POST, body, "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"),
        ("V2", Method::GET, b"", "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"),
        (
            "V2",
            Method::POST,
            br#"{"example_field":"example_value"}"#,
            "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900",
        ),
    ];
    for (version, method, body, signature) in cases {
        let mut spec = keys();
        spec["version"] = json!(version);
        let spec = scheme("hubspot", spec);
        let given = headers(&[("x-hubspot-signature", signature)]);
        let peer = Peer { address: "192.0.2.1:40000".parse().unwrap(), secure: false, certificates: Arc::default() };
        let url = Some("https://www.example.com/webhook_uri");
        let request = SignedRequest { method: &method, path: "/webhook_uri", url, headers: &given, body, peer: &peer };
        let judged = super::super::judge(&scheme_of(&spec), &secrets, request, Timestamp::UNIX_EPOCH);
        assert!(judged.is_ok(), "{version} {method}");
        let elsewhere = SignedRequest { url: Some("https://www.example.com/other"), ..request };
        let judged = super::super::judge(&scheme_of(&spec), &secrets, elsewhere, Timestamp::UNIX_EPOCH);
        assert_eq!(judged.is_ok(), version == "V1", "{version} {method} at another address");
    }
}

#[test]
fn hubspots_addresses_are_verified_as_they_were_called_and_as_its_page_writes_them() {
    let (_folder, secrets) = secrets(&[("old", "x"), ("new", "s3cret")]);
    let sign = |url: &str| {
        let signed = format!("POST{url}{{}}{}", NOW * 1000);
        BASE64_STANDARD.encode(super::super::hmac::digest(HmacAlgorithm::Sha256, b"s3cret", signed.as_bytes()))
    };
    let called = "https://hooks.example.com/a%3Ab?to=x%40y.z&q=%20";
    for signed in [called, "https://hooks.example.com/a:b?to=x@y.z&q=%20"] {
        let millis = (NOW * 1000).to_string();
        let given =
            headers(&[("x-hubspot-request-timestamp", &millis), ("x-hubspot-signature-v3", sign(signed).as_str())]);
        let peer = Peer { address: "192.0.2.1:40000".parse().unwrap(), secure: false, certificates: Arc::default() };
        let (method, headers, body) = (&Method::POST, &given, b"{}".as_slice());
        let request = SignedRequest { method, path: "/", url: Some(called), headers, body, peer: &peer };
        let now = Timestamp::from_second(NOW).unwrap();
        assert!(
            super::super::judge(&scheme_of(&scheme("hubspot", keys())), &secrets, request, now).is_ok(),
            "{signed}"
        );
    }
}

/// The fixture that SendGrid's own libraries test with; without the line break at the end it is refused.
#[test]
fn sendgrids_published_vector_is_verified_with_its_line_break() {
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    let body = concat!(
        r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","#,
        r#""sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","#,
        r#""sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","#,
        r#""smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
        "\r\n"
    );
    let (_folder, secrets) = secrets(&[]);
    let judged = |key: &str, time: &str, body: &str, now: i64| {
        let spec = scheme("sendgrid", json!({ "publicKeys": [{ "value": "AAAA" }, { "value": key }] }));
        let given = headers(&[
            ("x-twilio-email-event-webhook-signature", signature),
            ("x-twilio-email-event-webhook-timestamp", time),
        ]);
        judge(&spec, &secrets, &given, body.as_bytes(), now).is_ok()
    };
    assert!(judged(KEY, "1600112502", body, 1_600_112_502));
    assert!(!judged(KEY, "1600112502", body.trim_end(), 1_600_112_502), "without the line break");
    assert!(!judged(KEY, "1600112503", body, 1_600_112_502), "another time");
    assert!(!judged(KEY, "1600112502", body, 1_600_112_502 + 301), "stale");
    assert!(!judged("bm90IGEga2V5", "1600112502", body, 1_600_112_502), "no key");
}

#[test]
fn ed25519_signatures_of_standard_webhooks_are_verified_beside_symmetric_ones() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = format!("whpk_{}", BASE64_STANDARD.encode(key.verifying_key().as_bytes()));
    let signature = key.sign(&[format!("{ID}.{TIME}.").as_bytes(), BODY].concat());
    let signature = format!("v1,AAAA v1a,{}", BASE64_STANDARD.encode(signature.to_bytes()));
    let (_folder, secrets) = secrets(&[("old", "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZA==")]);
    let judged = |spec: Json, prefix: &str, body: &[u8]| {
        let given = headers(&[
            (&format!("{prefix}-id"), ID),
            (&format!("{prefix}-timestamp"), &TIME.to_string()),
            (&format!("{prefix}-signature"), &signature),
        ]);
        judge(&scheme("standardWebhooks", spec), &secrets, &given, body, TIME).is_ok()
    };
    let asymmetric = json!({ "publicKeys": [{ "value": public }] });
    let both = json!({ "secrets": [value("old")], "publicKeys": [{ "value": public }] });
    for prefix in ["webhook", "svix"] {
        assert!(judged(asymmetric.clone(), prefix, BODY) && judged(both.clone(), prefix, BODY), "{prefix}");
        assert!(!judged(asymmetric.clone(), prefix, b"{}"), "{prefix}: another body");
    }
    assert!(!judged(json!({ "secrets": [value("old")] }), "webhook", BODY), "only a symmetric key is known");
}

#[test]
fn of_a_segment_batch_the_first_event_proves_it() {
    let (_folder, secrets) = secrets(&[("old", "x"), ("new", "s3cret")]);
    let first = "{\"messageId\":\"m1\",\"name\":\"J\u{f6}rg\"}";
    let digest = super::super::hmac::digest(HmacAlgorithm::Sha1, b"s3cret", first.as_bytes());
    let signature = data_encoding::HEXLOWER.encode(&digest);
    let judged = |body: &str| {
        let given = headers(&[("x-signature", &signature)]);
        judge(&scheme("segment", keys()), &secrets, &given, body.as_bytes(), 0).is_ok()
    };
    assert!(judged(first));
    assert!(judged(&format!("[{first},{{\"messageId\":\"m2\"}}]")));
    assert!(!judged(&format!("[{{\"messageId\":\"m2\"}},{first}]")));
    assert!(!judged("["));
    assert!(!judged("[]"));
}

#[test]
fn keys_are_found_in_headers_and_queries_once() {
    let (_folder, secrets) = secrets(&[("new", "1")]);
    let spec =
        |place: &str, name: &str| scheme("apiKey", json!({ "in": place, "name": name, "values": [value("new")] }));
    assert!(judge(&spec("Query", "a"), &secrets, &headers(&[]), b"", 0).is_ok());
    assert!(judge(&spec("Query", "b"), &secrets, &headers(&[]), b"", 0).is_err());
    assert!(judge(&spec("Header", "x-key"), &secrets, &headers(&[("x-key", "1")]), b"", 0).is_ok());
    assert!(judge(&spec("Header", "x-key"), &secrets, &headers(&[("x-key", "1"), ("x-key", "1")]), b"", 0).is_err());
}
