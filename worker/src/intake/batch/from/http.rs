//! An address that is fetched with GET.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use ropeway_auth::{
    credentials::Proof,
    http::{self as door, HttpDoor, Request},
    keyring::Keyring,
    secret::Secrets,
};
use ropeway_crds::{auth::Auth, azure::VaultSecret, reference::vault_secrets, source::BatchHttp};

use super::{Ask, Found, Incoming, Opened, ReadError, Unchanged, unusable};
use crate::authenticate::{Authenticator, Refused, WISHED};

/// The longest silence that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Http {
    spec: BatchHttp,
    uri: Uri,
    shown: String,
    secrets: Secrets,
    /// What of its headers is in Key Vault.
    vaulted: Vec<VaultSecret>,
    authenticator: Option<Authenticator>,
    door: HttpDoor,
}

impl Http {
    pub(super) fn new(
        spec: &BatchHttp,
        shown: String,
        keyring: &Keyring,
        prove: impl FnOnce(&Auth) -> Authenticator,
    ) -> Result<Self, ReadError> {
        let uri =
            spec.url.parse().map_err(|_| ReadError::Refused("spec.source.batch.from.http.url is no URL".into()))?;
        let door = keyring.door(spec.tls.clone());
        let authenticator = spec.auth.as_ref().map(prove);
        let vaulted = vault_secrets(&spec.headers, "headers").into_iter().map(|(_, secret)| secret).collect();
        Ok(Self { spec: spec.clone(), uri, shown, secrets: keyring.secrets.clone(), vaulted, authenticator, door })
    }

    pub(super) fn found(&self) -> Found {
        Found { object: self.shown.clone(), version: None, size: None, key: String::new() }
    }

    pub(super) async fn open(&self, ask: Ask<'_>) -> Result<Opened, ReadError> {
        let (request, proof) = self.request(ask).await?;
        let mut answer = self.door.open(request, PATIENCE).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.renews(&proof).await? {
            let (request, _) = self.request(ask).await?;
            answer = self.door.open(request, PATIENCE).await?;
        }
        if let Some(authenticator) = self.authenticator.as_ref().filter(|_| answer.status.is_success()) {
            authenticator.credentials().accepted(&proof);
        }
        let version = version(&answer.headers);
        let at = match answer.status {
            StatusCode::NOT_MODIFIED => return Ok(Opened::Unchanged),
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => begin(&answer.headers).ok_or_else(|| {
                ReadError::Later("the server answers 206 without a Content-Range that could be understood".into())
            })?,
            // The file ends before: it is another one than it was.
            StatusCode::RANGE_NOT_SATISFIABLE if ask.offset > 0 => return self.anew().await,
            status => return Err(refusal(status, &self.shown)),
        };
        let coding = answer.headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
        if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(ReadError::Refused(format!(
                "the server sends Content-Encoding {coding:?}, which was not asked for; serve the packed file itself and set compression"
            )));
        }
        let chunks = answer.chunks.map(|chunk: Result<Bytes, door::SendFailure>| chunk.map_err(ReadError::from));
        Ok(Opened::Stream(Incoming { version, at, chunks: chunks.boxed() }))
    }

    /// Whether a request that was refused can be proved anew.
    async fn renews(&self, proof: &Proof) -> Result<bool, ReadError> {
        if let Some(authenticator) = &self.authenticator {
            match authenticator.refused(proof).await {
                Refused::Finally => {}
                Refused::Renewed => return Ok(true),
                Refused::Wished => {
                    return Err(ReadError::Later(format!("spec.source.batch.from.http.auth: {WISHED}")));
                }
            }
        }
        Ok(!self.vaulted.is_empty() && self.secrets.renew(&self.vaulted).await)
    }

    async fn anew(&self) -> Result<Opened, ReadError> {
        Box::pin(self.open(Ask { offset: 0, version: None, unless_unchanged: Unchanged::Wanted })).await
    }

    async fn request(&self, ask: Ask<'_>) -> Result<(Request, Proof), ReadError> {
        self.secrets.ready(&self.vaulted).await;
        let mut headers = HeaderMap::new();
        for given in self.spec.headers.iter().flatten() {
            let value = self.secrets.value(given.value.as_deref(), given.value_from.as_ref());
            let value = value.map_err(|error| ReadError::Later(error.to_string()))?;
            let refuse = || {
                ReadError::Refused(format!(
                    "spec.source.batch.from.http.headers: {} holds what no header may hold",
                    given.name
                ))
            };
            let name = HeaderName::try_from(&given.name).map_err(|_| refuse())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| refuse())?);
        }
        if let Some((kind, value)) = ask.version.and_then(validator) {
            if ask.unless_unchanged == Unchanged::Unwanted {
                let name = if kind == "etag" { header::IF_NONE_MATCH } else { header::IF_MODIFIED_SINCE };
                headers.insert(name, value);
            } else if ask.offset > 0 && !value.as_bytes().starts_with(b"W/") {
                // A weak tag says that two files mean the same, not that their bytes are.
                headers.insert(header::IF_RANGE, value);
                let range = HeaderValue::try_from(format!("bytes={}-", ask.offset));
                headers.insert(header::RANGE, range.expect("digits may stand in a header"));
            }
        }
        let mut request = Request { method: Method::GET, uri: self.uri.clone(), headers, body: Bytes::new() };
        let proof = match &self.authenticator {
            Some(authenticator) => authenticator.credentials().apply(&mut request).await.map_err(unusable)?,
            None => Proof::default(),
        };
        Ok((request, proof))
    }
}

/// What a server says of a file's version.
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = text(header::ETAG).map(|tag| format!("etag {tag}"));
    tag.or_else(|| text(header::LAST_MODIFIED).map(|time| format!("modified {time}")))
}

/// The same the other way round. A version was read from the bucket, so it may be anything.
fn validator(version: &str) -> Option<(&str, HeaderValue)> {
    let (kind, value) = version.split_once(' ')?;
    matches!(kind, "etag" | "modified").then(|| HeaderValue::try_from(value).ok().map(|value| (kind, value)))?
}

/// Where a partial answer begins.
fn begin(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// What an answer other than success means.
fn refusal(status: StatusCode, shown: &str) -> ReadError {
    let remedy = match status.as_u16() {
        401 | 403 => "; see spec.source.batch.from.http.auth",
        300..=399 => "; redirects are not followed, so give the address that it leads to",
        404 | 410 => "; is it there already, and is the URL right?",
        _ => "",
    };
    let message = format!("{shown} answers {status}{remedy}");
    match status.as_u16() {
        300..=399 | 401 | 403 | 405 => ReadError::Refused(message),
        _ => ReadError::Later(message),
    }
}
