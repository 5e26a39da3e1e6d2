//! Puts credentials on a request. Pure but for the reading of mounted files.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Uri, header};
use ropeway_crds::{
    auth::{ApiKeyPlace, Auth},
    secret_ref::Value,
};
use secrecy::ExposeSecret;
use url::Url;

use super::{missing, unusable};
use crate::{
    provider::{Outcome, Request},
    secret::Secrets,
};

/// Puts the credentials on a request.
///
/// # Errors
/// A hold, if a Secret is missing or holds what can't be sent.
pub fn apply(auth: &Auth, secrets: &Secrets, request: &mut Request) -> Result<(), Outcome> {
    let Auth { bearer, basic, api_key } = auth;
    if let Some(bearer) = bearer {
        let token = secrets.text(bearer.token.key()).map_err(missing)?;
        let value = sensitive(format!("Bearer {}", token.expose_secret()), "auth.bearer.token")?;
        request.headers.insert(header::AUTHORIZATION, value);
    }
    if let Some(basic) = basic {
        let Value { value, value_from } = &basic.username;
        let username = secrets.value(value.as_deref(), value_from.as_ref()).map_err(missing)?;
        let password = match &basic.password {
            Some(password) => secrets.text(password.key()).map_err(missing)?.expose_secret().to_owned(),
            None => String::new(),
        };
        let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
        request.headers.insert(header::AUTHORIZATION, sensitive(format!("Basic {pair}"), "auth.basic")?);
    }
    if let Some(api_key) = api_key {
        let value = secrets.text(api_key.value.key()).map_err(missing)?;
        let value = value.expose_secret();
        match api_key.place {
            ApiKeyPlace::Header => {
                let name = HeaderName::try_from(&api_key.name).map_err(|_| {
                    unusable(format!("auth.apiKey.name {:?} is not the name of a header", api_key.name))
                })?;
                request.headers.insert(name, sensitive(value.to_owned(), "auth.apiKey.value")?);
            }
            ApiKeyPlace::Query => {
                request.uri = with_query(&request.uri, &api_key.name, value)?;
            }
            ApiKeyPlace::Body => into_body(&api_key.name, value, request)?,
        }
    }
    Ok(())
}

/// An address with one more pair in its query. No error says what the pair holds.
fn with_query(uri: &Uri, name: &str, value: &str) -> Result<Uri, Outcome> {
    let refuse = || unusable("auth.apiKey can't be put into the query of the provider's URL".into());
    let mut url = Url::parse(&uri.to_string()).map_err(|_| refuse())?;
    url.query_pairs_mut().append_pair(name, value);
    Uri::try_from(url.as_str()).map_err(|_| refuse())
}

fn sensitive(value: String, field: &str) -> Result<HeaderValue, Outcome> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| unusable(format!("the Secret of {field} holds what no header may hold")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn into_body(name: &str, value: &str, request: &mut Request) -> Result<(), Outcome> {
    let not_an_object = || unusable("auth.apiKey.in is Body, but the record is not a JSON object".into());
    let mut body: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&request.body).map_err(|_| not_an_object())?;
    body.insert(name.to_owned(), value.into());
    request.body = serde_json::to_vec(&body).map_err(|_| not_an_object())?.into();
    Ok(())
}
