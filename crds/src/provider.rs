//! What a Destination speaks: the union of providers, one file for each vendor.

mod address;
mod amplitude;
mod braze;
mod ga4;
mod http;
mod hubspot;
mod mixpanel;
mod salesforce;
mod segment;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::{SecretKeyRef, SecretValue};

pub use address::HttpUrl;
pub use amplitude::{AmplitudeApi, AmplitudeProvider, AmplitudeRegion};
pub use braze::BrazeProvider;
pub use ga4::{Ga4Provider, Ga4Region};
pub use http::{HttpFormat, HttpHeader, HttpMethod, HttpProvider};
pub use hubspot::{HubspotOperation, HubspotProvider};
pub use mixpanel::{MixpanelProvider, MixpanelRegion};
pub use salesforce::{SalesforceBulk, SalesforceOperation, SalesforceProvider};
pub use segment::{SegmentProvider, SegmentRegion};

/// What the Destination is: exactly one provider.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.webhook), has(self.nats), has(self.braze), has(self.segment), has(self.hubspot), has(self.salesforce), has(self.ga4), has(self.mixpanel), has(self.amplitude)].filter(given, given).size() == 1").message("give exactly one provider: http, webhook, nats, braze, segment, hubspot, salesforce, ga4, mixpanel or amplitude"))]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Any HTTP API.
    pub http: Option<HttpProvider>,
    /// A webhook of somebody else, signed as Standard Webhooks says.
    pub webhook: Option<WebhookProvider>,
    /// A subject of a stream on the same NATS.
    pub nats: Option<NatsProvider>,
    /// Braze: attributes, custom events and purchases of users.
    pub braze: Option<BrazeProvider>,
    /// Segment: calls of its tracking API.
    pub segment: Option<SegmentProvider>,
    /// HubSpot: objects of its CRM.
    pub hubspot: Option<HubspotProvider>,
    /// Salesforce: records of an org.
    pub salesforce: Option<SalesforceProvider>,
    /// Google Analytics 4: its Measurement Protocol.
    pub ga4: Option<Ga4Provider>,
    /// Mixpanel: events of a project.
    pub mixpanel: Option<MixpanelProvider>,
    /// Amplitude: events of a project.
    pub amplitude: Option<AmplitudeProvider>,
}

/// How many records a vendor takes in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// How many are sent where the user says nothing.
    pub items: u32,
    /// How many the user may ask for.
    pub most_items: u32,
    /// Bytes of the body before compression.
    pub bytes: u64,
    /// Whether `bytes` is a limit of the vendor's, and not only where we stop if the user says nothing.
    pub is_known: bool,
}

/// What becomes of a record that a vendor gets twice, as after a time-out that leaves open whether it took the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// It drops the second.
    Dropped,
    /// The second changes nothing: it says the same of the same object.
    Harmless,
    /// It drops the second as a rule, and does not promise it.
    Mostly,
    /// It takes both.
    Duplicated,
}

impl Repeats {
    /// The word in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped | Self::Harmless => "Enforced",
            Self::Mostly => "BestEffort",
            Self::Duplicated => "None",
        }
    }
}

impl Provider {
    /// The provider's name as the column PROVIDER shows it.
    pub fn name(&self) -> &'static str {
        let Self { http, webhook, nats, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } = self;
        let given = [
            ("http", http.is_some()),
            ("webhook", webhook.is_some()),
            ("nats", nats.is_some()),
            ("braze", braze.is_some()),
            ("segment", segment.is_some()),
            ("hubspot", hubspot.is_some()),
            ("salesforce", salesforce.is_some()),
            ("ga4", ga4.is_some()),
            ("mixpanel", mixpanel.is_some()),
            ("amplitude", amplitude.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map_or("none", |(name, _)| name)
    }

    /// Whether it knows its vendor.
    pub fn is_vendor(&self) -> bool {
        !matches!(self.name(), "http" | "webhook" | "nats" | "none")
    }

    /// What one request can hold at most; none where it holds one record.
    pub fn capacity(&self) -> Option<Capacity> {
        let Self { http, webhook: _, nats: _, braze, segment, hubspot, salesforce, ga4: _, mixpanel, amplitude } = self;
        let several =
            |http: &HttpProvider| matches!(http.format.unwrap_or_default(), HttpFormat::JsonArray | HttpFormat::Ndjson);
        let any = Capacity { items: 100, most_items: 5_000, bytes: 1 << 20, is_known: false };
        let given = [
            http.as_ref().filter(|http| several(http)).map(|_| any),
            braze.as_ref().map(|_| BrazeProvider::CAPACITY),
            segment.as_ref().map(|_| SegmentProvider::CAPACITY),
            hubspot.as_ref().map(|_| HubspotProvider::CAPACITY),
            salesforce.as_ref().map(SalesforceProvider::capacity),
            mixpanel.as_ref().map(|_| MixpanelProvider::CAPACITY),
            amplitude.as_ref().map(AmplitudeProvider::capacity),
        ];
        given.into_iter().flatten().next()
    }

    /// Takes out what would let an event overtake an earlier one of its order: a job that its worker no longer knows may end
    /// after what was sent since.
    #[must_use]
    pub fn keeping_order(mut self) -> Self {
        if let Some(salesforce) = &mut self.salesforce {
            salesforce.bulk = None;
        }
        self
    }

    /// What becomes of a record that comes twice. `keyed` says whether an idempotency key goes with each request.
    pub fn repeats(&self, keyed: bool) -> Repeats {
        let Self { http, webhook, nats, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } = self;
        let given = [
            http.as_ref().map(|_| if keyed { Repeats::Mostly } else { Repeats::Duplicated }),
            webhook.as_ref().map(|_| Repeats::Mostly),
            nats.as_ref().map(|_| Repeats::Mostly),
            braze.as_ref().map(|_| BrazeProvider::REPEATS),
            segment.as_ref().map(|_| SegmentProvider::REPEATS),
            hubspot.as_ref().map(HubspotProvider::repeats),
            salesforce.as_ref().map(SalesforceProvider::repeats),
            ga4.as_ref().map(|_| Ga4Provider::REPEATS),
            mixpanel.as_ref().map(|_| MixpanelProvider::REPEATS),
            amplitude.as_ref().map(|_| AmplitudeProvider::REPEATS),
        ];
        given.into_iter().flatten().next().unwrap_or(Repeats::Duplicated)
    }

    /// What is odd about it without being wrong, such as an address that is not the vendor's.
    pub fn warning(&self) -> Option<String> {
        let Self { http: _, webhook: _, nats: _, braze, segment, hubspot, salesforce, ga4, mixpanel, amplitude } = self;
        let given = [
            braze.as_ref().and_then(BrazeProvider::warning),
            segment.as_ref().and_then(SegmentProvider::warning),
            hubspot.as_ref().and_then(HubspotProvider::warning),
            salesforce.as_ref().and_then(SalesforceProvider::warning),
            ga4.as_ref().and_then(Ga4Provider::warning),
            mixpanel.as_ref().and_then(MixpanelProvider::warning),
            amplitude.as_ref().and_then(AmplitudeProvider::warning),
        ];
        given.into_iter().flatten().next()
    }

    /// The secrets that requests to a vendor hold beside our credentials.
    pub fn vendor_secrets(&self) -> impl Iterator<Item = &SecretValue> {
        self.segment.iter().flat_map(|segment| &segment.write_key)
    }

    /// Every Secret key that the provider itself needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let http = self.http.iter().flat_map(HttpProvider::secret_keys);
        let webhook = self.webhook.iter().flat_map(|webhook| &webhook.signing.keys).filter_map(SecretValue::key);
        let segment = self.vendor_secrets().filter_map(SecretValue::key);
        http.chain(webhook).chain(segment).cloned().collect()
    }
}

/// A webhook of somebody else: each record is one message, signed as Standard Webhooks 1.0 says, with the id that stays
/// the same over all attempts in `webhook-id`. An answer of 410 holds the destination.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookProvider {
    /// The address, `https://…` or `http://…`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials"))]
    pub url: String,
    /// How messages are signed.
    pub signing: Signing,
}

/// The keys that messages are signed with. Each gives one signature, so that a receiver can change over without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// `whsec_…` signs with HMAC-SHA256 (v1), `whsk_…` with Ed25519 (v1a). The rest of the text is base 64.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<SecretValue>,
}

/// A subject that a stream on the same NATS takes in. A record is delivered when that stream has acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsProvider {
    /// The subject, without wildcards.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s.*>]+(\.[^\s.*>]+)*$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('$') && !self.startsWith('_INBOX.') && self != 'ropeway' && !self.startsWith('ropeway.')").message("subject must not be one of NATS' or Ropeway's own"))]
    pub subject: String,
}
