//! Where a file is.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    auth::{Auth, Tls},
    provider::HttpHeader,
    secret_ref::{SecretKeyRef, SecretValue, Value},
};

/// Where the file is: exactly one place.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.objectStore), has(self.file)].filter(given, given).size() == 1").message("give exactly one of http, objectStore and file"))]
#[serde(rename_all = "camelCase")]
pub struct BatchFrom {
    /// An address that is fetched with GET.
    pub http: Option<BatchHttp>,
    /// An object in S3, Azure Blob Storage or Google Cloud Storage, or all objects below a prefix.
    pub object_store: Option<BatchObjectStore>,
    /// A file on a PersistentVolumeClaim.
    pub file: Option<BatchFile>,
}

/// An address that is fetched with GET. Redirects are not followed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.auth) || !has(self.auth.apiKey) || self.auth.apiKey.__in__ != 'Body'").message("a GET has no body that an API key could be put into; use Header or Query"))]
#[serde(rename_all = "camelCase")]
pub struct BatchHttp {
    /// The address, `https://…` or `http://…`. It must not hold credentials: those belong in `auth`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials; put them in auth"))]
    pub url: String,
    /// Headers of the request.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Option<Vec<HttpHeader>>,
    /// How we prove who we are.
    #[x_kube(validation = Rule::new("!has(self.oauth2) || !(self.oauth2.grant in ['RefreshToken', 'AuthorizationCode'])").message("the grants RefreshToken and AuthorizationCode are for Destinations; give such a Destination's name in destinationRef"))]
    pub auth: Option<Auth>,
    /// Certificates beyond the public ones.
    pub tls: Option<Tls>,
}

/// An object in S3, Azure Blob Storage or Google Cloud Storage, or all objects below a prefix.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.credentials) || (has(self.credentials.s3) ? self.url.startsWith('s3://') : has(self.credentials.azure) ? self.url.startsWith('az://') : self.url.startsWith('gs://'))").message("the credentials are of another kind of storage than url"))]
#[x_kube(validation = Rule::new("self.url.startsWith('az://') == has(self.account)").message("account is needed with az://, and only there"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.endpoint.startsWith('http://') || (has(self.allowHttp) && self.allowHttp)").message("an endpoint without TLS needs allowHttp: true"))]
#[serde(rename_all = "camelCase")]
pub struct BatchObjectStore {
    /// `s3://bucket/key`, `az://container/key` or `gs://bucket/key`. With a `/` at the end: every object below it that was
    /// not read in its present version, in the order of their names.
    #[schemars(length(min = 7, max = 1024), regex(pattern = r"^(s3|az|gs)://[-._a-zA-Z0-9]+/[^\s]*$"))]
    pub url: String,
    /// The region of an S3 bucket. Default us-east-1.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-a-zA-Z0-9]+$"))]
    pub region: Option<String>,
    /// The address of a storage that speaks one of the three protocols. Default: that of the provider.
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s@]+$"))]
    pub endpoint: Option<String>,
    /// The storage account, for `az://`.
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$"))]
    pub account: Option<String>,
    /// Whether `endpoint` may be without TLS. Default false.
    pub allow_http: Option<bool>,
    /// How we prove who we are. Default: not at all, as for a public bucket.
    pub credentials: Option<ObjectStoreKeys>,
}

/// Keys of a storage: exactly one kind.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.s3), has(self.azure), has(self.gcs)].filter(given, given).size() == 1").message("give exactly one of s3, azure and gcs"))]
#[serde(rename_all = "camelCase")]
pub struct ObjectStoreKeys {
    /// Keys for S3.
    pub s3: Option<S3Keys>,
    /// A key for Azure Blob Storage.
    pub azure: Option<AzureKeys>,
    /// A key for Google Cloud Storage.
    pub gcs: Option<GcsKeys>,
}

/// Keys for S3.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Keys {
    /// The access key id.
    pub access_key_id: Value,
    /// The secret access key.
    pub secret_access_key: SecretValue,
    /// The session token that belongs to temporary keys.
    pub session_token: Option<SecretValue>,
}

/// A key for Azure Blob Storage: exactly one.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.accessKey) != has(self.sasToken)").message("give exactly one of accessKey and sasToken"))]
#[serde(rename_all = "camelCase")]
pub struct AzureKeys {
    /// The storage account's key.
    pub access_key: Option<SecretValue>,
    /// A shared access signature, as `sv=…&sig=…`.
    pub sas_token: Option<SecretValue>,
}

/// A key for Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcsKeys {
    /// The JSON key file of a service account.
    pub service_account_key: SecretValue,
}

/// A file on a PersistentVolumeClaim, which is mounted read-only into the Jobs' pods and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchFile {
    /// Name of the PersistentVolumeClaim, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub claim_name: String,
    /// The path inside it, such as `exports/accounts.csv`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^/\s][^\x00]*$"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..' || part == '.' || part == '')").message("path must lie inside the claim: no .., no empty part"))]
    pub path: String,
}

impl BatchFrom {
    /// Every Secret key that reading needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let Self { http, object_store, file: _ } = self;
        let mut keys = Vec::new();
        if let Some(BatchHttp { url: _, headers, auth, tls }) = http {
            keys.extend(headers.iter().flatten().filter_map(HttpHeader::key).cloned());
            keys.extend(auth.iter().flat_map(Auth::secret_keys));
            keys.extend(tls.iter().flat_map(Tls::secret_keys));
        }
        if let Some(ObjectStoreKeys { s3, azure, gcs }) = object_store.as_ref().and_then(|it| it.credentials.as_ref()) {
            if let Some(S3Keys { access_key_id, secret_access_key, session_token }) = s3 {
                keys.extend(access_key_id.key().cloned());
                keys.extend(secret_access_key.key().cloned());
                keys.extend(session_token.iter().filter_map(|token| token.key().cloned()));
            }
            let azure = azure.iter().flat_map(|keys| keys.access_key.iter().chain(&keys.sas_token));
            keys.extend(azure.filter_map(|value| value.key().cloned()));
            keys.extend(gcs.iter().filter_map(|keys| keys.service_account_key.key().cloned()));
        }
        keys
    }

    /// Where the file is, for a person: without credentials and without the query, which may hold some.
    pub fn shown(&self) -> String {
        let Self { http, object_store, file } = self;
        let http = http.as_ref().map(|http| http.url.split(['?', '#']).next().unwrap_or_default().to_owned());
        let object = || object_store.as_ref().map(|store| store.url.clone());
        http.or_else(object).or_else(|| file.as_ref().map(|file| file.path.clone())).unwrap_or_default()
    }
}
