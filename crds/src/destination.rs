//! The kind `Destination`: one account at one SaaS.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    auth::{Auth, Tls},
    azure::AzureIdentity,
    delivery::Delivery,
    limits::{Batching, CircuitBreaker, Idempotency, RateLimit},
    proof::CredentialsProbe,
    provider::{Provider, Repeats},
    secret_ref::SecretKeyRef,
    status::DestinationStatus,
};

/// One account at one SaaS: address, credentials, limits.
#[serde_with::skip_serializing_none]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ropeway.dev",
    version = "v1alpha1",
    kind = "Destination",
    plural = "destinations",
    shortname = "dest",
    category = "ropeway",
    namespaced,
    status = "DestinationStatus",
    derive = "PartialEq",
    cel,
    doc = "A Destination is one account at one SaaS: its address, credentials and limits.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type=='Healthy')].status"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider"),
    printcolumn(name = "Circuit", type_ = "string", json_path = ".status.circuit.state"),
    printcolumn(name = "Used-By", type_ = "integer", json_path = ".status.usedBy"),
    printcolumn(name = "DLQ", type_ = "integer", json_path = ".status.delivery.deadLetters"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("!has(self.batching) || has(self.provider.braze) || has(self.provider.segment) || has(self.provider.hubspot) || has(self.provider.salesforce) || has(self.provider.mixpanel) || has(self.provider.amplitude) || (has(self.provider.http) && has(self.provider.http.format) && self.provider.http.format in ['JsonArray', 'Ndjson'])").message("batching needs a provider that takes several records in one request: http with format JsonArray or Ndjson, braze, segment, hubspot, salesforce, mixpanel or amplitude"))]
#[x_kube(validation = Rule::new("!has(self.batching) || !has(self.batching.maxItems) || self.batching.maxItems <= (has(self.provider.braze) ? 225 : has(self.provider.hubspot) ? 100 : has(self.provider.salesforce) ? (has(self.provider.salesforce.bulk) ? 10000 : 200) : has(self.provider.segment) ? 2500 : has(self.provider.mixpanel) || has(self.provider.amplitude) ? 2000 : 5000)").message("batching.maxItems is more than the vendor takes: braze 225, hubspot 100, salesforce 200 (with bulk 10000), segment 2500, mixpanel and amplitude 2000; http 5000"))]
#[x_kube(validation = Rule::new("!has(self.provider.salesforce) || !has(self.provider.salesforce.bulk) || !has(self.batching) || !has(self.batching.maxItems) || self.batching.maxItems >= (has(self.provider.salesforce.bulk.threshold) ? self.provider.salesforce.bulk.threshold : 2000)").message("no portion would be a job: give a batching.maxItems of at least provider.salesforce.bulk.threshold (default 2000), or leave it out"))]
#[x_kube(validation = Rule::new("!has(self.provider.braze) || (has(self.auth) && has(self.auth.bearer))").message("braze needs auth.bearer with a REST API key"))]
#[x_kube(validation = Rule::new("!has(self.provider.segment) || (has(self.auth) && (has(self.auth.basic) ? !has(self.provider.segment.writeKey) && !has(self.auth.basic.password) : has(self.auth.oauth2) && has(self.provider.segment.writeKey)))").message("segment needs auth.basic with the write key as username, without a password and provider.segment.writeKey, or auth.oauth2 and provider.segment.writeKey"))]
#[x_kube(validation = Rule::new("!has(self.provider.hubspot) || (has(self.auth) && (has(self.auth.bearer) || has(self.auth.oauth2) || has(self.auth.destinationRef)))").message("hubspot needs auth.bearer with a private app's token, auth.oauth2 or auth.destinationRef"))]
#[x_kube(validation = Rule::new("!has(self.provider.salesforce) || (has(self.auth) && ((has(self.auth.oauth2) && (self.auth.oauth2.grant in ['JwtBearer', 'ClientCredentials'] || has(self.provider.salesforce.instanceUrl))) || ((has(self.auth.bearer) || has(self.auth.destinationRef)) && has(self.provider.salesforce.instanceUrl))))").message("salesforce needs auth.oauth2, auth.bearer or auth.destinationRef; and provider.salesforce.instanceUrl unless the grant is JwtBearer or ClientCredentials, whose tokens say where they are good"))]
#[x_kube(validation = Rule::new("!has(self.provider.ga4) || (has(self.auth) && has(self.auth.apiKey) && self.auth.apiKey.__in__ == 'Query' && self.auth.apiKey.name == 'api_secret')").message("ga4 needs auth.apiKey with in: Query and name: api_secret"))]
#[x_kube(validation = Rule::new("!has(self.provider.mixpanel) || (has(self.auth) && has(self.auth.basic) && has(self.auth.basic.password) == has(self.provider.mixpanel.projectId))").message("mixpanel needs auth.basic: a service account's username and password with provider.mixpanel.projectId, or the project's token as username with neither"))]
#[x_kube(validation = Rule::new("!has(self.provider.amplitude) || (has(self.auth) && has(self.auth.apiKey) && self.auth.apiKey.__in__ == 'Body' && self.auth.apiKey.name == 'api_key')").message("amplitude needs auth.apiKey with in: Body and name: api_key"))]
#[x_kube(validation = Rule::new("!has(self.idempotency) || (has(self.provider.http) && (!has(self.provider.http.format) || !(self.provider.http.format in ['JsonArray', 'Ndjson'])))").message("idempotency.header is for the http provider with one record in a request"))]
#[x_kube(validation = Rule::new("!has(self.provider.nats) || (!has(self.auth) && !has(self.tls))").message("the nats provider uses the worker's own connection to NATS; leave out auth and tls"))]
#[x_kube(validation = Rule::new("!has(self.probe) || has(self.provider.http)").message("probe is for the http provider"))]
#[x_kube(validation = Rule::new("!has(self.probe) || !has(self.auth) || !has(self.auth.apiKey) || self.auth.apiKey.__in__ != 'Body'").message("a probe has no body that an API key could be put into; use Header or Query, or leave the probe out"))]
#[serde(rename_all = "camelCase")]
pub struct DestinationSpec {
    /// What the Destination speaks.
    pub provider: Provider,
    /// How we prove who we are. Leave it out where the address is open.
    pub auth: Option<Auth>,
    /// Certificates beyond the public ones.
    pub tls: Option<Tls>,
    /// The identity by which workers read what `azureKeyVault` names here.
    #[x_kube(validation = Rule::new("!has(self.scope)").message("keyVaultIdentity has no scope: that follows from the vault"))]
    pub key_vault_identity: Option<AzureIdentity>,
    /// Deadline, retries and the meaning of answers; an Integration may override them.
    pub delivery: Option<Delivery>,
    /// When a destination that fails is left alone.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How fast it may be served, over all workers.
    pub rate_limit: Option<RateLimit>,
    /// How records are put together into one request.
    pub batching: Option<Batching>,
    /// How it can tell a repeat.
    pub idempotency: Option<Idempotency>,
    /// A cheap request that proves the credentials.
    pub probe: Option<CredentialsProbe>,
}

impl DestinationSpec {
    /// Every Secret key that this Destination names, without repeats.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        self.keys(Auth::secret_keys)
    }

    /// Those of them that workers need to deliver.
    pub fn worker_secret_keys(&self) -> Vec<SecretKeyRef> {
        self.keys(Auth::worker_secret_keys)
    }

    /// What becomes of a record that comes twice.
    pub fn repeats(&self) -> Repeats {
        // Where nothing is said the header is sent too, but an API that was not asked may not know it.
        self.provider.repeats(self.idempotency.is_some())
    }

    fn keys(&self, of_auth: fn(&Auth) -> Vec<SecretKeyRef>) -> Vec<SecretKeyRef> {
        let Self { provider, auth, tls, key_vault_identity, .. } = self;
        let mut keys: Vec<SecretKeyRef> = provider.secret_keys();
        keys.extend(auth.iter().flat_map(of_auth));
        keys.extend(tls.iter().flat_map(Tls::secret_keys));
        keys.extend(key_vault_identity.iter().flat_map(AzureIdentity::secret_keys));
        keys.sort();
        keys.dedup();
        keys
    }
}
