//! Amplitude: events of a project.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};

/// Events of an Amplitude project. Needs `auth.apiKey` in the body as `api_key`. A record is one event: `event_type` and
/// `user_id` or `device_id`. Amplitude drops repeats of an `insert_id` of one device for seven days.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmplitudeProvider {
    /// Where the project's data is. Default Us.
    pub region: Option<AmplitudeRegion>,
    /// Which API takes the events. Default HttpV2.
    pub api: Option<AmplitudeApi>,
    /// The shortest `user_id` and `device_id` that the project takes. Default 5, which is Amplitude's.
    #[schemars(range(min = 1, max = 128))]
    pub min_id_length: Option<i32>,
    /// An address in place of the region's, such as a proxy's. The API's path is put behind it.
    pub url: Option<HttpUrl>,
}

/// Where the data of a project of Amplitude's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AmplitudeRegion {
    /// `https://api2.amplitude.com`
    #[default]
    Us,
    /// `https://api.eu.amplitude.com`
    Eu,
}

/// Which API of Amplitude's takes the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AmplitudeApi {
    /// `/2/httpapi`: 1 MB in a request, 30 events a second of one user.
    #[default]
    HttpV2,
    /// `/batch`: 20 MB in a request, 1000 events a second of one user; for loads from the past.
    Batch,
}

impl AmplitudeProvider {
    /// By `device_id` and `insert_id`, for seven days.
    pub const REPEATS: Repeats = Repeats::Dropped;

    /// 2000 events; 1 MB, or 20 MB for `/batch`. Source: both APIs' pages.
    pub fn capacity(&self) -> Capacity {
        let bytes = match self.api.unwrap_or_default() {
            AmplitudeApi::HttpV2 => 1_000_000,
            AmplitudeApi::Batch => 20_000_000,
        };
        Capacity { items: 500, most_items: 2_000, bytes, is_known: true }
    }

    /// The shortest id that is taken.
    pub fn shortest_id(&self) -> usize {
        self.min_id_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(5)
    }

    /// The address that paths are put behind.
    pub fn base(&self) -> &str {
        self.url.as_ref().map_or_else(
            || match self.region.unwrap_or_default() {
                AmplitudeRegion::Us => "https://api2.amplitude.com",
                AmplitudeRegion::Eu => "https://api.eu.amplitude.com",
            },
            HttpUrl::as_str,
        )
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.as_ref()?.unlike(&[".amplitude.com"], "one of Amplitude's")
    }
}
