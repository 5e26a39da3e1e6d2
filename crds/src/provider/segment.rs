//! Segment: calls of its tracking API.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};
use crate::secret_ref::SecretValue;

/// Segment's tracking API (`POST /v1/batch`). Needs `auth.basic` with the source's write key as the user name and no password,
/// or `auth.oauth2` and `writeKey`. A record is one call: `type` (identify, track, page, screen, group or alias), `userId` or
/// `anonymousId`, and what the type needs. Segment drops repeats of a `messageId` for about a day.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentProvider {
    /// Where the workspace is. Segment answers 200 at the wrong one and forgets the events. Default Us.
    pub region: Option<SegmentRegion>,
    /// The write key of the source, where `auth` is an access token.
    pub write_key: Option<SecretValue>,
    /// An address in place of the region's, such as a proxy's. `/v1/batch` is put behind it.
    pub url: Option<HttpUrl>,
}

/// Where a workspace of Segment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SegmentRegion {
    /// `https://api.segment.io`
    #[default]
    Us,
    /// `https://events.eu1.segmentapis.com`
    Eu,
}

impl SegmentProvider {
    /// 2500 calls, 500 KB. Source: limits of the HTTP API.
    pub const CAPACITY: Capacity = Capacity { items: 500, most_items: 2_500, bytes: 500_000, is_known: true };
    /// By `messageId`, "99 %", for about a day.
    pub const REPEATS: Repeats = Repeats::Mostly;

    /// The address that paths are put behind.
    pub fn base(&self) -> &str {
        self.url.as_ref().map_or_else(
            || match self.region.unwrap_or_default() {
                SegmentRegion::Us => "https://api.segment.io",
                SegmentRegion::Eu => "https://events.eu1.segmentapis.com",
            },
            HttpUrl::as_str,
        )
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.as_ref()?.unlike(&["api.segment.io", ".segmentapis.com"], "one of Segment's")
    }
}
