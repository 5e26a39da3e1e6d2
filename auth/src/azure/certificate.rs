//! The statement by which an application proves that it holds the key of its certificate. Pure.
//!
//! Source: "Microsoft identity platform application authentication certificate credentials".

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ropeway_crds::auth::SigningAlgorithm;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    oauth2::{
        assertion::sign,
        request::{Moment, claims},
    },
    token::TokenError,
};

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: SecretString,
    pub(crate) key: SecretString,
}

impl Certificate {
    /// Whether both are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        same(&self.certificate, &other.certificate) && same(&self.key, &other.key)
    }
}

/// The statement of this client for this endpoint.
pub(crate) fn statement(
    with: &Certificate,
    client_id: &str,
    endpoint: &str,
    moment: &Moment,
) -> Result<SecretString, TokenError> {
    let unusable = |what: String| TokenError::Unusable(format!("the Secret of credential.certificateRef {what}"));
    let certificate = CertificateDer::from_pem_slice(with.certificate.expose_secret().as_bytes())
        .map_err(|_| unusable("holds no certificate in PEM in tls.crt".into()))?;
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
    let header = Map::from_iter([("x5t#S256".to_owned(), Value::from(thumbprint))]);
    let mut claims = claims(client_id, client_id, endpoint, &moment.fresh[0], moment.now);
    claims.insert("nbf".into(), moment.now.as_second().into());
    sign(SigningAlgorithm::Ps256, with.key.expose_secret().as_bytes(), header, &claims)
        .map_err(|error| unusable(format!("{error}; Entra ID takes RSA")))
}
