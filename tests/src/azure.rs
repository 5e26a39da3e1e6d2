//! What stands for Microsoft in tests: Entra ID (panva's `oidc-provider` at Entra's addresses), a Key Vault of our own, and
//! Microsoft's clients, which judge both. Installed by `scripts/tools.sh azure`; see tests/peers/azure/server.mjs.

use std::{fs, path::Path, process::Command, time::Duration};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error,
    error::file,
    oidc::{Delivery, TokenRequest, Told},
    port::free_port,
    process::{Launch, Process},
    programs::repository,
    scratch::Scratch,
};

/// The directory.
pub const TENANT: &str = "contoso.example";

/// The secret of the applications `app-secret` and `app-stranger`; the vault lets the latter in when it is told to.
pub const APP_SECRET: &str = "pass @ +/%&=:word-that-is-long-enough";

/// For whom a cluster signs tokens that Entra ID takes.
pub const EXCHANGE: &str = "api://AzureADTokenExchange";

const PATIENCE: Duration = Duration::from_secs(60);

/// A running double. Dropping it ends it.
#[derive(Debug)]
pub struct Azure {
    /// The beginning of every address, of the vault as well.
    pub url: String,
    /// The certificate of the application `app-certificate`, in PEM.
    pub certificate: String,
    /// Its key.
    pub key: String,
    http: reqwest::Client,
    _process: Process,
    scratch: Scratch,
}

/// A read of a secret.
#[derive(Clone, Debug, Deserialize)]
pub struct Read {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The secret.
    pub name: String,
    /// The status of the answer.
    pub status: u16,
    /// The application that read; none where there was no token.
    pub client: Option<String>,
}

/// What the double has seen.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    /// Requests for tokens.
    pub tokens: Vec<TokenRequest>,
    /// Requests to the vault.
    pub reads: Vec<Read>,
    /// What the API was sent.
    pub deliveries: Vec<Delivery>,
}

impl Azure {
    /// Starts a double whose tokens last so many seconds.
    ///
    /// # Errors
    /// When it is not installed (with the command that installs it) or does not start.
    pub async fn start(lasts: u64) -> Result<Self, Error> {
        if !folder().join("node_modules").is_dir() {
            return Err(Error::Scene("the double of Azure is not installed; run `make tools TOOLS=azure`".into()));
        }
        // Once in some hundred starts on a busy machine it does not answer at its port; at another one it does.
        match Self::started(lasts).await {
            Ok(double) => Ok(double),
            Err(error) => {
                println!("the double of Azure is started again: {error}");
                Self::started(lasts).await
            }
        }
    }

    async fn started(lasts: u64) -> Result<Self, Error> {
        let scratch = Scratch::new("azure")?;
        script(&scratch, &[])?;
        let failed = |error: rcgen::Error| Error::Scene(format!("a certificate could not be made: {error}"));
        let (certificate, key) = certificates(scratch.path()).map_err(failed)?;
        let port = free_port()?;
        let launch = Launch::at("node")
            .argument(folder().join("server.mjs"))
            .argument(port.to_string())
            .argument(scratch.path())
            .argument(lasts.to_string());
        let mut process = Process::start("azure", launch, &scratch.path().join("log"))?;
        let _ = crate::scene::http_client();
        let authority = scratch.path().join("ca.crt");
        let pem = fs::read(&authority).map_err(file("read", &authority))?;
        let trusted = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let http = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().expect("a client");
        let url = format!("https://127.0.0.1:{port}");
        let answers = async || {
            http.get(format!("{url}/control/state")).send().await.map(drop).map_err(|error| format!("{error:?}"))
        };
        process.until("the double of Azure answers", PATIENCE, answers).await?;
        Ok(Self { url, certificate, key, http, _process: process, scratch })
    }

    /// The file with the authority that its certificate is of.
    #[must_use]
    pub fn authority(&self) -> String {
        self.scratch.path().join("ca.crt").display().to_string()
    }

    /// The file with the token of a service account.
    #[must_use]
    pub fn token_file(&self) -> String {
        self.scratch.path().join("token").display().to_string()
    }

    /// Lets the cluster sign a token for this audience, in place of the one that is in the file.
    ///
    /// # Errors
    /// When node fails.
    pub fn sign_token(&self, audience: &str) -> Result<(), Error> {
        script(&self.scratch, &["token", audience])
    }

    /// An identity that is proved like this: `credential` of the API.
    #[must_use]
    pub fn identity(client: &str, credential: Value) -> Value {
        json!({ "tenantId": TENANT, "clientId": client, "credential": credential })
    }

    /// The identifier of a secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> Value {
        json!({ "valueFrom": { "azureKeyVault": format!("{}/secrets/{name}", self.url) } })
    }

    /// What it has seen.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn seen(&self) -> Seen {
        serde_json::from_slice(&self.order("state", &Value::Null).await).expect("a state")
    }

    /// Everything secret that it was told where tokens are asked for, and has answered there.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn secrets(&self) -> Vec<Told> {
        serde_json::from_slice(&self.order("secrets", &Value::Null).await).expect("secrets")
    }

    /// Gives an order: `put`, `enable`, `remove`, `fail`, `fail-tokens`, `allow`, `expect`, `revoke-all`.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn order(&self, what: &str, given: &Value) -> Vec<u8> {
        let body = if given.is_null() { String::new() } else { given.to_string() };
        let asked = self.http.post(format!("{}/control/{what}", self.url)).body(body).send().await;
        let answer = asked.expect("an answer").error_for_status().expect("the order is carried out");
        answer.bytes().await.expect("a body").to_vec()
    }

    /// What Microsoft's own clients see of it.
    ///
    /// # Panics
    /// If they don't run.
    pub async fn vetted(&self) -> Value {
        let mut command = tokio::process::Command::new("node");
        command.arg(folder().join("vet.mjs")).arg(&self.url).arg(self.scratch.path());
        command.env("NODE_EXTRA_CA_CERTS", self.authority());
        let output = command.output().await.expect("node starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
    }
}

fn folder() -> std::path::PathBuf {
    repository().join("tests/peers/azure")
}

fn script(scratch: &Scratch, arguments: &[&str]) -> Result<(), Error> {
    let made = Command::new("node").arg(folder().join("keys.mjs")).arg(scratch.path()).args(arguments).status();
    let fine = made.is_ok_and(|status| status.success());
    if fine { Ok(()) } else { Err(Error::Scene("node failed to make keys; Node.js 20 or later is needed".into())) }
}

/// Makes the certificates that the double needs; answers with the application's and its key.
fn certificates(folder: &Path) -> Result<(String, String), rcgen::Error> {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file in a folder of our own");
    let named = |common: &str, names: Vec<String>| {
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, common);
        Ok::<_, rcgen::Error>(parameters)
    };
    let mut parameters = named("ropeway test authority", Vec::new())?;
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    write("ca.crt", &parameters.self_signed(&key)?.pem());
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate()?;
    let mut parameters = named("127.0.0.1", vec!["127.0.0.1".to_owned()])?;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    write("server.crt", &parameters.signed_by(&key, &issuer)?.pem());
    write("server.key", &key.serialize_pem());
    let app = fs::read_to_string(folder.join("app.key")).expect("the script has made it");
    let key = KeyPair::from_pem_and_sign_algo(&app, &PKCS_RSA_SHA256)?;
    let certificate = named("app", Vec::new())?.self_signed(&key)?.pem();
    write("app.crt", &certificate);
    write("app.pem", &format!("{certificate}{app}"));
    Ok((certificate, app))
}
