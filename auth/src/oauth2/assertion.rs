//! Signed statements (JSON Web Tokens, RFC 7519) by which a client proves itself or says for whom it acts.
//!
//! They are signed by the library that TLS signs with: the one that verifies senders' tokens takes a time that depends on
//! the private key (RUSTSEC-2023-0071), and does not matter there, where no private key is.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ropeway_crds::auth::SigningAlgorithm;
use rustls::{SignatureScheme, crypto::ring::sign::any_supported_type};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// What is wrong with a key. No text holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// It is no private key in PEM.
    #[error("holds no private key in PEM")]
    NoKey,
    /// It is one that can't be used.
    #[error("holds a private key that can't be used; give RSA of at least 2048 bits, P-256 or Ed25519")]
    Unsupported,
    /// It is of another kind than the algorithm needs.
    #[error("holds a private key that does not sign with {0}")]
    Algorithm(&'static str),
}

/// Signs claims. `header` holds what the statement's header has beside `alg` and `typ`.
///
/// # Errors
/// If the key can't be used.
pub fn sign(
    algorithm: SigningAlgorithm,
    pem: &[u8],
    header: Map<String, Value>,
    claims: &Map<String, Value>,
) -> Result<SecretString, AssertionError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AssertionError::NoKey)?;
    let key = any_supported_type(&key).map_err(|_| AssertionError::Unsupported)?;
    let signer =
        key.choose_scheme(&[scheme(algorithm)]).ok_or_else(|| AssertionError::Algorithm(algorithm.as_str()))?;
    let mut head = Map::from_iter([("alg".into(), algorithm.as_str().into()), ("typ".into(), "JWT".into())]);
    head.extend(header);
    let part = |part: &Map<String, Value>| {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).expect("a map of JSON values is JSON"))
    };
    let signed = format!("{}.{}", part(&head), part(claims));
    let signature = signer.sign(signed.as_bytes()).map_err(|_| AssertionError::Unsupported)?;
    let signature = match algorithm {
        // TLS writes a signature on a curve as two numbers in DER, a token as two numbers of fixed length.
        SigningAlgorithm::Es256 => {
            p256::ecdsa::Signature::from_der(&signature).map_err(|_| AssertionError::Unsupported)?.to_bytes().to_vec()
        }
        _ => signature,
    };
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)).into())
}

fn scheme(algorithm: SigningAlgorithm) -> SignatureScheme {
    match algorithm {
        SigningAlgorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
        SigningAlgorithm::Ps256 => SignatureScheme::RSA_PSS_SHA256,
        SigningAlgorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        SigningAlgorithm::EdDsa => SignatureScheme::ED25519,
    }
}
