//! Google Analytics 4: the Measurement Protocol.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HttpUrl, Repeats};

/// Google Analytics 4 by its Measurement Protocol (`POST /mp/collect`). Needs `auth.apiKey` in the query as `api_secret`. A
/// record is one request: `client_id` (or `app_instance_id`) and 1 to 25 `events`. Google answers 204 to whatever it gets, so
/// everything is checked before it is sent.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.measurementId) != has(self.firebaseAppId)").message("give exactly one of measurementId (a web stream) and firebaseAppId (an app)"))]
#[serde(rename_all = "camelCase")]
pub struct Ga4Provider {
    /// The measurement id of a web stream, such as `G-A1B2C3D4E5`.
    #[schemars(length(min = 3, max = 32), regex(pattern = r"^G-[A-Z0-9]+$"))]
    pub measurement_id: Option<String>,
    /// The id of an app in Firebase.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-:_.a-zA-Z0-9]+$"))]
    pub firebase_app_id: Option<String>,
    /// Which servers collect. Default Global.
    pub region: Option<Ga4Region>,
    /// Shows each record to Google's validation endpoint first, which costs a second request, and sends only what it has
    /// nothing against. Default false.
    pub validate: Option<bool>,
    /// An address in place of the region's, such as a proxy's. `/mp/collect` is put behind it.
    pub url: Option<HttpUrl>,
}

/// Which servers of Google's collect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ga4Region {
    /// `https://www.google-analytics.com`
    #[default]
    Global,
    /// `https://region1.google-analytics.com`, within the European Union.
    Eu,
}

impl Ga4Provider {
    /// Each hit counts.
    pub const REPEATS: Repeats = Repeats::Duplicated;

    /// The address that paths are put behind.
    pub fn base(&self) -> &str {
        self.url.as_ref().map_or_else(
            || match self.region.unwrap_or_default() {
                Ga4Region::Global => "https://www.google-analytics.com",
                Ga4Region::Eu => "https://region1.google-analytics.com",
            },
            HttpUrl::as_str,
        )
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.as_ref()?.unlike(&[".google-analytics.com"], "one of Google Analytics'")
    }
}
