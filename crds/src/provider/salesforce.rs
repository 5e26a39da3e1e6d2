//! Salesforce: records of an org.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, HttpUrl, Repeats};

/// Records of a Salesforce org, 200 at a time (sObject Collections). Needs `auth.oauth2` (JwtBearer or ClientCredentials), or
/// `auth.bearer` with `instanceUrl`. A record holds the fields of one sObject, such as `LastName`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.operation) && self.operation != 'Upsert') == !has(self.externalIdField)").message("operation Upsert needs externalIdField, the others take none: Insert makes new records, Update finds them by Id"))]
#[x_kube(validation = Rule::new("!has(self.externalIdField) || self.externalIdField.lowerAscii() != 'id'").message("externalIdField must be an external id; Id is for the operation Update"))]
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

impl SalesforceProvider {
    /// 200 records. Source: sObject Collections. A request may hold 6 MB.
    pub const CAPACITY: Capacity = Capacity { items: 200, most_items: 200, bytes: 6_000_000, is_known: true };

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
