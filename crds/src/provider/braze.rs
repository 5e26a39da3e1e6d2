//! Braze: attributes, custom events and purchases of users.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};

/// Hosts of Braze's REST endpoints. Source: its list of data centres, 2026.
const HOSTS: [&str; 2] = [".braze.com", ".braze.eu"];

/// Braze: attributes, custom events and purchases of users (`POST /users/track`). Needs `auth.bearer` with a REST API key
/// that has the permission `users.track`. A record is an object with one or more of the arrays `attributes`, `events` and
/// `purchases`, as Braze's own request has them. Braze can't tell a repeat: see docs/providers/braze.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrazeProvider {
    /// The REST endpoint of your instance, as Braze's dashboard shows it, such as `https://rest.iad-01.braze.com`. The right
    /// key at another instance's address is refused like a wrong key.
    pub url: HttpUrl,
}

impl BrazeProvider {
    /// 75 objects in all arrays together, 4 MB. Contracts of before 2024 allow more: see `batching.maxItems`.
    pub const CAPACITY: Capacity = Capacity { items: 75, most_items: 225, bytes: 4_000_000, is_known: true };
    /// Each event that Braze takes counts, however often it comes.
    pub const REPEATS: Repeats = Repeats::Duplicated;

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.unlike(&HOSTS, "a REST endpoint of Braze (rest.….braze.com or rest.….braze.eu)")
    }
}
