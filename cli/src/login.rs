//! `ropeway login`: a person consents in a browser, and the tokens go into the Secret from which the operator goes on
//! (RFC 6749 §4.1 with the proof of RFC 7636 and the loopback address of RFC 8252 §7.3).

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use axum::{Router, extract::Query, response::Html, routing::get};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ropeway_auth::{
    address::AddressPolicy,
    keyring::Keyring,
    oauth2::{answer::Grant, client::Client, request::Exchange},
    secret::Secrets,
    token::TokenError,
};
use ropeway_crds::{
    Destination,
    auth::{Auth, OAuth2},
    names::token_secret,
};
use ropeway_operator::{
    destination::broker::{
        decide::{Held, server_of},
        secret_of,
    },
    fault,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::io::{ClusterError, Namespace};

/// `ropeway login`.
#[derive(Clone, Debug, clap::Args)]
pub struct LoginArgs {
    /// The Destination.
    pub destination: String,
    /// The namespace; the kubeconfig's own where it is not given.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Where the browser comes back to; port 0 takes a free one. Register `http://127.0.0.1:PORT/callback` with the server.
    #[arg(long, default_value = "127.0.0.1:8250")]
    pub listen: SocketAddr,
    /// How long to wait for consent, in seconds.
    #[arg(long, default_value_t = 300)]
    pub wait: u64,
}

/// Nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The cluster can't be asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is nothing to log in to.
    #[error(
        "the Destination {0:?} has no spec.auth.oauth2 with the grant AuthorizationCode; only such a one needs a login"
    )]
    NoConsentNeeded(String),
    /// Its token is another Destination's.
    #[error("the Destination {destination} uses the access token of {holder}; run `ropeway login {holder}`")]
    Elsewhere {
        /// The Destination that was named.
        destination: String,
        /// The one whose token it uses.
        holder: String,
    },
    /// The browser can't come back.
    #[error("failed to listen on {address}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The browser could not come back there.
    #[error("--listen {0} is no loopback address; the browser comes back to 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// Nobody consented in time.
    #[error("nobody consented within {0} s; run the command again")]
    TooLate(u64),
    /// Consent was not given.
    #[error("the server came back with {0}")]
    Denied(String),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The consent is good for one access token only.
    #[error("the server gave no refresh token; ask for it in spec.auth.oauth2.scopes, often by offline_access")]
    NoRefreshToken,
    /// The authorization endpoint is no address.
    #[error("the authorization endpoint is no URL")]
    Url,
}

/// The parameters that are set here; a parameter of the user's does not replace them.
const OURS: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "audience",
];

/// What the browser brings back.
#[derive(Debug, Deserialize)]
struct Callback {
    code: Option<SecretString>,
    state: Option<String>,
    error: Option<String>,
}

/// What only we know of a login.
struct Challenge {
    state: String,
    verifier: SecretString,
    hash: String,
}

impl Challenge {
    fn new() -> Self {
        let random = || BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let verifier = random();
        let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { state: random(), verifier: verifier.into(), hash }
    }
}

/// Logs a person in.
///
/// # Errors
/// See [`LoginError`]; no text holds a token.
pub async fn run(args: LoginArgs) -> Result<ExitCode, LoginError> {
    if !args.listen.ip().is_loopback() {
        return Err(LoginError::NotLoopback(args.listen));
    }
    let cluster = Namespace::open(args.namespace.as_deref()).await?;
    let destination = cluster.destination(&args.destination).await?;
    if let Some(holder) = destination.spec.auth.as_ref().and_then(|auth| auth.token_holder(None)) {
        return Err(LoginError::Elsewhere { destination: args.destination, holder: holder.to_owned() });
    }
    let auth = destination.spec.auth.as_ref().filter(|auth| auth.is_brokered());
    let spec = auth.and_then(|auth| auth.oauth2.as_ref()).filter(|spec| spec.refresh_token.is_none());
    let Some(spec) = spec else { return Err(LoginError::NoConsentNeeded(args.destination)) };
    // From here everything can be reached that the person can reach.
    let everywhere = ["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let addresses = AddressPolicy::new(&everywhere).unwrap_or_default();
    let keyring = Keyring::new(secrets(&destination, &cluster).await?, Arc::new(addresses));
    let client = Client::new(spec.clone(), &keyring);
    let material = client.material()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|source| LoginError::Listen { address: args.listen, source })?;
    let port = listener.local_addr().map_err(|source| LoginError::Listen { address: args.listen, source })?.port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let challenge = Challenge::new();
    let endpoint = client.authorization_endpoint().await?;
    let address = address(&endpoint, spec, &material.client_id, &redirect, &challenge)?;
    println!("open this address in a browser, and consent:\n\n{address}\n");
    let code = consent(listener, &challenge, args.wait).await?;
    let exchange = Exchange::Code { code: &code, verifier: &challenge.verifier, redirect: &redirect };
    let Grant { access, refresh, consent_expires } = client.ask(exchange, &material).await?;
    fault::planted("login", || {
        [&code, &challenge.verifier, &access.value].map(|it| it.expose_secret().to_owned()).join(" ")
    });
    let held = Held {
        access: Some(access.value),
        expires: access.expires,
        refreshed: Some(Timestamp::now()),
        refresh: Some(refresh.ok_or(LoginError::NoRefreshToken)?),
        consent_expires,
        server: Some(server_of(spec)),
        ..Held::default()
    };
    cluster.replace_secret(&token_secret(&args.destination), |found| secret_of(&destination, found, &held)).await?;
    println!("the tokens are in the Secret {}; the operator renews them from now on", token_secret(&args.destination));
    Ok(ExitCode::SUCCESS)
}

/// Where a person consents.
fn address(
    endpoint: &str,
    spec: &OAuth2,
    client_id: &str,
    redirect: &str,
    challenge: &Challenge,
) -> Result<String, LoginError> {
    let mut url = reqwest::Url::parse(endpoint).map_err(|_| LoginError::Url)?;
    let mut query = url.query_pairs_mut();
    query.append_pair("response_type", "code").append_pair("client_id", client_id);
    query.append_pair("redirect_uri", redirect).append_pair("state", &challenge.state);
    query.append_pair("code_challenge", &challenge.hash).append_pair("code_challenge_method", "S256");
    if let Some(scopes) = &spec.scopes {
        query.append_pair("scope", &scopes.join(" "));
    }
    if let Some(audience) = &spec.audience {
        query.append_pair("audience", audience);
    }
    for parameter in spec.parameters.iter().flatten().filter(|given| !OURS.contains(&given.name.as_str())) {
        query.append_pair(&parameter.name, &parameter.value);
    }
    drop(query);
    Ok(url.into())
}

/// Waits until the browser comes back.
async fn consent(listener: TcpListener, challenge: &Challenge, wait: u64) -> Result<SecretString, LoginError> {
    let (told, mut came) = mpsc::channel::<Callback>(1);
    let state = challenge.state.clone();
    let receive = move |Query(callback): Query<Callback>| {
        let (told, state) = (told.clone(), state.clone());
        async move {
            if callback.state.as_ref() != Some(&state) {
                return Html("<p>This is the answer to another login. Run the command again.</p>");
            }
            let page = match (&callback.code, &callback.error) {
                (Some(_), None) => "<p>This window can be closed; the command has what it needs.</p>",
                _ => "<p>No consent was given. See the command for what the server said.</p>",
            };
            let _ = told.try_send(callback);
            Html(page)
        }
    };
    let router = Router::new().route("/callback", get(receive));
    let stop = CancellationToken::new();
    let ended = stop.clone().cancelled_owned();
    let serving = tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(ended).into_future());
    let callback = timeout(Duration::from_secs(wait), came.recv()).await;
    // The page is sent to its end.
    stop.cancel();
    let _ = timeout(Duration::from_secs(2), serving).await;
    let callback = callback.ok().flatten().ok_or(LoginError::TooLate(wait))?;
    judge(callback)
}

fn judge(callback: Callback) -> Result<SecretString, LoginError> {
    let Callback { code, state: _, error } = callback;
    match (code, error) {
        (Some(code), None) => Ok(code),
        (_, error) => {
            let error = error.unwrap_or_else(|| "neither code nor error".into());
            Err(LoginError::Denied(error.chars().filter(|letter| !letter.is_control()).take(80).collect()))
        }
    }
}

async fn secrets(destination: &Destination, cluster: &Namespace) -> Result<Secrets, LoginError> {
    let mut values = BTreeMap::new();
    for key in destination.spec.auth.iter().flat_map(Auth::secret_keys) {
        if let Some(value) = cluster.secret_value(&key).await? {
            values.insert(key, value);
        }
    }
    let mut settings = BTreeMap::new();
    for (_, key) in ropeway_crds::reference::destination_settings(&destination.spec) {
        if let Some(value) = cluster.setting(&key).await? {
            settings.insert(ropeway_crds::secret_ref::SecretKeyRef { name: key.name, key: key.key }, value);
        }
    }
    Ok(Secrets::held(values, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_answer_to_this_login_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let challenge = Challenge { state: "mine".into(), verifier: "v".to_owned().into(), hash: "h".into() };
        let waiting = tokio::spawn(async move { consent(listener, &challenge, 30).await });
        let ask = async |query: &str| {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET /callback?{query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).await.unwrap();
            page
        };
        for other in ["code=c&state=other", "code=c", "error=access_denied"] {
            assert!(ask(other).await.contains("another login"), "{other}");
        }
        assert!(ask("code=right&state=mine").await.contains("can be closed"));
        let code = waiting.await.unwrap().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&code), "right");
    }

    #[test]
    fn a_refusal_is_told() {
        let denied = |error: Option<&str>| {
            let callback = Callback { code: None, state: None, error: error.map(str::to_owned) };
            judge(callback).unwrap_err().to_string()
        };
        assert_eq!(denied(Some("access_denied")), "the server came back with access_denied");
        assert!(denied(None).contains("neither code nor error"));
    }

    #[test]
    fn the_address_asks_for_a_code_with_proof() {
        let spec: OAuth2 = serde_json::from_value(serde_json::json!({
            "grant": "AuthorizationCode", "issuer": "https://a", "clientId": { "value": "id" },
            "scopes": ["openid", "offline_access"], "parameters": [{ "name": "prompt", "value": "consent" }],
        }))
        .unwrap();
        let challenge = Challenge::new();
        let address =
            address("https://a/auth?tenant=1", &spec, "id", "http://127.0.0.1:1/callback", &challenge).unwrap();
        let url = reqwest::Url::parse(&address).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let of = |name: &str| query[name].as_str();
        assert_eq!((of("tenant"), of("response_type"), of("client_id")), ("1", "code", "id"));
        assert_eq!((of("scope"), of("prompt")), ("openid offline_access", "consent"));
        assert_eq!((of("code_challenge_method"), of("code_challenge").len()), ("S256", 43));
        assert!(!address.contains(secrecy::ExposeSecret::expose_secret(&challenge.verifier)));
    }
}
