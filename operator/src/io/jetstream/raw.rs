//! A message as `STREAM.MSG.GET` answers it: body and headers in base 64.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

use super::Stored;

/// The answer's form.
#[derive(Debug, Deserialize)]
pub(super) struct Raw {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: Timestamp,
}

impl Raw {
    /// The message, or `None` where what the server sent is no message.
    pub(super) fn stored(self) -> Option<Stored> {
        let Self { subject, seq, hdrs, data, time } = self;
        let headers = String::from_utf8(BASE64_STANDARD.decode(hdrs).ok()?).ok()?;
        let body = BASE64_STANDARD.decode(data).ok()?.into();
        Some(Stored { subject, sequence: seq, headers: parse(&headers), body, time })
    }
}

fn parse(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // The first line is the protocol's name and version.
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value.trim_start())) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_body_come_back_as_they_were_stored() {
        let raw = Raw {
            subject: "dead.one".into(),
            seq: 7,
            hdrs: BASE64_STANDARD.encode("NATS/1.0\r\nce-id: a:b\r\ntraceparent: 1\r\ntraceparent: 2\r\n\r\n"),
            data: BASE64_STANDARD.encode("{}"),
            time: Timestamp::UNIX_EPOCH,
        };
        let stored = raw.stored().unwrap();
        assert_eq!(stored.headers.get("ce-id").map(|value| value.as_str()), Some("a:b"));
        assert_eq!(stored.headers.get_all("traceparent").count(), 2);
        assert_eq!((stored.sequence, stored.subject.as_str(), stored.body.as_ref()), (7, "dead.one", b"{}".as_ref()));
    }
}
