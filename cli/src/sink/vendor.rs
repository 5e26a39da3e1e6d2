//! Vendors, as the sink plays them: what they take, what they refuse and in which words. They keep what they took, so that a
//! repeat is treated as the vendor treats it. Their rules are written from the vendors' own pages and not from what Ropeway
//! sends; tests drive them with the vendors' own client libraries first.

mod amplitude;
mod braze;
mod ga4;
mod hubspot;
mod mixpanel;
mod salesforce;
mod segment;

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use ropeway_crds::provider::Provider;
use serde::Deserialize;
use serde_json::{Value, json};

/// A vendor's name in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Vendor {
    /// `POST /users/track`
    Braze,
    /// `POST /v1/batch` and the calls one by one.
    Segment,
    /// Batches of CRM objects.
    #[serde(rename = "HubSpot")]
    Hubspot,
    /// sObject Collections.
    Salesforce,
    /// The Measurement Protocol.
    Ga4,
    /// `POST /import`
    Mixpanel,
    /// `POST /2/httpapi` and `/batch`
    Amplitude,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The path below the destination's own, with a slash in front.
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// What the script wants beside the vendor's own rules.
pub(super) struct Wishes<'a> {
    /// That the request is one too many, for so long.
    pub(super) throttle: Option<Duration>,
    /// Whether an item is refused for good.
    pub(super) refuse: &'a dyn Fn(&Value) -> bool,
    /// How jobs end.
    pub(super) jobs: JobWishes,
}

/// How long jobs take, and how they end.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobWishes {
    /// How often one is looked at until it has ended; none where it never does.
    pub(super) looks: Option<u64>,
    /// Whether it fails as a whole.
    pub(super) fail: bool,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    /// A body that is CSV, in place of the other.
    pub(super) csv: Option<String>,
    /// Items that were taken, but for repeats that the vendor knows.
    pub(super) taken: Vec<Value>,
    /// Items that were refused or dropped.
    pub(super) refused: Vec<Value>,
    /// Repeats that the vendor knew.
    pub(super) repeated: u64,
}

/// A vendor with what it has taken so far.
pub(super) trait Fake: Send {
    fn answer(&mut self, asked: &Asked<'_>, wishes: &Wishes<'_>) -> Reply;
}

impl Vendor {
    /// The vendor behind a provider, if there is one.
    pub fn of(provider: &Provider) -> Option<Self> {
        match provider.name() {
            "braze" => Some(Self::Braze),
            "segment" => Some(Self::Segment),
            "hubspot" => Some(Self::Hubspot),
            "salesforce" => Some(Self::Salesforce),
            "ga4" => Some(Self::Ga4),
            "mixpanel" => Some(Self::Mixpanel),
            "amplitude" => Some(Self::Amplitude),
            _ => None,
        }
    }

    pub(super) fn fake(self) -> Box<dyn Fake> {
        match self {
            Self::Braze => Box::new(braze::Braze::default()),
            Self::Segment => Box::new(segment::Segment::default()),
            Self::Hubspot => Box::new(hubspot::Hubspot::default()),
            Self::Salesforce => Box::new(salesforce::Salesforce::default()),
            Self::Ga4 => Box::new(ga4::Ga4),
            Self::Mixpanel => Box::new(mixpanel::Mixpanel::default()),
            Self::Amplitude => Box::new(amplitude::Amplitude::default()),
        }
    }
}

impl Reply {
    /// An answer that takes nothing.
    fn of(status: u16, body: Value) -> Self {
        Self { status, body, ..Self::default() }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl Asked<'_> {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body).ok()
    }

    fn is_json(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
    }

    /// The token of `Authorization: Bearer`.
    fn bearer(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        value.strip_prefix("Bearer ").filter(|token| !token.trim().is_empty() && !token.contains('"'))
    }

    /// User name and password of `Authorization: Basic`.
    fn basic(&self) -> Option<(String, String)> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        (!user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

/// A member that is a text and not empty.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

fn not_found() -> Reply {
    Reply::of(404, json!({ "message": "Invalid URL" }))
}
