//! The request for a token. Pure: what Secrets hold, the time and a random name come in.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use ropeway_crds::auth::{ClientAssertion, ClientSecretPlace, JwtBearer, OAuth2};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::assertion::sign;
use crate::{azure::certificate::Certificate, http::Request, token::TokenError};

/// How long a statement is good: some servers refuse more than three minutes.
const STATEMENT_LASTS: i64 = 120;

/// What Secrets hold for a token request.
#[derive(Clone, Debug)]
pub struct Material {
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: Option<SecretString>,
    /// The key of the client's statement.
    pub client_key: Option<SecretString>,
    /// The key of the grant's statement.
    pub grant_key: Option<SecretString>,
    /// The subject of the grant's statement.
    pub subject: Option<String>,
    /// A statement of the client that is made elsewhere.
    pub client_statement: Option<SecretString>,
    /// What such a statement is made with.
    pub(crate) certificate: Option<Certificate>,
}

/// What is exchanged for a token.
#[derive(Clone, Copy, Debug)]
pub enum Exchange<'a> {
    /// What the client has of its own: the grant of its description.
    Own,
    /// A refresh token.
    Refresh(&'a SecretString),
    /// A person's consent (RFC 7636 §4.5).
    Code {
        /// The code that came with it.
        code: &'a SecretString,
        /// What proves that it was asked for by us.
        verifier: &'a SecretString,
        /// Where it was sent.
        redirect: &'a str,
    },
}

/// What differs between two requests of the same client.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Two names that were never used before, one for each statement: servers refuse one that they have seen.
    pub fresh: [String; 2],
}

/// The parameters that are set here; a parameter of the user's does not replace them.
const OURS: [&str; 12] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "assertion",
    "scope",
    "audience",
    "refresh_token",
    "code",
    "code_verifier",
    "redirect_uri",
];

/// The request for a token at this endpoint.
///
/// # Errors
/// If a key can't sign, or the endpoint can't be asked.
pub fn request(
    spec: &OAuth2,
    endpoint: &str,
    exchange: Exchange<'_>,
    material: &Material,
    moment: &Moment,
) -> Result<Request, TokenError> {
    let unusable = |message: String| TokenError::Unusable(message);
    let mut headers = HeaderMap::new();
    let mut form = form_urlencoded::Serializer::new(String::new());
    match exchange {
        Exchange::Own => {
            form.append_pair("grant_type", spec.grant.grant_type());
        }
        Exchange::Refresh(token) => {
            form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose_secret());
        }
        Exchange::Code { code, verifier, redirect } => {
            form.append_pair("grant_type", "authorization_code")
                .append_pair("code", code.expose_secret())
                .append_pair("code_verifier", verifier.expose_secret())
                .append_pair("redirect_uri", redirect);
        }
    }
    if let Some(assertion) = &spec.assertion {
        form.append_pair("assertion", grant_statement(assertion, endpoint, material, moment)?.expose_secret());
    }
    match (&material.client_secret, &spec.client_assertion) {
        (Some(secret), _) if spec.client_secret_in.unwrap_or_default() == ClientSecretPlace::Header => {
            let pair = format!("{}:{}", encoded(&material.client_id), encoded(secret.expose_secret()));
            let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
                .expect("base64 may stand in a header");
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        (secret, assertion) => {
            form.append_pair("client_id", &material.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret.expose_secret());
            }
            let made = assertion.as_ref().map(|assertion| client_statement(assertion, endpoint, material, moment));
            if let Some(statement) = made.transpose()?.as_ref().or(material.client_statement.as_ref()) {
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.append_pair("client_assertion", statement.expose_secret());
            }
        }
    }
    // A consent has its scopes already.
    let scopes = spec.scopes.as_ref().filter(|scopes| !scopes.is_empty() && matches!(exchange, Exchange::Own));
    if let Some(scopes) = scopes {
        form.append_pair("scope", &scopes.join(" "));
    }
    if let Some(audience) = &spec.audience {
        form.append_pair("audience", audience);
    }
    for parameter in spec.parameters.iter().flatten().filter(|given| !OURS.contains(&given.name.as_str())) {
        form.append_pair(&parameter.name, &parameter.value);
    }
    let form = form.finish();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let uri = Uri::try_from(endpoint).map_err(|_| unusable("the token endpoint's address can't be asked".into()))?;
    Ok(Request { method: Method::POST, uri, headers, body: form.into() })
}

/// What a server may echo and nobody else may see.
pub fn secrets<'a>(exchange: Exchange<'a>, material: &'a Material) -> Vec<&'a SecretString> {
    let Material { client_id: _, client_secret, client_key, grant_key, subject: _, client_statement, certificate } =
        material;
    let certificate = certificate.iter().map(|held| &held.key);
    let exchanged = match exchange {
        Exchange::Own => vec![],
        Exchange::Refresh(token) => vec![token],
        Exchange::Code { code, verifier, redirect: _ } => vec![code, verifier],
    };
    client_secret
        .iter()
        .chain(client_key)
        .chain(grant_key)
        .chain(client_statement)
        .chain(certificate)
        .chain(exchanged)
        .collect()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub(crate) fn claims(issuer: &str, subject: &str, audience: &str, fresh: &str, now: Timestamp) -> Map<String, Value> {
    let now = now.as_second();
    Map::from_iter([
        ("iss".into(), issuer.into()),
        ("sub".into(), subject.into()),
        ("aud".into(), audience.into()),
        ("jti".into(), fresh.into()),
        ("iat".into(), now.into()),
        ("exp".into(), (now + STATEMENT_LASTS).into()),
    ])
}

fn key_id(id: Option<&String>) -> Map<String, Value> {
    id.map(|id| ("kid".to_owned(), Value::from(id.as_str()))).into_iter().collect()
}

fn client_statement(
    spec: &ClientAssertion,
    endpoint: &str,
    material: &Material,
    moment: &Moment,
) -> Result<SecretString, TokenError> {
    let Some(key) = &material.client_key else { return Err(no_key("clientAssertion")) };
    let audience = spec.audience.as_deref().unwrap_or(endpoint);
    let claims = claims(&material.client_id, &material.client_id, audience, &moment.fresh[0], moment.now);
    sign(spec.algorithm, key.expose_secret().as_bytes(), key_id(spec.key_id.as_ref()), &claims)
        .map_err(|error| TokenError::Unusable(format!("the Secret of oauth2.clientAssertion.key {error}")))
}

fn grant_statement(
    spec: &JwtBearer,
    endpoint: &str,
    material: &Material,
    moment: &Moment,
) -> Result<SecretString, TokenError> {
    let (Some(key), Some(subject)) = (&material.grant_key, &material.subject) else {
        return Err(no_key("assertion"));
    };
    let issuer = spec.issuer.as_deref().unwrap_or(&material.client_id);
    let audience = spec.audience.as_deref().unwrap_or(endpoint);
    let claims = claims(issuer, subject, audience, &moment.fresh[1], moment.now);
    sign(spec.algorithm, key.expose_secret().as_bytes(), key_id(spec.key_id.as_ref()), &claims)
        .map_err(|error| TokenError::Unusable(format!("the Secret of oauth2.assertion.key {error}")))
}

fn no_key(field: &str) -> TokenError {
    TokenError::Unusable(format!("oauth2.{field} lacks its key"))
}
