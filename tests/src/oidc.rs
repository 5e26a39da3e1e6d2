//! An authorization server that is not ours: panva's `oidc-provider`, certified, strict, and installed by
//! `scripts/tools.sh oidc`; and beside it a vendor that takes its tokens. The clients stand in tests/peers/oidc/server.mjs.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error,
    error::file,
    port::free_port,
    process::{Launch, Process},
    programs::repository,
    scratch::Scratch,
    wait::until,
};

/// The secret of every client that has one. It holds what a form must encode.
pub const CLIENT_SECRET: &str = "pass @ +/%&=:word-that-is-long-enough";

/// The client whose id must be encoded.
pub const BASIC_CLIENT: &str = "basic @ +/%&=";

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct OidcProvider {
    /// The issuer, and the beginning of every address.
    pub url: String,
    /// The certificate of the authority that signed the server's and the client's certificates.
    pub authority: String,
    /// The client certificate and its key, in PEM.
    pub client: (String, String),
    /// The private key that signs statements, in PEM.
    pub assertion_key: String,
    http: reqwest::Client,
    _process: Process,
    scratch: Scratch,
}

/// A request to the token endpoint.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenRequest {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The status of the answer; 0 while there is none.
    pub status: u16,
    /// The error of the answer.
    pub error: Option<String>,
    /// The client, if it was known.
    pub client: Option<String>,
}

/// An event that the vendor was sent.
#[derive(Clone, Debug, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// Whether its token was good.
    pub good: bool,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// Something of a token request or its answer that is secret.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// The parameter's name, such as `code_verifier`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a server has seen.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    /// Requests to the token endpoint.
    pub tokens: Vec<TokenRequest>,
    /// What the vendor was sent.
    pub deliveries: Vec<Delivery>,
}

impl OidcProvider {
    /// Starts a server whose access tokens last so many seconds, and that knows statements signed by this algorithm.
    ///
    /// # Errors
    /// When it is not installed (with the command that installs it) or does not start.
    pub async fn start(lasts: u64, algorithm: &str) -> Result<Self, Error> {
        let folder = repository().join("tests/peers/oidc");
        if !folder.join("node_modules").is_dir() {
            return Err(Error::Scene("oidc-provider is not installed; run `make tools TOOLS=oidc`".into()));
        }
        let scratch = Scratch::new("oidc")?;
        let made = Command::new("node").arg(folder.join("keys.mjs")).arg(scratch.path()).arg(algorithm).status();
        if !made.is_ok_and(|status| status.success()) {
            return Err(Error::Scene("node failed to make keys; Node.js 20 or later is needed".into()));
        }
        let failed = |error: rcgen::Error| Error::Scene(format!("a certificate could not be made: {error}"));
        let (authority, client) = certificates(&scratch).map_err(failed)?;
        let read = |name: &str| {
            let path = scratch.path().join(name);
            fs::read_to_string(&path).map_err(file("read", &path))
        };
        let assertion_key = read("assertion.pem")?;
        let port = free_port()?;
        let log = scratch.path().join("log");
        let launch = Launch::at("node")
            .argument(folder.join("server.mjs"))
            .argument(port.to_string())
            .argument(scratch.path())
            .argument(lasts.to_string());
        let mut process = Process::start("oidc-provider", launch, &log)?;
        let _ = crate::scene::http_client();
        let trusted = reqwest::Certificate::from_pem(authority.as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().expect("a client");
        let url = format!("https://127.0.0.1:{port}");
        until("oidc-provider answers", PATIENCE, async || {
            process.check().map_err(|error| error.to_string())?;
            let asked = http.get(format!("{url}/.well-known/openid-configuration")).send().await;
            asked.map_err(|error| error.to_string()).map(|_| ())
        })
        .await?;
        Ok(Self { url, authority, client, assertion_key, http, _process: process, scratch })
    }

    /// What it has seen.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn seen(&self) -> Seen {
        serde_json::from_slice(&self.order("state", "").await).expect("a state")
    }

    /// Everything secret that it was told at the token endpoint and has answered there.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn secrets(&self) -> Vec<Told> {
        serde_json::from_slice(&self.order("secrets", "").await).expect("secrets")
    }

    /// Lets the token endpoint fail: `{"kind": "slow", "ms": …}`, `{"kind": "status", "status": …, "body": …}`,
    /// `{"kind": "echo", "status": …, "error": …}`, which says again whatever secret it was told, or `{"kind": "garbage"}`;
    /// null lets it work again.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn fail(&self, how: &Value) {
        let body = if how.is_null() { String::new() } else { how.to_string() };
        self.order("fail", &body).await;
    }

    /// Makes every token useless that was given so far.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn revoke_all(&self) {
        self.order("revoke-all", "").await;
    }

    /// Gives a client another secret.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn change_secret(&self, client: &str, secret: &str) {
        self.order("change-secret", &json!([client, secret]).to_string()).await;
    }

    /// A person consents: the refresh token, and the name of the grant.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn consent(&self) -> (String, String) {
        let given: Value = serde_json::from_slice(&self.order("consent", "").await).expect("a token");
        let text = |name: &str| given[name].as_str().expect("a text").to_owned();
        (text("refresh_token"), text("grant_id"))
    }

    /// A person consents at this address, with everything that a browser does; it ends where the server sends it.
    ///
    /// # Panics
    /// If there is no page to consent on.
    pub async fn consent_at(&self, url: &str) -> String {
        let folder = repository().join("tests/peers/oidc");
        let mut command = tokio::process::Command::new("node");
        command.arg(folder.join("consent.mjs")).arg(url).arg(&self.url);
        command.env("NODE_EXTRA_CA_CERTS", self.scratch.path().join("ca.crt"));
        let output = command.output().await.expect("node starts");
        let (page, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{page}{errors}");
        page.into_owned()
    }

    /// Takes the person's consent back.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn revoke_grant(&self, grant: &str) {
        self.order("revoke-grant", grant).await;
    }

    async fn order(&self, what: &str, body: &str) -> Vec<u8> {
        let asked = self.http.post(format!("{}/control/{what}", self.url)).body(body.to_owned()).send().await;
        let answer = asked.expect("an answer").error_for_status().expect("the order is carried out");
        answer.bytes().await.expect("a body").to_vec()
    }
}

/// Makes the files that the server reads; answers with the authority's certificate and a client's with its key.
fn certificates(scratch: &Scratch) -> Result<(String, (String, String)), rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "ropeway test authority");
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = parameters.self_signed(&key)?.pem();
    let issuer = Issuer::new(parameters, key);
    let signed = |names: Vec<String>, common: &str, usage| {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, common);
        parameters.extended_key_usages = vec![usage];
        Ok::<_, rcgen::Error>((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    };
    let names = vec!["127.0.0.1".to_owned(), "vendor.example".to_owned()];
    let (certificate, key) = signed(names, "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth)?;
    let client = signed(Vec::new(), "ropeway-worker", ExtendedKeyUsagePurpose::ClientAuth)?;
    let entries = [
        ("server.crt", certificate.as_str()),
        ("server.key", &key),
        ("ca.crt", &authority),
        ("subject", "CN=ropeway-worker"),
    ];
    for (name, text) in entries {
        let path: PathBuf = scratch.path().join(name);
        fs::write(path, text).expect("a file in a folder of our own");
    }
    Ok((authority, client))
}
