//! TLS that is ended by the worker: the certificate comes from a mounted Secret and is used anew when it changes.

use std::sync::Arc;

use ropeway_crds::secret_ref::{SecretKeyRef, SecretNameRef};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use secrecy::{ExposeSecret, SecretSlice};
use tokio_rustls::TlsAcceptor;

use ropeway_auth::secret::{Made, SecretError, Secrets};

/// A certificate can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerTlsError {
    /// The Secret is missing or lacks a key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Certificate and key are not what they should be.
    #[error("the Secret {name} of webhook.tls holds no usable certificate and key in PEM: {why}")]
    Unusable {
        /// Name of the Secret.
        name: String,
        /// What is wrong, without content.
        why: String,
    },
}

/// What senders are shown.
#[derive(Debug)]
pub struct ServerTls {
    certificate: SecretNameRef,
    secrets: Secrets,
    made: Made<TlsAcceptor, 2>,
}

impl ServerTls {
    /// With the certificate in this Secret.
    pub fn new(certificate: SecretNameRef, secrets: Secrets) -> Self {
        Self { certificate, secrets, made: Made::default() }
    }

    /// What ends TLS, with the certificate as it is now.
    ///
    /// # Errors
    /// See [`ServerTlsError`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, ServerTlsError> {
        let key = |key: &str| SecretKeyRef { name: self.certificate.name.clone(), key: key.to_owned() };
        let (chain, private) = (self.secrets.bytes(&key("tls.crt"))?, self.secrets.bytes(&key("tls.key"))?);
        let made = self.made.of([Some(Arc::clone(&chain)), Some(Arc::clone(&private))], |_| make(&chain, &private));
        match (made, self.made.last()) {
            (Ok(acceptor), _) => Ok((*acceptor).clone()),
            // In the middle of a rotation certificate and key may not fit each other: the last ones that did are used.
            (Err(_), Some(last)) => Ok((*last).clone()),
            (Err(why), None) => Err(ServerTlsError::Unusable { name: self.certificate.name.clone(), why }),
        }
    }
}

fn make(chain: &SecretSlice<u8>, private: &SecretSlice<u8>) -> Result<TlsAcceptor, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.expose_secret())
        .collect::<Result<_, _>>()
        .map_err(|_| "tls.crt".to_owned())?;
    let private = PrivateKeyDer::from_pem_slice(private.expose_secret()).map_err(|_| "tls.key".to_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(AskOnly(provider)))
        .with_single_cert(chain, private)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Asks for a certificate and sees that whoever shows one holds its key. Whether it is trusted is judged for each address,
/// in [`super::verify::certificate`]: one connection may carry requests for several.
#[derive(Debug)]
struct AskOnly(Arc<CryptoProvider>);

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
