//! A cheap request that proves a Destination's credentials, and what workers share about it.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A cheap request that proves the credentials. It is made with the Destination's credentials, headers and certificates, by
/// one worker at a time, and counts against the rate limit.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.path) != has(self.url)").message("give exactly one of path and url"))]
#[serde(rename_all = "camelCase")]
pub struct CredentialsProbe {
    /// The request method. Default Get. The request has no body.
    pub method: Option<ProbeMethod>,
    /// A path, with a query if need be, at the host of `provider.http.url`, such as `/v1/me`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/([^/\s][^\s]*)?$"))]
    pub path: Option<String>,
    /// The whole address, where it is at another host.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    #[x_kube(validation = Rule::new("!self.split('/')[2].contains('@')").message("url must not hold credentials; put them in auth"))]
    pub url: Option<String>,
    /// The statuses that prove the credentials, each as `204` or as `200-299`. Default `200-299`.
    #[schemars(length(min = 1, max = 16))]
    pub expect: Option<Vec<StatusRange>>,
    /// How often it is made. Default 5m.
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("interval must be at least 10s and at most 24h"))]
    pub interval: Option<Duration>,
}

/// The request method of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeMethod {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`, for APIs that answer to nothing else.
    Post,
}

/// One status or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusRange(pub String);

impl JsonSchema for StatusRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 7, "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$" })
    }
}

impl StatusRange {
    /// The first and the last status; none where the text is no range.
    pub fn bounds(&self) -> Option<(u16, u16)> {
        let (first, last) = self.0.split_once('-').unwrap_or((&self.0, &self.0));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    }
}

impl CredentialsProbe {
    /// How often it is made.
    pub fn interval(&self) -> std::time::Duration {
        self.interval.map_or(std::time::Duration::from_secs(300), |interval| interval.std())
    }

    /// Whether this status proves the credentials.
    pub fn proves(&self, status: u16) -> bool {
        match &self.expect {
            None => (200..300).contains(&status),
            Some(ranges) => {
                ranges.iter().filter_map(StatusRange::bounds).any(|(first, last)| (first..=last).contains(&status))
            }
        }
    }
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The credentials are accepted.
    Accepted,
    /// They are refused, missing or unusable.
    Refused,
    /// Neither: the destination did not answer, or was too busy to look.
    Unclear,
}

/// What workers share about a Destination's probe, in the key `proof.<destination uid>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofRecord {
    /// When the next probe may be made. Whoever moves it makes the one that is due.
    pub next: Timestamp,
    /// What the last one showed.
    pub shown: Option<Shown>,
}

/// What a probe showed, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// When.
    pub time: Timestamp,
    /// What.
    pub verdict: Verdict,
    /// The same in a sentence of at most 256 characters, without credential and URL query.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_prove_what_is_expected_of_them() {
        let probe = |expect: Option<&[&str]>| CredentialsProbe {
            method: None,
            path: Some("/".into()),
            url: None,
            expect: expect.map(|texts| texts.iter().map(|text| StatusRange((*text).into())).collect()),
            interval: None,
        };
        assert_eq!(
            [200, 204, 299, 300, 401].map(|status| probe(None).proves(status)),
            [true, true, true, false, false]
        );
        let given = probe(Some(&["204", "400-404", "500-400", "x"]));
        assert_eq!([200, 204, 400, 404, 405].map(|status| given.proves(status)), [false, true, true, true, false]);
    }
}
