//! How connections to vendors are made: names are resolved, addresses checked, and TLS begun with the platform's
//! authorities and those that a Destination brings. Part of the door in [`super::http`].

use std::{
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::{ClientConfig, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::address::AddressPolicy;

/// How long a connection may take to come about, TLS included.
const PATIENCE: Duration = Duration::from_secs(10);

type Source = Box<dyn Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Source>> + Send>>;

/// Makes connections to addresses that deliveries may go to.
#[derive(Clone, Debug)]
pub struct Connector(HttpsConnector<HttpConnector<CheckedResolver>>);

impl Connector {
    /// A connector with this address policy, these certificates, and, if it is not the host, the name that the other side
    /// must show.
    pub fn new(
        addresses: Arc<AddressPolicy>,
        tls: Arc<ClientConfig>,
        server_name: Option<ServerName<'static>>,
    ) -> Self {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver(addresses));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(PATIENCE));
        http.set_keepalive(Some(Duration::from_secs(15)));
        http.set_keepalive_interval(Some(Duration::from_secs(15)));
        http.set_keepalive_retries(Some(3));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(Duration::from_secs(30)));
        let names: Arc<dyn ResolveServerName + Send + Sync> = match server_name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name)),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        Self(HttpsConnector::new(http, tls, false, names))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Source;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let late = |_| Source::from(io::Error::new(io::ErrorKind::TimedOut, "operation timed out"));
            tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?
        })
    }
}

/// A resolver that hands on only addresses that deliveries may go to.
#[derive(Clone, Debug)]
struct CheckedResolver(Arc<AddressPolicy>);

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Source;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(policy.allowed(name.as_str(), found)?.into_iter())
        })
    }
}

/// What TLS is begun with, from PEM: an authority beside the platform's, and a certificate to show with its key. Without
/// any of them all lanes of a worker share one, which holds the platform's authorities once.
///
/// # Errors
/// Says what can't be used, without its content.
pub fn tls(
    authority: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<Arc<ClientConfig>, String> {
    static PLAIN: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);
    if authority.is_some() || certificate.is_some() {
        return make_tls(authority, certificate, key).map(Arc::new);
    }
    let mut plain = PLAIN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plain) = &*plain {
        return Ok(Arc::clone(plain));
    }
    let made = Arc::new(make_tls(None, None, None)?);
    *plain = Some(Arc::clone(&made));
    Ok(made)
}

fn make_tls(
    authority: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<ClientConfig, String> {
    let unusable = |field: &str| format!("the Secret of {field} does not hold usable PEM");
    let failed = |error: rustls::Error| chain("builder error", &error);
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let authorities = certificates(&authority.unwrap_or_default()).ok_or_else(|| unusable("tls.caRef"))?;
    let verifier = if authorities.is_empty() {
        Verifier::new(Arc::clone(&provider))
    } else {
        Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier.map_err(failed)?));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let pem = [certificate, b"\n".to_vec(), key.unwrap_or_default()].concat();
            let refuse = || unusable("tls.clientCertificateRef");
            let shown = certificates(&pem).filter(|shown| !shown.is_empty()).ok_or_else(refuse)?;
            let key = PrivateKeyDer::pem_slice_iter(&pem).last().and_then(Result::ok).ok_or_else(refuse)?;
            builder.with_client_auth_cert(shown, key).map_err(failed)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// An error with its causes after a word on what was done, without repeats.
pub fn chain(what: &str, error: &dyn Error) -> String {
    let mut parts = vec![what.to_owned()];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    parts.join(": ")
}
