//! HubSpot: objects of its CRM.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};

/// Objects of HubSpot's CRM, in batches (`POST /crm/v3/objects/{object}/batch/{operation}`). Needs `auth.bearer` with the
/// token of a private app, or `auth.oauth2`. A record has `properties`, and where the object is known `id`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.operation) && self.operation != 'Upsert') || has(self.idProperty)").message("operation Upsert needs idProperty: the unique property that says which object it is, such as email"))]
#[x_kube(validation = Rule::new("!has(self.operation) || self.operation != 'Create' || !has(self.idProperty)").message("operation Create makes new objects: leave idProperty out"))]
#[serde(rename_all = "camelCase")]
pub struct HubspotProvider {
    /// The type of object: contacts, companies, deals, tickets, or the name or id of one of your own.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub object: String,
    /// Default Upsert: makes the object, or changes it where it is there.
    pub operation: Option<HubspotOperation>,
    /// The unique property that says which object it is. With it, `id` is taken from `properties` where a record has none.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[_a-zA-Z0-9]+$"))]
    pub id_property: Option<String>,
    /// `v3`, or a dated version such as `2026-03` (`/crm/objects/2026-03/…`). Default v3.
    #[schemars(length(max = 7), regex(pattern = r"^(v3|20[0-9]{2}-(0[1-9]|1[0-2]))$"))]
    pub api_version: Option<String>,
    /// An address in place of `https://api.hubapi.com`, such as a proxy's. Paths are put behind it.
    pub url: Option<HttpUrl>,
}

/// What is done with an object of HubSpot's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HubspotOperation {
    /// Makes the object, or changes it where it is there.
    #[default]
    Upsert,
    /// Makes a new object.
    Create,
    /// Changes an object that is there.
    Update,
}

impl HubspotProvider {
    /// 100 inputs. Source: CRM batch endpoints.
    pub const CAPACITY: Capacity = Capacity { items: 100, most_items: 100, bytes: 3_000_000, is_known: true };

    /// An upsert and an update give the same object however often they come; a second creation gives a second object, unless
    /// a unique property forbids it.
    pub fn repeats(&self) -> Repeats {
        match self.operation.unwrap_or_default() {
            HubspotOperation::Upsert | HubspotOperation::Update => Repeats::Harmless,
            HubspotOperation::Create => Repeats::Duplicated,
        }
    }

    /// The address that paths are put behind.
    pub fn base(&self) -> &str {
        self.url.as_ref().map_or("https://api.hubapi.com", HttpUrl::as_str)
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        self.url.as_ref()?.unlike(&[".hubapi.com"], "one of HubSpot's")
    }
}
