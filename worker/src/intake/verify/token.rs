//! Senders that show something they hold: a token, a password, a key.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use ropeway_crds::source::{ApiKeyPlace, ApiKeyVerification, BasicVerification, BearerVerification};
use secrecy::ExposeSecret;

use super::{SignedRequest, Verified, VerifyError, any, same, single};
use ropeway_auth::secret::Secrets;

/// A token in `Authorization: Bearer …`.
pub(super) fn bearer(
    scheme: &BearerVerification,
    secrets: &Secrets,
    headers: &HeaderMap,
) -> Result<Verified, VerifyError> {
    let given = credentials(headers, "bearer")?;
    any(&scheme.tokens, secrets, |token| same(token, given.as_bytes())).map(|()| Verified::default())
}

/// User name and password in `Authorization: Basic …`.
pub(super) fn basic(
    scheme: &BasicVerification,
    secrets: &Secrets,
    headers: &HeaderMap,
) -> Result<Verified, VerifyError> {
    let username = match scheme.username.key() {
        Some(key) => secrets.text(key)?.expose_secret().to_owned(),
        None => scheme.username.value.clone().unwrap_or_default(),
    };
    let given = credentials(headers, "basic")?;
    let given = BASE64_STANDARD.decode(given).map_err(|_| VerifyError::Refused("not base 64"))?;
    any(&scheme.passwords, secrets, |password| same(&[username.as_bytes(), b":", password].concat(), &given))
        .map(|()| Verified::default())
}

/// A key in a header or a query parameter.
pub(super) fn api_key(
    scheme: &ApiKeyVerification,
    secrets: &Secrets,
    request: SignedRequest<'_>,
) -> Result<Verified, VerifyError> {
    let given = match scheme.place {
        ApiKeyPlace::Header => single(request.headers, &scheme.name)?.to_owned(),
        ApiKeyPlace::Query => {
            let query = request.path.split_once('?').map_or("", |(_, query)| query);
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            let mut values = pairs.filter(|(name, _)| *name == scheme.name.as_str()).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (Some(value), None) => value.into_owned(),
                _ => return Err(VerifyError::Refused("the key is missing or there twice")),
            }
        }
    };
    any(&scheme.values, secrets, |key| same(key, given.as_bytes())).map(|()| Verified::default())
}

/// What follows the scheme's name in `Authorization`.
pub(super) fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, VerifyError> {
    let given = single(headers, header::AUTHORIZATION.as_str())?;
    let (name, given) = given.split_once(' ').ok_or(VerifyError::Refused("no credentials"))?;
    match name.eq_ignore_ascii_case(scheme) {
        true => Ok(given.trim()),
        false => Err(VerifyError::Refused("another scheme of credentials")),
    }
}
