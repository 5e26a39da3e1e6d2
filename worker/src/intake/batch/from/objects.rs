//! Objects in S3, Azure Blob Storage and Google Cloud Storage. The protocols are those of the crate `object_store`; its
//! requests go through our own door, so that the same addresses are refused.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::Uri;
use http_body_util::StreamBody;
use hyper::body::Frame;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
    gcp::GoogleCloudStorageBuilder,
    path::Path,
};
use ropeway_auth::{
    http::{HttpDoor, Request, SendFailure},
    keyring::Keyring,
    secret::Secrets,
};
use ropeway_crds::{
    azure::VaultSecret,
    reference::vault_secrets,
    secret_ref::SecretValue,
    source::{BatchObjectStore, ObjectStoreKeys},
};
use secrecy::ExposeSecret;

use super::{Ask, Found, Incoming, Opened, ReadError, Unchanged, http::PATIENCE};

/// The most objects that one listing may have.
const MOST_OBJECTS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Objects {
    spec: BatchObjectStore,
    bucket: String,
    path: Path,
    listing: bool,
    secrets: Secrets,
    /// What of its keys is in Key Vault.
    vaulted: Vec<VaultSecret>,
    connector: Connector,
}

impl Objects {
    pub(super) fn new(spec: &BatchObjectStore, keyring: &Keyring) -> Result<Self, ReadError> {
        let refuse = |what: &str| ReadError::Refused(format!("spec.source.batch.from.objectStore.url: {what}"));
        let (_, place) = spec.url.split_once("://").ok_or_else(|| refuse("write it as s3://bucket/key"))?;
        let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
        let path = Path::parse(key.trim_end_matches('/')).map_err(|_| refuse("the key can't be used"))?;
        let allow_http = spec.allow_http.unwrap_or_default();
        let door = Arc::new(keyring.door(None));
        Ok(Self {
            spec: spec.clone(),
            bucket: bucket.to_owned(),
            path,
            listing: key.is_empty() || key.ends_with('/'),
            secrets: keyring.secrets.clone(),
            vaulted: vault_secrets(&spec.credentials, "credentials").into_iter().map(|(_, secret)| secret).collect(),
            connector: Connector { door, allow_http },
        })
    }

    pub(super) fn is_listing(&self) -> bool {
        self.listing
    }

    pub(super) async fn find(&self) -> Result<Vec<Found>, ReadError> {
        let store = self.store().await?;
        if !self.listing {
            let meta = store.head(&self.path).await.map_err(|error| failed(&self.spec.url, &error))?;
            return Ok(vec![self.found(&meta)]);
        }
        let prefix = (!self.path.as_ref().is_empty()).then_some(&self.path);
        let listed = store.list(prefix).take(MOST_OBJECTS + 1).try_collect::<Vec<_>>().await;
        let mut listed = listed.map_err(|error| failed(&self.spec.url, &error))?;
        if listed.len() > MOST_OBJECTS {
            let url = &self.spec.url;
            return Err(ReadError::Refused(format!("{url} holds more than {MOST_OBJECTS} objects; narrow the prefix")));
        }
        // What some consoles make for a folder is empty and no file.
        listed.retain(|meta| meta.size > 0);
        listed.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(listed.iter().map(|meta| self.found(meta)).collect())
    }

    pub(super) async fn open(&self, found: &Found, ask: Ask<'_>) -> Result<Opened, ReadError> {
        let known = ask.version == found.version.as_deref();
        if ask.unless_unchanged == Unchanged::Unwanted && known {
            return Ok(Opened::Unchanged);
        }
        let store = self.store().await?;
        let path = Path::parse(&found.key).map_err(|error| ReadError::Refused(error.to_string()))?;
        // A range that begins at the end is refused.
        let at = if known && found.size.is_some_and(|size| ask.offset < size) { ask.offset } else { 0 };
        let etag = found.version.as_deref().and_then(|version| version.strip_prefix("etag "));
        let options = GetOptions {
            range: (at > 0).then_some(GetRange::Offset(at)),
            if_match: etag.map(str::to_owned),
            ..GetOptions::default()
        };
        let answer = store.get_opts(&path, options).await.map_err(|error| failed(&found.object, &error))?;
        let object = found.object.clone();
        let chunks = answer.into_stream().map(move |chunk| chunk.map_err(|error| failed(&object, &error)));
        Ok(Opened::Stream(Incoming { version: found.version.clone(), at, chunks: chunks.boxed() }))
    }

    fn found(&self, meta: &ObjectMeta) -> Found {
        let version = match &meta.e_tag {
            Some(tag) => format!("etag {tag}"),
            None => format!("{} bytes of {}", meta.size, meta.last_modified.timestamp_millis()),
        };
        let (scheme, _) = self.spec.url.split_once("://").unwrap_or_default();
        let key = meta.location.to_string();
        Found {
            object: format!("{scheme}://{}/{key}", self.bucket),
            version: Some(version),
            size: Some(meta.size),
            key,
        }
    }

    /// Made for each use, so that a key that was renewed is felt.
    async fn store(&self) -> Result<Arc<dyn ObjectStore>, ReadError> {
        self.secrets.ready(&self.vaulted).await;
        let spec = &self.spec;
        let keys = spec.credentials.as_ref();
        let made = match spec.url.split("://").next() {
            Some("s3") => self.s3(keys)?.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            Some("az") => self.azure(keys)?.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            _ => self.google(keys)?.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        };
        // Its own words may hold what a key holds.
        made.map_err(|_| {
            ReadError::Refused("spec.source.batch.from.objectStore: endpoint, account or key can't be used".into())
        })
    }

    fn s3(&self, keys: Option<&ObjectStoreKeys>) -> Result<AmazonS3Builder, ReadError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(self.spec.region.as_deref().unwrap_or("us-east-1"))
            .with_allow_http(self.connector.allow_http)
            .with_retry(retries())
            .with_http_connector(self.connector.clone());
        if let Some(endpoint) = &self.spec.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let Some(keys) = keys.and_then(|keys| keys.s3.as_ref()) else { return Ok(builder.with_skip_signature(true)) };
        let id = self.secrets.value(keys.access_key_id.value.as_deref(), keys.access_key_id.value_from.as_ref());
        let id = id.map_err(|error| ReadError::Later(error.to_string()))?;
        builder = builder.with_access_key_id(id).with_secret_access_key(self.text(&keys.secret_access_key)?);
        Ok(match &keys.session_token {
            Some(token) => builder.with_token(self.text(token)?),
            None => builder,
        })
    }

    fn azure(&self, keys: Option<&ObjectStoreKeys>) -> Result<MicrosoftAzureBuilder, ReadError> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(&self.bucket)
            .with_account(self.spec.account.as_deref().unwrap_or_default())
            .with_allow_http(self.connector.allow_http)
            .with_retry(retries())
            .with_http_connector(self.connector.clone());
        if let Some(endpoint) = &self.spec.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let keys = keys.and_then(|keys| keys.azure.as_ref());
        Ok(match keys.map(|keys| (&keys.access_key, &keys.sas_token)) {
            Some((Some(key), _)) => builder.with_access_key(self.text(key)?),
            Some((None, Some(token))) => {
                let token = self.text(token)?;
                let pairs = url::form_urlencoded::parse(token.trim_start_matches('?').as_bytes());
                builder.with_sas_authorization(pairs.into_owned().collect::<Vec<_>>())
            }
            _ => builder.with_skip_signature(true),
        })
    }

    fn google(&self, keys: Option<&ObjectStoreKeys>) -> Result<GoogleCloudStorageBuilder, ReadError> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_retry(retries())
            .with_http_connector(self.connector.clone());
        if let Some(endpoint) = &self.spec.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        Ok(match keys.and_then(|keys| keys.gcs.as_ref()) {
            Some(keys) => builder.with_service_account_key(self.text(&keys.service_account_key)?),
            None => builder.with_skip_signature(true),
        })
    }

    fn text(&self, secret: &SecretValue) -> Result<String, ReadError> {
        let text = self.secrets.secret(secret).map_err(|error| ReadError::Later(error.to_string()))?;
        Ok(text.expose_secret().to_owned())
    }
}

/// The run tries again itself; a few quick tries spare it a new beginning.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    }
}

/// Errors of the storage hold its answer, which is not ours to show; what kind it is says enough.
fn failed(object: &str, error: &Error) -> ReadError {
    let later = |why: &str| ReadError::Later(format!("{object} {why}"));
    match error {
        Error::NotFound { .. } => later("does not exist; is it there already, and is the URL right?"),
        Error::Precondition { .. } => later("changed while it was opened"),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            ReadError::Refused(format!("{object} is refused to us; see spec.source.batch.from.objectStore.credentials"))
        }
        error => {
            let mut cause: Option<&dyn std::error::Error> = Some(error);
            while let Some(inner) = cause {
                match inner.downcast_ref::<DoorError>() {
                    Some(DoorError::Refused(message)) => return ReadError::Refused(message.clone()),
                    Some(DoorError::Failed(message)) => return later(&format!("can't be reached: {message}")),
                    None => cause = inner.source(),
                }
            }
            later("can't be read now")
        }
    }
}

/// A request of the storage's client did not get through our door.
#[derive(Debug, thiserror::Error)]
enum DoorError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

/// Our door, as the storage's client wants it.
#[derive(Clone, Debug)]
struct Connector {
    door: Arc<HttpDoor>,
    allow_http: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let uri: Uri = parts.uri;
        if uri.scheme_str() == Some("http") && !self.allow_http {
            let refused = DoorError::Refused("an address without TLS needs objectStore.allowHttp: true".into());
            return Err(HttpError::new(HttpErrorKind::Unknown, refused));
        }
        let body = body.as_bytes().cloned().unwrap_or_else(Bytes::new);
        let request = Request { method: parts.method, uri, headers: parts.headers, body };
        let answer = self.door.open(request, PATIENCE).await.map_err(through)?;
        let frames = answer.chunks.map(|chunk| chunk.map(Frame::data).map_err(through));
        let mut response = HttpResponse::new(HttpResponseBody::new(StreamBody::new(frames)));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

fn through(failure: SendFailure) -> HttpError {
    match failure {
        SendFailure::Address(refused) => {
            HttpError::new(HttpErrorKind::Unknown, DoorError::Refused(refused.to_string()))
        }
        SendFailure::Configuration(message) => HttpError::new(HttpErrorKind::Unknown, DoorError::Refused(message)),
        SendFailure::Transport(message) => HttpError::new(HttpErrorKind::Interrupted, DoorError::Failed(message)),
    }
}
