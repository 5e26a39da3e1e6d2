use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use ropeway_crds::auth::OAuth2;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    answer::{Asked, answer},
    request::{Exchange, Material, Moment, request},
};
use crate::{
    http::{Request, Response},
    token::TokenError,
};

const ENDPOINT: &str = "https://login.example.com/token?tenant=1";

fn spec(extra: Value) -> OAuth2 {
    let mut spec = json!({ "grant": "ClientCredentials", "tokenUrl": ENDPOINT, "clientId": { "value": "id" } });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn key() -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } })
}

fn material(secret: Option<&str>, pem: Option<&str>) -> Material {
    let secret_of = |text: &str| SecretString::from(text.to_owned());
    Material {
        client_id: "an id+&".into(),
        client_secret: secret.map(secret_of),
        client_key: pem.map(secret_of),
        grant_key: pem.map(secret_of),
        subject: Some("user@example.com".into()),
        client_statement: None,
        certificate: None,
    }
}

fn made(spec: &OAuth2, material: &Material) -> Result<Request, TokenError> {
    let moment = Moment { now: Timestamp::from_second(1000).unwrap(), fresh: ["one".into(), "two".into()] };
    request(spec, ENDPOINT, Exchange::Own, material, &moment)
}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

#[test]
fn a_secret_goes_into_the_header_form_encoded_or_into_the_form() {
    // RFC 6749 §2.3.1: both are encoded before they are put together, which most clients forget.
    let header = made(&spec(json!({ "clientSecret": key() })), &material(Some("p@ss +/%&=:"), None)).unwrap();
    let value = header.headers["authorization"].clone();
    assert!(value.is_sensitive());
    let pair = base64::prelude::BASE64_STANDARD.decode(&value.as_bytes()[b"Basic ".len()..]).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "an+id%2B%26:p%40ss+%2B%2F%25%26%3D%3A");
    assert_eq!(form(&header), BTreeMap::from([("grant_type".into(), "client_credentials".into())]));
    let body = spec(json!({ "clientSecret": key(), "clientSecretIn": "Body" }));
    let body = made(&body, &material(Some("p@ss +/%&=:"), None)).unwrap();
    assert!(body.headers.get("authorization").is_none());
    let form = form(&body);
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("an id+&", "p@ss +/%&=:"));
    assert_eq!(body.uri, ENDPOINT);
}

#[test]
fn scopes_audience_and_parameters_are_sent_and_no_parameter_replaces_ours() {
    let parameters = json!([{ "name": "resource", "value": "https://a" }, { "name": "client_id", "value": "other" }]);
    let extra = json!({ "clientSecret": key(), "scopes": ["a", "b"], "audience": "x", "parameters": parameters });
    let form = form(&made(&spec(extra), &material(Some("s"), None)).unwrap());
    let sent: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected =
        [("audience", "x"), ("grant_type", "client_credentials"), ("resource", "https://a"), ("scope", "a b")];
    assert_eq!(sent, expected);
}

#[test]
fn statements_name_the_endpoint_and_end_soon() {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let assertion = json!({ "key": key(), "algorithm": "ES256", "keyId": "k1" });
    let bearer = json!({ "key": key(), "algorithm": "ES256", "subject": { "value": "u" }, "audience": "https://aud" });
    let extra = json!({ "grant": "JwtBearer", "clientAssertion": assertion, "assertion": bearer });
    let form = form(&made(&spec(extra), &material(None, Some(&pem))).unwrap());
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let part = |token: &str, place: usize| -> Value {
        let part = token.split('.').nth(place).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let client = &form["client_assertion"];
    assert_eq!(part(client, 0), json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }));
    let times = |extra: Value| {
        let mut claims = json!({ "iat": 1000, "exp": 1120 });
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        claims
    };
    let of_client = json!({ "iss": "an id+&", "sub": "an id+&", "aud": ENDPOINT, "jti": "one" });
    assert_eq!(part(client, 1), times(of_client));
    let of_grant = json!({ "iss": "an id+&", "sub": "user@example.com", "aud": "https://aud", "jti": "two" });
    assert_eq!(part(&form["assertion"], 1), times(of_grant));
}

#[test]
fn a_key_that_can_not_sign_is_named_and_not_shown() {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (pem, algorithm, told) in [
        ("s3cret", "ES256", "the Secret of oauth2.clientAssertion.key holds no private key in PEM"),
        (
            pem.as_str(),
            "RS256",
            "the Secret of oauth2.clientAssertion.key holds a private key that does not sign with RS256",
        ),
    ] {
        let spec = spec(json!({ "clientAssertion": { "key": key(), "algorithm": algorithm } }));
        assert_eq!(made(&spec, &material(None, Some(pem))).unwrap_err().to_string(), told);
    }
}

fn response(status: u16, body: &str) -> Response {
    let body = Bytes::from(body.to_owned());
    Response { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body }
}

fn told(spec: &OAuth2, response: &Response) -> Result<(u64, u64, Option<i64>, String), TokenError> {
    let begin = Instant::now();
    let asked = Asked { instant: begin, time: Timestamp::from_second(1000).unwrap() };
    let secret = SecretString::from("s3cret".to_owned());
    answer(spec, response, asked, &[&secret]).map(|grant| {
        let after = |instant: Instant| (instant - begin).as_secs();
        let token = grant.access;
        let expires = token.expires.map(Timestamp::as_second);
        (after(token.renew), after(token.ends), expires, token.value.expose_secret().to_owned())
    })
}

#[test]
fn a_token_lasts_as_long_as_the_server_says_within_reason() {
    let plain = spec(json!({}));
    for (body, renew, ends, expires) in [
        (r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#, 3299, 3599, Some(4600)),
        (r#"{"access_token":"t","token_type":"bearer","expires_in":"100"}"#, 89, 99, Some(1100)),
        (r#"{"access_token":"t","expires_in":5.9}"#, 3, 4, Some(1005)),
        (r#"{"access_token":"t","expires_in":0}"#, 0, 0, Some(1001)),
        (r#"{"access_token":"t","expires_in":1e300}"#, 604_499, 604_799, Some(605_800)),
        (r#"{"access_token":"t","expires_in":-5}"#, 1619, 1799, None),
        (r#"{"access_token":"t","expires_in":"soon"}"#, 1619, 1799, None),
        (r#"{"access_token":"t"}"#, 1619, 1799, None),
    ] {
        assert_eq!(told(&plain, &response(200, body)), Ok((renew, ends, expires, "t".into())), "{body}");
    }
    let early = spec(json!({ "refreshBefore": "30m", "maxAge": "2h" }));
    let lasting = |body: &str| told(&early, &response(200, body)).unwrap();
    assert_eq!(lasting(r#"{"access_token":"t","expires_in":3600}"#).0, 1799);
    assert_eq!(lasting(r#"{"access_token":"t","expires_in":60}"#).0, 29, "half of a life that is shorter");
    assert_eq!(lasting(r#"{"access_token":"t"}"#).1, 7199);
}

#[test]
fn what_is_no_token_says_whether_it_passes() {
    let plain = spec(json!({}));
    let begins = |what: &str| format!("the token endpoint login.example.com answered {what}");
    for (status, body, refused, what) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"assertion expired"}"#,
            true,
            "400: invalid_grant: assertion expired",
        ),
        (401, r#"{"error":"invalid_client"}"#, true, "401: invalid_client"),
        (
            401,
            r#"{"error":"invalid_client","error_description":"no s3cret\nhere"}"#,
            true,
            "401: invalid_client: no … here",
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"bad Authorization: Basic aWQ6czNjcmV0czNjcmV0czNjcmV0, trace 5c1a7d3e-9b8f-4c21-8d3f-5b6a7c8d9e0f"}"#,
            true,
            "400: invalid_request: bad Authorization: Basic …, trace 5c1a7d3e-9b8f-4c21-8d3f-5b6a7c8d9e0f",
        ),
        (403, "<html>", true, "403"),
        (404, "", true, "404: there is nothing at this address"),
        (302, "", true, "302: it redirects; give the final address"),
        (400, r#"{"error":"temporarily_unavailable"}"#, false, "400: temporarily_unavailable"),
        (429, r#"{"error":"slow_down"}"#, false, "429: slow_down"),
        (500, "s3cret", false, "500"),
        (503, r#"{"error":"server_error"}"#, false, "503: server_error"),
        (200, "<html>", false, "200 without an access token"),
        (200, r#"{"access_token":""}"#, false, "200 with an access token that no header may hold"),
        (200, "{\"access_token\":\"a\\nb\"}", false, "200 with an access token that no header may hold"),
        (200, r#"{"token":"t"}"#, false, "200 without an access token"),
    ] {
        let error = told(&plain, &response(status, body)).unwrap_err();
        assert_eq!(error.to_string(), begins(what), "{status} {body}");
        assert_eq!(matches!(error, TokenError::Refused(_) | TokenError::GrantRefused(_)), refused, "{status} {body}");
    }
    let other = told(&plain, &response(200, r#"{"access_token":"t","token_type":"DPoP"}"#)).unwrap_err();
    assert_eq!(
        other,
        TokenError::Refused("the token endpoint login.example.com gives tokens of the type DPoP, not Bearer".into())
    );
    let mut busy = response(429, "");
    busy.headers.insert("retry-after", HeaderValue::from_static("7"));
    let after = match told(&plain, &busy) {
        Err(TokenError::Unavailable { after, .. }) => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after, Some(Duration::from_secs(7)));
}
