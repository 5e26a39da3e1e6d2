//! Salesforce: records of an org.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};
use crate::duration::Duration;

/// Records of a Salesforce org, 200 at a time (sObject Collections), or many at a time (`bulk`). Needs `auth.oauth2` (JwtBearer or ClientCredentials), or
/// `auth.bearer` with `instanceUrl`. A record holds the fields of one sObject, such as `LastName`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.operation) && self.operation != 'Upsert') == !has(self.externalIdField)").message("operation Upsert needs externalIdField, the others take none: Insert makes new records, Update finds them by Id"))]
#[x_kube(validation = Rule::new("!has(self.externalIdField) || self.externalIdField.lowerAscii() != 'id'").message("externalIdField must be an external id; Id is for the operation Update"))]
#[x_kube(validation = Rule::new("!has(self.bulk) || !has(self.operation) || self.operation != 'Insert'").message("bulk is for the operations Upsert and Update: a job whose end is not known is sent again, and Insert would make its records twice"))]
#[serde(rename_all = "camelCase")]
pub struct SalesforceProvider {
    /// The org's address, such as `https://acme.my.salesforce.com`. Default the `instance_url` that comes with the access token.
    pub instance_url: Option<HttpUrl>,
    /// The API name of the sObject, such as `Lead` or `Order_Line__c`.
    #[schemars(length(min = 1, max = 80), regex(pattern = r"^[a-zA-Z][_a-zA-Z0-9]*$"))]
    pub object: String,
    /// Default Upsert: makes the record, or changes it where it is there.
    pub operation: Option<SalesforceOperation>,
    /// The external id field that says which record it is.
    #[schemars(length(min = 1, max = 80), regex(pattern = r"^[a-zA-Z][_a-zA-Z0-9]*$"))]
    pub external_id_field: Option<String>,
    /// The version of the REST API. Default v62.0.
    #[schemars(length(max = 6), regex(pattern = r"^v[0-9]{2,3}\.0$"))]
    pub api_version: Option<String>,
    /// Sends many records at a time by Bulk API 2.0. Without it no record goes that way. An Integration with `ordering` never
    /// uses it.
    pub bulk: Option<SalesforceBulk>,
}

/// Jobs of Bulk API 2.0. A record may then hold texts, numbers, booleans, null and references to other records by an external
/// id, and `batching.maxItems` may be up to 10000, which is also its default.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SalesforceBulk {
    /// Records from which on a portion goes as a job. Fewer go 200 at a time. Default 2000.
    #[schemars(range(min = 201, max = 10000))]
    pub threshold: Option<i32>,
    /// How long a job is waited for, from its beginning until its results are there. Then it is aborted, and its records are
    /// tried again. Default 10m, at least 10s and at most 1h.
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('1h')").message("timeout must be at least 10s and at most 1h"))]
    pub timeout: Option<Duration>,
}

/// What is done with a record of Salesforce's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SalesforceOperation {
    /// Makes the record, or changes it where it is there.
    #[default]
    Upsert,
    /// Makes a new record.
    Insert,
    /// Changes a record that is there; it has `Id`.
    Update,
}

impl SalesforceBulk {
    /// The default of `threshold`. Source: Salesforce's limits cheat sheet.
    pub const THRESHOLD: usize = 2_000;

    /// Records from which on a portion goes as a job.
    pub fn threshold(&self) -> usize {
        self.threshold.and_then(|records| usize::try_from(records).ok()).unwrap_or(Self::THRESHOLD)
    }

    /// How long a job is waited for.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(600))
    }
}

impl SalesforceProvider {
    /// 200 records. Source: sObject Collections. A request may hold 6 MB.
    pub const CAPACITY: Capacity = Capacity { items: 200, most_items: 200, bytes: 6_000_000, is_known: true };

    /// 10 000 records, which Salesforce works on at a time. Source: Bulk API 2.0. Its files may hold 100 MB; what a worker has in
    /// hand must be fewer.
    pub const BULK_CAPACITY: Capacity =
        Capacity { items: 10_000, most_items: 10_000, bytes: 10_000_000, is_known: true };

    /// What a portion may hold.
    pub fn capacity(&self) -> Capacity {
        if self.bulk.is_some() { Self::BULK_CAPACITY } else { Self::CAPACITY }
    }

    /// An upsert and an update give the same record however often they come; a second insertion gives a second record.
    pub fn repeats(&self) -> Repeats {
        match self.operation.unwrap_or_default() {
            SalesforceOperation::Upsert | SalesforceOperation::Update => Repeats::Harmless,
            SalesforceOperation::Insert => Repeats::Duplicated,
        }
    }

    /// What is odd about the address, if anything.
    pub fn warning(&self) -> Option<String> {
        let hosts = [".salesforce.com", ".force.com", ".salesforce.mil", ".sfcrmapps.cn"];
        self.instance_url.as_ref()?.unlike(&hosts, "an org's at Salesforce (….my.salesforce.com)")
    }
}
