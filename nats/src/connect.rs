//! Settings in, a connected client out.

use std::{path::Path, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// How to reach NATS. Made from the entries of a Secret, whether they are read from the API or from a mounted folder.
///
/// | entry | meaning |
/// |---|---|
/// | `url` | one or more addresses, separated by commas |
/// | `username`, `password` | user and password |
/// | `token` | a token |
/// | `nkey` | an NKEY seed |
/// | `user.creds` | a credentials file (JWT and seed) |
/// | `ca.crt` | PEM certificates of authorities that are trusted in addition |
/// | `tls.crt`, `tls.key` | the certificate that we present, PEM |
#[derive(Clone, Default)]
pub struct Settings {
    /// The addresses.
    pub url: String,
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    nkey: Option<String>,
    credentials: Option<String>,
    authority: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// NATS can't be reached as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An entry is not what its name says.
    #[error("the entry {entry} of the NATS Secret is not {expected}")]
    Entry {
        /// Name of the entry.
        entry: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The server refused the credentials.
    #[error("NATS at {url} refused the credentials; check the entries of the NATS Secret")]
    Unauthorized {
        /// The addresses, without credentials.
        url: String,
    },
    /// The server could not be reached.
    #[error("failed to connect to NATS at {url}")]
    Unreachable {
        /// The addresses, without credentials.
        url: String,
        /// What went wrong.
        #[source]
        source: async_nats::ConnectError,
    },
}

impl Settings {
    /// Settings for an open server at these addresses.
    pub fn open(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Settings from named entries; `default_url` stands in for a missing `url`.
    ///
    /// # Errors
    /// Names an entry that is not text.
    pub fn from_entries(default_url: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self, ConnectError> {
        let text = |entry: &'static str| match read(entry).map(String::from_utf8) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())),
            Some(Err(_)) => Err(ConnectError::Entry { entry, expected: "UTF-8 text" }),
        };
        Ok(Self {
            url: text("url")?.unwrap_or_else(|| default_url.to_owned()),
            username: text("username")?,
            password: text("password")?,
            token: text("token")?,
            nkey: text("nkey")?,
            credentials: text("user.creds")?,
            authority: read("ca.crt"),
            certificate: read("tls.crt"),
            key: read("tls.key"),
        })
    }

    /// Settings from a mounted Secret. A folder that is missing is one without entries.
    ///
    /// # Errors
    /// As [`Settings::from_entries`].
    pub fn from_folder(default_url: &str, folder: &Path) -> Result<Self, ConnectError> {
        Self::from_entries(default_url, |entry| std::fs::read(folder.join(entry)).ok())
    }

    fn options(&self, name: &str) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(Duration::from_secs(5))
            .request_timeout(Some(Duration::from_secs(5)))
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|attempt| {
                // 50 ms, 100 ms, … at most 2 s: the broker coming back is felt at once and never stormed.
                Duration::from_millis((25u64 << attempt.min(7)).min(2_000))
            });
        if let (Some(username), Some(password)) = (&self.username, &self.password) {
            options = options.user_and_password(username.clone(), password.clone());
        }
        if let Some(token) = &self.token {
            options = options.token(token.clone());
        }
        if let Some(nkey) = &self.nkey {
            options = options.nkey(nkey.clone());
        }
        if let Some(credentials) = &self.credentials {
            options = options
                .credentials(credentials)
                .map_err(|_| ConnectError::Entry { entry: "user.creds", expected: "a NATS credentials file" })?;
        }
        if let Some(tls) = self.tls()? {
            options = options.require_tls(true).tls_client_config(tls);
        }
        Ok(options)
    }

    /// The TLS settings, where the entries say more than the defaults do.
    fn tls(&self) -> Result<Option<rustls::ClientConfig>, ConnectError> {
        let own = self.certificate.as_deref().zip(self.key.as_deref());
        if self.authority.is_none() && own.is_none() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        match &self.authority {
            Some(pem) => {
                for certificate in certificates(pem, "ca.crt")? {
                    roots.add(certificate).map_err(|_| not_pem("ca.crt"))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions of TLS")
            .with_root_certificates(roots);
        let Some((certificate, key)) = own else { return Ok(Some(builder.with_no_client_auth())) };
        let chain = certificates(certificate, "tls.crt")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| not_pem("tls.key"))?;
        builder
            .with_client_auth_cert(chain, key)
            .map(Some)
            .map_err(|_| ConnectError::Entry { entry: "tls.key", expected: "the key of the certificate in tls.crt" })
    }
}

fn certificates(pem: &[u8], entry: &'static str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| not_pem(entry))
}

fn not_pem(entry: &'static str) -> ConnectError {
    ConnectError::Entry { entry, expected: "PEM" }
}

/// Connects, and fails if that takes longer than ten seconds. Once connected, the client reconnects by itself for ever.
///
/// # Errors
/// Tells an unusable entry, refused credentials and an unreachable server apart; no credential is part of any text.
pub async fn connect(settings: &Settings, name: &str) -> Result<Client, ConnectError> {
    let url = settings.url.clone();
    let addresses: Vec<&str> = settings.url.split(',').map(str::trim).collect();
    settings.options(name)?.connect(addresses).await.map_err(|source| match source.kind() {
        async_nats::ConnectErrorKind::AuthorizationViolation | async_nats::ConnectErrorKind::Authentication => {
            ConnectError::Unauthorized { url }
        }
        _ => ConnectError::Unreachable { url, source },
    })
}
