//! What a job asks, stage by stage.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use ropeway_auth::http::Request;

use super::{Bulk, Stage};
use crate::provider::{large::Need, object::json_request};

/// How long it is until the first look. Each further one comes after twice the time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The body of the request that makes a job.
pub(in crate::provider::salesforce) fn opening(object: &str, operation: &str, key: Option<&str>) -> Bytes {
    let mut opening = serde_json::json!({
        "object": object, "operation": operation, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
    });
    if let Some(key) = key {
        opening["externalIdFieldName"] = key.into();
    }
    opening.to_string().into()
}

impl Bulk {
    /// What it needs in its stage.
    pub(super) fn next_need(&self) -> Need {
        match &self.stage {
            Stage::Open => self.json(Method::POST, "", self.opening.clone()),
            Stage::Upload(id) => self.csv(Method::PUT, &format!("/{id}/batches"), self.csv.clone()),
            Stage::Start(id) => self.state(id, "UploadComplete"),
            Stage::Look(id) => self.json(Method::GET, &format!("/{id}"), Bytes::new()),
            Stage::Read(id, list) => self.csv(Method::GET, &format!("/{id}/{}", list.path()), Bytes::new()),
            Stage::Rest(_) | Stage::RestAndRead(..) => Need::Pause(self.pause()),
            Stage::Abort(id) => self.state(id, "Aborted"),
            Stage::Over => Need::Nothing,
        }
    }

    fn json(&self, method: Method, path: &str, body: Bytes) -> Need {
        Need::Answer(Box::new(json_request(method, self.below(path), body)))
    }

    fn csv(&self, method: Method, path: &str, body: Bytes) -> Need {
        let mut headers = HeaderMap::new();
        if method == Method::GET {
            headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=UTF-8"));
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        }
        Need::Answer(Box::new(Request { method, uri: self.below(path), headers, body }))
    }

    fn below(&self, path: &str) -> Uri {
        Uri::try_from(format!("{}{path}", self.root)).expect("letters and digits behind an address make another")
    }

    fn state(&self, id: &str, state: &str) -> Need {
        self.json(Method::PATCH, &format!("/{id}"), format!("{{\"state\":\"{state}\"}}").into())
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.tries.min(8)).min(LONGEST_PAUSE)
    }
}
