//! The door to the vendors: one request out, one answer in, within one deadline and one cap on the answer.
//!
//! Redirects are not followed, proxies of the environment are not used, nothing is decompressed, and names that resolve
//! to addresses where deliveries may not go are refused before a connection is made.

use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use ropeway_crds::auth::Tls;
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;

mod open;

pub use open::{Chunks, Opened};

use crate::{
    address::{AddressPolicy, AddressRefused},
    connect::{self, Connector},
    secret::{Made, Secret, Secrets},
};

/// How much of an answer is read, in bytes: outcome rules and vendors' tables need no more, and a hostile answer can't
/// fill the memory.
const MOST_OF_AN_ANSWER: usize = 256 << 10;

/// A request before credentials are put on it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub uri: Uri,
    /// Headers, the content type among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer, read whole or up to the cap.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut at the cap.
    pub body: Bytes,
}

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

/// How often a request is sent again at once that the other side of an HTTP/2 connection says it has not looked at.
const NOT_TAKEN: usize = 2;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("ropeway/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

type Client = legacy::Client<Connector, Full<Bytes>>;

/// The mounted certificates: authority, certificate, key; none where there is none.
type Material = [Option<Secret>; 3];

/// One lane's connections.
#[derive(Debug)]
pub struct HttpDoor {
    tls: Option<Tls>,
    secrets: Secrets,
    addresses: Arc<AddressPolicy>,
    /// How much of an answer is read, in bytes.
    most: usize,
    client: Made<Client, 3>,
}

impl HttpDoor {
    /// A door with these certificates and this address policy.
    pub fn new(tls: Option<Tls>, secrets: Secrets, addresses: Arc<AddressPolicy>) -> Self {
        Self { tls, secrets, addresses, most: MOST_OF_AN_ANSWER, client: Made::default() }
    }

    /// The same door, which reads so many bytes of an answer.
    pub fn reading(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Sends a request and reads its answer, all within `deadline`.
    ///
    /// # Errors
    /// See [`SendFailure`]. No text holds a credential or a URL query.
    pub async fn send(&self, request: Request, deadline: Duration) -> Result<Response, SendFailure> {
        self.check_literal(&request)?;
        let client = self.client()?;
        tokio::time::timeout(deadline, exchange(&client, request, self.most)).await.unwrap_or_else(|_| {
            Err(SendFailure::Transport(format!("no whole answer within {}ms", deadline.as_millis())))
        })
    }

    /// A literal address never reaches the resolver, so it is checked here.
    fn check_literal(&self, request: &Request) -> Result<(), SendFailure> {
        let host = request.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.check(host, address).map_err(SendFailure::Address),
            Err(_) => Ok(()),
        }
    }

    /// The client, made anew when a certificate has changed: pooled connections would outlive it.
    fn client(&self) -> Result<Arc<Client>, SendFailure> {
        self.client.of(self.material()?, |material| {
            let named = self.tls.as_ref().and_then(|tls| tls.server_name.clone());
            let name = named.map(ServerName::try_from).transpose();
            let name = name.map_err(|_| SendFailure::Configuration("tls.serverName is no name of a host".into()))?;
            let connector = Connector::new(Arc::clone(&self.addresses), tls_of(material)?, name);
            Ok(legacy::Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(64)
                .build(connector))
        })
    }

    fn material(&self) -> Result<Material, SendFailure> {
        let mut material = Material::default();
        let Some(tls) = &self.tls else { return Ok(material) };
        for key in tls.secret_keys() {
            let value = self.secrets.bytes(&key).map_err(|error| SendFailure::Configuration(error.to_string()))?;
            let place = match (tls.ca_ref.as_ref() == Some(&key), key.key.as_str()) {
                (true, _) => 0,
                (false, "tls.crt") => 1,
                (false, _) => 2,
            };
            material[place] = Some(value);
        }
        Ok(material)
    }
}

/// A request as the client takes it.
fn made(request: Request) -> http::Request<Full<Bytes>> {
    let Request { method, uri, mut headers, body } = request;
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(ANYTHING);
    let mut made = http::Request::new(Full::new(body));
    (*made.method_mut(), *made.uri_mut(), *made.headers_mut()) = (method, uri, headers);
    made
}

/// Sends a request and reads its answer up to the cap.
async fn exchange(client: &Client, request: Request, most: usize) -> Result<Response, SendFailure> {
    let mut made = made(request);
    let mut tries = 0;
    let answer = loop {
        // What a copy shares is counted, so it costs little; but it is needed only where several requests share a connection.
        let again = (tries < NOT_TAKEN && made.uri().scheme() == Some(&http::uri::Scheme::HTTPS)).then(|| made.clone());
        match (client.request(made).await, again) {
            (Ok(answer), _) => break answer,
            (Err(error), Some(again)) if not_taken(&error) => made = again,
            (Err(error), _) => return Err(not_sent(&error)),
        }
        tries += 1;
    };
    let (parts, mut incoming) = answer.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(chunk) = frame.map_err(|error| not_read(&error))?.into_data() else { continue };
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == most {
            break;
        }
    }
    Ok(Response { status: parts.status, headers: parts.headers, body: body.freeze() })
}

fn tls_of([authority, certificate, key]: &Material) -> Result<Arc<rustls::ClientConfig>, SendFailure> {
    let pem = |value: &Option<Secret>| value.as_ref().map(|value| value.expose_secret().to_vec());
    connect::tls(pem(authority), pem(certificate), pem(key)).map_err(SendFailure::Configuration)
}

/// Whether the other side says that it has not looked at the request: it was closing, or has too much to do.
fn not_taken(error: &legacy::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let closing = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (closing || refused);
        }
        source = cause.source();
    }
    false
}

/// What an error of the client means. No text of it holds the URL: its query may hold a key.
fn not_sent(error: &legacy::Error) -> SendFailure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return SendFailure::Address(refused.clone());
        }
        source = cause.source();
    }
    let what = if error.is_connect() { "failed to connect" } else { "the connection failed" };
    SendFailure::Transport(format!("{what}: {}", connect::chain("error sending request", error)))
}

fn not_read(error: &hyper::Error) -> SendFailure {
    SendFailure::Transport(format!("the connection failed: {}", connect::chain("error decoding response body", error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(uri: &str, allowed: &[String], tls: Option<Tls>) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("ca")).unwrap();
        std::fs::write(folder.path().join("ca/ca.crt"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
            .unwrap();
        let addresses = Arc::new(AddressPolicy::new(allowed).unwrap());
        let door = HttpDoor::new(tls, Secrets::new(folder.path()), addresses);
        let uri = uri.parse().unwrap();
        let request = Request {
            method: http::Method::POST,
            uri,
            headers: http::HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
        };
        match door.send(request, Duration::from_secs(5)).await.unwrap_err() {
            SendFailure::Address(refused) => format!("address: {refused}"),
            SendFailure::Configuration(message) => format!("configuration: {message}"),
            SendFailure::Transport(message) => format!("transport: {message}"),
        }
    }

    #[tokio::test]
    async fn a_literal_and_a_resolved_address_are_refused_alike() {
        for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"] {
            let told = failure(&format!("http://{host}:9/?key=s3cret"), &[], None).await;
            assert!(told.starts_with("address: ") && told.contains(" is at the loopback address "), "{host}: {told}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_without_the_query() {
        let told = failure("http://127.0.0.1:9/hook?key=s3cret", &["127.0.0.0/8".into()], None).await;
        let rest = told.strip_prefix("transport: failed to connect: error sending request: client error (Connect): ");
        assert!(rest.is_some_and(|rest| rest.contains("onnection refused") && !rest.contains("s3cret")), "{told}");
    }

    #[tokio::test]
    async fn an_authority_that_is_no_certificate_is_a_fault_of_the_configuration() {
        let key = serde_json::json!({ "name": "ca", "key": "ca.crt" });
        let tls: Tls = serde_json::from_value(serde_json::json!({ "caRef": key })).unwrap();
        let told = failure("https://example.com/", &[], Some(tls)).await;
        assert_eq!(told, "configuration: the Secret of tls.caRef does not hold usable PEM");
    }
}
