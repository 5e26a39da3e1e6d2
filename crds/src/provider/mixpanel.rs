//! Mixpanel: events of a project.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};

/// Events of a Mixpanel project (`POST /import?strict=1`). Needs `auth.basic` with a service account, or with the project's
/// token as the user name and no password. A record is one event: `event` and `properties` with `distinct_id` and `time`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixpanelProvider {
    /// The number of the project. A service account needs it.
    #[schemars(range(min = 1, max = 9007199254740991_i64))]
    pub project_id: Option<i64>,
    /// Where the project's data is. Default Us.
    pub region: Option<MixpanelRegion>,
    /// An address in place of the region's, such as a proxy's. `/import` is put behind it.
    pub url: Option<HttpUrl>,
}

/// Where the data of a project of Mixpanel's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MixpanelRegion {
    /// `https://api.mixpanel.com`
    #[default]
    Us,
    /// `https://api-eu.mixpanel.com`
    Eu,
    /// `https://api-in.mixpanel.com`
    In,
}

impl MixpanelProvider {
    /// 2000 events, 10 MB. Source: the ingestion API.
    pub const CAPACITY: Capacity = Capacity { items: 500, most_items: 2_000, bytes: 10_000_000, is_known: true };
    /// By event, time, `distinct_id` and `$insert_id`.
    pub const REPEATS: Repeats = Repeats::Dropped;

    /// The address that paths are put behind.
    pub fn base(&self) -> &str {
        self.url.as_ref().map_or_else(
            || match self.region.unwrap_or_default() {
                MixpanelRegion::Us => "https://api.mixpanel.com",
                MixpanelRegion::Eu => "https://api-eu.mixpanel.com",
                MixpanelRegion::In => "https://api-in.mixpanel.com",
            },
            HttpUrl::as_str,
        )
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.as_ref()?.unlike(&[".mixpanel.com"], "one of Mixpanel's")
    }
}
