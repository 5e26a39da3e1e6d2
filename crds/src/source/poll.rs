//! An API that is asked again and again.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    auth::{Auth, Tls},
    cursor::CursorFormat,
    duration::{ByteSize, Duration},
    provider::HttpHeader,
    secret_ref::{ConfigMapSource, SecretKeyRef},
};

/// An API that is asked on a schedule, page by page. Every item of its answers becomes an event; one worker asks at a time.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.interval) != has(self.schedule)").message("give exactly one of interval and schedule"))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone is for schedule"))]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// How long after the start of a run the next one starts; never before it has ended.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('720h')").message("interval must be at least 1s and at most 720h"))]
    pub interval: Option<Duration>,
    /// When runs start: five fields of cron, or a word such as `@daily`, as those of a batch source. A run that nobody could
    /// start is made up for once.
    #[schemars(length(min = 6, max = 128))]
    pub schedule: Option<String>,
    /// The time zone of `schedule`, by its name in the IANA database. Default UTC.
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// What is asked.
    pub request: PollRequest,
    /// How we prove who we are. Leave it out where the address is open.
    #[x_kube(validation = Rule::new("!has(self.oauth2) || !(self.oauth2.grant in ['RefreshToken', 'AuthorizationCode'])").message("the grants RefreshToken and AuthorizationCode are for Destinations; give such a Destination's name in destinationRef"))]
    pub auth: Option<Auth>,
    /// Certificates beyond the public ones.
    pub tls: Option<Tls>,
    /// How long one answer may take. Default 30s.
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('2m')").message("timeout must be at least 100ms and at most 2m"))]
    pub timeout: Option<Duration>,
    /// A JSON pointer to the array of items in an answer, such as `/data`. Default: the whole answer is the array.
    #[schemars(length(max = 256), regex(pattern = r"^(/.*)?$"))]
    pub items: Option<String>,
    /// How the next page is asked for. Without it there is one page.
    pub pagination: Option<Pagination>,
    /// The most pages of one run. Default 1000.
    #[schemars(range(min = 1, max = 1000000))]
    pub max_pages: Option<i32>,
    /// The largest answer that is read. Default 8Mi, at most 64Mi.
    pub max_page_bytes: Option<ByteSize>,
    /// What is asked for is what changed since the last time. Without it every run reads everything, and what was there
    /// before is dropped as a repeat.
    pub cursor: Option<Cursor>,
}

/// The request for the first page.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.body) || (has(self.method) && self.method == 'Post')").message("body is for the method Post"))]
#[serde(rename_all = "camelCase")]
pub struct PollRequest {
    /// The address, `https://…` or `http://…`. It must not hold credentials: those belong in `auth`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials; put them in auth"))]
    pub url: String,
    /// The request method. Default Get.
    pub method: Option<PollMethod>,
    /// Headers of every request, beside the ones that Ropeway sets itself.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Option<Vec<HttpHeader>>,
    /// Query parameters of the first page's request, and of the others unless the API gives whole URLs.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub query: Option<Vec<QueryParameter>>,
    /// A JSON body.
    #[schemars(length(max = 16384))]
    pub body: Option<String>,
}

/// The request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PollMethod {
    /// `GET`
    #[default]
    Get,
    /// `POST`, for APIs that search so.
    Post,
}

/// A query parameter.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("give exactly one of value and valueFrom"))]
#[serde(rename_all = "camelCase")]
pub struct QueryParameter {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its value. Not for secrets: those belong in `auth.apiKey`.
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
    /// Where its value comes from. Not from a Secret: those belong in `auth.apiKey`.
    pub value_from: Option<ConfigMapSource>,
}

/// How the next page is asked for: exactly one way.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.link), has(self.nextUrl), has(self.cursor), has(self.page), has(self.offset), has(self.lastItem)].filter(given, given).size() == 1").message("give exactly one of link, nextUrl, cursor, page, offset and lastItem"))]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// By the `Link` header with `rel="next"` (RFC 8288).
    pub link: Option<LinkPages>,
    /// By the URL of the next page in the answer.
    pub next_url: Option<NextUrlPages>,
    /// By a token in the answer that is sent with the next request.
    pub cursor: Option<TokenPages>,
    /// By counting pages. Ends with a page without items.
    pub page: Option<NumberedPages>,
    /// By counting items. Ends with a page without items.
    pub offset: Option<OffsetPages>,
    /// By a value of the last item of a page, such as Stripe's `starting_after`.
    pub last_item: Option<LastItemPages>,
}

/// By the `Link` header. Only to the scheme, host and port of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkPages {}

/// By the URL of the next page in the answer. Only to the scheme, host and port of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextUrlPages {
    /// A JSON pointer to it. Absent, null or empty there means that this was the last page.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub pointer: String,
}

/// By a token in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenPages {
    /// A JSON pointer to it. Absent, null or empty there means that this was the last page.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub pointer: String,
    /// Where it is sent: a query parameter, or with `/` in front a JSON pointer into the body.
    #[schemars(length(min = 1, max = 128))]
    pub param: String,
}

/// By counting pages.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.size) == has(self.sizeParam)").message("give size and sizeParam together"))]
#[serde(rename_all = "camelCase")]
pub struct NumberedPages {
    /// Where the page's number is sent: a query parameter, or with `/` in front a JSON pointer into the body.
    #[schemars(length(min = 1, max = 128))]
    pub param: String,
    /// The first page's number. Default 1.
    #[schemars(range(min = 0, max = 1000))]
    pub start: Option<i32>,
    /// Where the size of a page is sent.
    #[schemars(length(min = 1, max = 128))]
    pub size_param: Option<String>,
    /// The size of a page.
    #[schemars(range(min = 1, max = 100000))]
    pub size: Option<i32>,
}

/// By counting items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OffsetPages {
    /// Where the number of items before the page is sent: a query parameter, or with `/` in front a JSON pointer into the body.
    #[schemars(length(min = 1, max = 128))]
    pub param: String,
    /// Where the size of a page is sent.
    #[schemars(length(min = 1, max = 128))]
    pub limit_param: String,
    /// The size of a page.
    #[schemars(range(min = 1, max = 100000))]
    pub limit: i32,
}

/// By a value of the last item of a page.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastItemPages {
    /// A JSON pointer to the value in an item, such as `/id`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub field: String,
    /// Where it is sent: a query parameter, or with `/` in front a JSON pointer into the body.
    #[schemars(length(min = 1, max = 128))]
    pub param: String,
    /// A JSON pointer to `true` or `false` in the answer: whether there are more pages, such as `/has_more`. Without it the
    /// last page is one without items.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub more: Option<String>,
}

/// What is asked for is what changed since the last time.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.lookback) || !has(self.format) || self.format in ['Rfc3339', 'EpochSeconds', 'EpochMilliseconds']").message("lookback needs a format that is a time: Rfc3339, EpochSeconds or EpochMilliseconds"))]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// A JSON pointer to the value in an item, such as `/updated_at`. The highest one that a whole run has seen is committed.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub field: String,
    /// Where the committed value is sent: a query parameter, or with `/` in front a JSON pointer into the body.
    #[schemars(length(min = 1, max = 128))]
    pub param: String,
    /// How values are written, and so how they compare. Default Rfc3339.
    pub format: Option<CursorFormat>,
    /// The value of the first run. Without it the first run asks for everything.
    #[schemars(length(min = 1, max = 256))]
    pub initial: Option<String>,
    /// How far before the committed value is asked, for rows that appear late. What was stored already is dropped as a
    /// repeat. Default 0s.
    #[x_kube(validation = Rule::new("duration(self) <= duration('720h')").message("lookback must be at most 720h"))]
    pub lookback: Option<Duration>,
    /// Where the end of a range is sent in a backfill. Without it rows after the end are read and left out.
    #[schemars(length(min = 1, max = 128))]
    pub until_param: Option<String>,
}

impl Poll {
    /// Every Secret key that requests need.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        let headers = self.request.headers.iter().flatten().filter_map(HttpHeader::key);
        let mut keys: Vec<SecretKeyRef> = headers.cloned().collect();
        keys.extend(self.auth.iter().flat_map(Auth::secret_keys));
        keys.extend(self.tls.iter().flat_map(Tls::secret_keys));
        keys
    }
}
