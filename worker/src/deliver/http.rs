//! The door to the vendors: one request out, one answer in, within one deadline and one cap on the answer.
//!
//! Redirects are not followed, proxies of the environment are not used, nothing is decompressed, and names that resolve
//! to addresses where deliveries may not go are refused before a connection is made.

use std::{
    error::Error,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{Certificate, Client, Identity, redirect::Policy};
use ropeway_crds::{auth::Tls, names::hash};
use secrecy::ExposeSecret;
use url::Host;

use super::address::{AddressPolicy, AddressRefused, CheckedResolver};
use crate::{
    provider::{Request, Response},
    secret::Secrets,
};

/// How much of an answer is read, in bytes: outcome rules and vendors' tables need no more, and a hostile answer can't
/// fill the memory.
const MOST_OF_AN_ANSWER: usize = 256 << 10;

/// No answer was read.
#[derive(Debug)]
pub enum SendFailure {
    /// The address is not one that deliveries may go to.
    Address(AddressRefused),
    /// A certificate or key can't be used.
    Configuration(String),
    /// The connection failed, or the deadline passed. Whether the destination took the record is not known.
    Transport(String),
}

/// One lane's connections.
#[derive(Debug)]
pub struct HttpDoor {
    tls: Option<Tls>,
    secrets: Secrets,
    addresses: Arc<AddressPolicy>,
    /// The client with the fingerprint of the certificates that it was made of.
    client: Mutex<Option<(String, Client)>>,
}

impl HttpDoor {
    /// A door with these certificates and this address policy.
    pub fn new(tls: Option<Tls>, secrets: Secrets, addresses: Arc<AddressPolicy>) -> Self {
        Self { tls, secrets, addresses, client: Mutex::default() }
    }

    /// Sends a request and reads its answer, all within `deadline`.
    ///
    /// # Errors
    /// See [`SendFailure`]. No text holds a credential or a URL query.
    pub async fn send(&self, request: Request, deadline: Duration) -> Result<Response, SendFailure> {
        self.check_literal(&request)?;
        let client = self.client()?;
        let sending = async {
            let mut answer = client
                .request(request.method, request.url)
                .headers(request.headers)
                .body(request.body)
                .send()
                .await
                .map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                let room = MOST_OF_AN_ANSWER - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == MOST_OF_AN_ANSWER {
                    break;
                }
            }
            Ok(Response { status, headers, body: body.freeze() })
        };
        tokio::time::timeout(deadline, sending).await.unwrap_or_else(|_| {
            Err(SendFailure::Transport(format!("no whole answer within {}ms", deadline.as_millis())))
        })
    }

    /// A literal address never reaches the resolver, so it is checked here.
    fn check_literal(&self, request: &Request) -> Result<(), SendFailure> {
        let address: IpAddr = match request.url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            _ => return Ok(()),
        };
        let host = request.url.host_str().unwrap_or_default();
        self.addresses.check(host, address).map_err(SendFailure::Address)
    }

    /// The client, made anew when a certificate has changed: pooled connections would outlive it.
    fn client(&self) -> Result<Client, SendFailure> {
        let material = self.material()?;
        let fingerprint = hash(&material.concat(), 26);
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = kept.as_ref().filter(|(of, _)| *of == fingerprint) {
            return Ok(client.clone());
        }
        let client = self.build(&material)?;
        *kept = Some((fingerprint, client.clone()));
        Ok(client)
    }

    /// The mounted certificates: authority, certificate, key; empty where there is none.
    fn material(&self) -> Result<[Bytes; 3], SendFailure> {
        let mut material = [Bytes::new(), Bytes::new(), Bytes::new()];
        let Some(tls) = &self.tls else { return Ok(material) };
        for key in tls.secret_keys() {
            let value = self.secrets.bytes(&key).map_err(|error| SendFailure::Configuration(error.to_string()))?;
            let place = match (tls.ca_ref.as_ref() == Some(&key), key.key.as_str()) {
                (true, _) => 0,
                (false, "tls.crt") => 1,
                (false, _) => 2,
            };
            material[place] = Bytes::copy_from_slice(value.expose_secret());
        }
        Ok(material)
    }

    fn build(&self, [authority, certificate, key]: &[Bytes; 3]) -> Result<Client, SendFailure> {
        let unusable =
            |field: &str| SendFailure::Configuration(format!("the Secret of {field} does not hold usable PEM"));
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("ropeway/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(CheckedResolver(Arc::clone(&self.addresses))))
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if !authority.is_empty() {
            let authorities = Certificate::from_pem_bundle(authority).map_err(|_| unusable("tls.caRef"))?;
            builder = builder.tls_certs_merge(authorities);
        }
        if !certificate.is_empty() {
            let pem = [certificate.as_ref(), b"\n", key.as_ref()].concat();
            let identity = Identity::from_pem(&pem).map_err(|_| unusable("tls.clientCertificateRef"))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| SendFailure::Configuration(chain(&error)))
    }
}

/// What an error of the client means. The URL is taken out of it: its query may hold a key.
fn failed(error: reqwest::Error) -> SendFailure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return SendFailure::Address(refused.clone());
        }
        source = cause.source();
    }
    let what = if error.is_connect() { "failed to connect" } else { "the connection failed" };
    SendFailure::Transport(format!("{what}: {}", chain(&error.without_url())))
}

/// An error with its causes, without repeats.
fn chain(error: &dyn Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        source = cause.source();
    }
    parts.join(": ")
}
