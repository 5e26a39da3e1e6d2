//! The provider `http`: any HTTP API. The record is the body, or one of several in it.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ropeway_auth::http::Request;
use ropeway_crds::provider::{HttpFormat, HttpMethod, HttpProvider};
use serde_json::value::RawValue;
use url::Url;

use crate::{cloud_event::encode_header, map::Record};

/// A request can't be made from the Destination's spec.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The address is none.
    #[error("{field} is not a URL: {source}")]
    Url {
        /// The field of the spec.
        field: &'static str,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A header can't be sent.
    #[error("the header {name} holds what no header may hold; see {field}")]
    Header {
        /// Its name.
        name: String,
        /// The field of the spec.
        field: &'static str,
    },
    /// A key to sign with can't be used. What it holds is not said.
    #[error(
        "provider.webhook.signing.keys[{index}] is no key: whsec_ or whsk_ and base 64 of 24 to 64 bytes (whsk_: 32 or 64)"
    )]
    Key {
        /// Which one.
        index: usize,
    },
}

/// What all requests to a destination have in common, so that it is made once and not for each of them.
#[derive(Clone, Debug)]
pub struct Frame {
    method: Method,
    uri: Uri,
    format: HttpFormat,
    /// The content type and the provider's own headers.
    headers: HeaderMap,
    /// The header that one record's key goes into.
    idempotency: Option<HeaderName>,
}

/// What the requests to a destination have in common. `header_values` holds the values of the provider's headers, in their
/// order; `idempotency` is the header that one record's key goes into.
///
/// # Errors
/// If the URL or a header is unusable.
pub fn frame(
    provider: &HttpProvider,
    header_values: &[String],
    idempotency: Option<&str>,
) -> Result<Frame, RequestError> {
    let uri = address(&provider.url, "provider.http.url")?;
    let method = match provider.method.unwrap_or_default() {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
    };
    let format = provider.format.unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (given, value) in provider.headers.iter().flatten().zip(header_values) {
        let (name, value) = line("provider.http.headers", &given.name, value, given.value_from.is_some())?;
        headers.insert(name, value);
    }
    let idempotency = idempotency.map(|name| line("idempotency.header", name, "", false)).transpose()?;
    Ok(Frame { method, uri, format, headers, idempotency: idempotency.map(|(name, _)| name) })
}

/// How records become a request. A header of the provider's own goes before one that an event brings.
///
/// # Errors
/// If a header is unusable.
pub fn request(frame: &Frame, records: &[&Record]) -> Result<Request, RequestError> {
    let Frame { method, uri, format, headers, idempotency } = frame;
    let mut headers = headers.clone();
    if let [record] = records {
        if *format == HttpFormat::CloudEventsBinary {
            for (name, value) in attributes(record) {
                let name = format!("ce-{name}");
                let (name, value) = line("provider.http.format", &name, &encode_header(value), false)?;
                headers.entry(name).or_insert(value);
            }
        }
        if let Some(name) = idempotency {
            let (_, value) = line("idempotency.header", name.as_str(), &record.key, false)?;
            headers.entry(name).or_insert(value);
        }
    }
    Ok(Request { method: method.clone(), uri: uri.clone(), headers, body: body(*format, records) })
}

/// The address in a field, in the one spelling that it is connected to and checked in.
///
/// # Errors
/// If it is none.
pub(crate) fn address(text: &str, field: &'static str) -> Result<Uri, RequestError> {
    let url = Url::parse(text).map_err(|source| RequestError::Url { field, source })?;
    // What a URL may hold and a request may not is taken for an address without a host: neither can be connected to.
    Uri::try_from(url.as_str()).map_err(|_| RequestError::Url { field, source: url::ParseError::EmptyHost })
}

/// A path whose host is put in front by whoever knows it.
pub(crate) fn relative(path: &str) -> Uri {
    Uri::try_from(path).expect("names of letters, digits and underscores make a path")
}

/// The bytes that `count` records of `bytes` in all take in a body.
pub fn body_size(format: HttpFormat, count: usize, bytes: usize) -> usize {
    match format {
        HttpFormat::JsonArray => bytes + count + 1,
        HttpFormat::Ndjson => bytes + count,
        HttpFormat::Json | HttpFormat::CloudEventsBinary | HttpFormat::CloudEventsStructured => bytes,
    }
}

fn content_type(format: HttpFormat) -> &'static str {
    match format {
        HttpFormat::Json | HttpFormat::JsonArray | HttpFormat::CloudEventsBinary => "application/json",
        HttpFormat::Ndjson => "application/x-ndjson",
        HttpFormat::CloudEventsStructured => "application/cloudevents+json",
    }
}

fn body(format: HttpFormat, records: &[&Record]) -> Bytes {
    let total = records.iter().map(|record| record.body.len()).sum();
    match (format, records) {
        (HttpFormat::JsonArray, _) => {
            let mut body = BytesMut::with_capacity(body_size(format, records.len(), total));
            body.put_u8(b'[');
            for (index, record) in records.iter().enumerate() {
                if index > 0 {
                    body.put_u8(b',');
                }
                body.put_slice(&record.body);
            }
            body.put_u8(b']');
            body.freeze()
        }
        (HttpFormat::Ndjson, _) => {
            let mut body = BytesMut::with_capacity(body_size(format, records.len(), total));
            for record in records {
                body.put_slice(&record.body);
                body.put_u8(b'\n');
            }
            body.freeze()
        }
        (HttpFormat::CloudEventsStructured, [record]) => structured(record),
        (_, [record]) => record.body.clone(),
        (_, _) => unreachable!("only the formats above hold several records"),
    }
}

/// The attributes of a record's event by their names in CloudEvents.
pub(crate) fn attributes(record: &Record) -> impl Iterator<Item = (&str, &str)> {
    let event = &record.attributes;
    let fixed = [
        ("specversion", Some("1.0")),
        ("id", Some(event.id.as_str())),
        ("source", Some(event.source.as_str())),
        ("type", Some(event.r#type.as_str())),
        ("time", event.time.as_deref()),
        ("subject", event.subject.as_deref()),
    ];
    let extensions = event.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fixed.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(extensions)
}

fn structured(record: &Record) -> Bytes {
    #[derive(serde::Serialize)]
    struct Envelope<'a> {
        #[serde(flatten)]
        attributes: std::collections::BTreeMap<&'a str, &'a str>,
        datacontenttype: &'static str,
        data: &'a RawValue,
    }
    let data = std::str::from_utf8(&record.body).ok().and_then(|text| serde_json::from_str(text).ok());
    let envelope = Envelope {
        attributes: attributes(record).collect(),
        datacontenttype: "application/json",
        data: data.expect("a record is JSON that we wrote"),
    };
    serde_json::to_vec(&envelope).expect("texts and raw JSON are writable").into()
}

fn line(
    field: &'static str,
    name: &str,
    value: &str,
    sensitive: bool,
) -> Result<(HeaderName, HeaderValue), RequestError> {
    let refuse = || RequestError::Header { name: name.to_owned(), field };
    let mut value = HeaderValue::try_from(value).map_err(|_| refuse())?;
    value.set_sensitive(sensitive);
    Ok((HeaderName::try_from(name).map_err(|_| refuse())?, value))
}

#[cfg(test)]
mod tests {
    use ropeway_mapping::EventAttributes;

    use super::*;

    fn record(body: &'static str) -> Record {
        let attributes = EventAttributes {
            id: "e 1".into(),
            source: "/shop".into(),
            r#type: "order".into(),
            extensions: [("tenant".to_owned(), "eu".to_owned())].into(),
            ..EventAttributes::default()
        };
        Record::new(Bytes::from_static(body.as_bytes()), "k1".into(), attributes.into())
    }

    fn made(format: HttpFormat, records: &[Record]) -> Request {
        let provider = HttpProvider {
            url: "https://api.example.com/v1".into(),
            format: Some(format),
            method: None,
            headers: None,
        };
        let records: Vec<&Record> = records.iter().collect();
        let frame = frame(&provider, &[], (records.len() == 1).then_some("Idempotency-Key")).unwrap();
        request(&frame, &records).unwrap()
    }

    #[test]
    fn several_records_make_one_body_of_the_size_that_was_foretold() {
        let records = [record("{\"a\":1}"), record("{}"), record("[2]")];
        let bytes = records.iter().map(|record| record.body.len()).sum();
        for (format, expected) in
            [(HttpFormat::JsonArray, "[{\"a\":1},{},[2]]"), (HttpFormat::Ndjson, "{\"a\":1}\n{}\n[2]\n")]
        {
            let request = made(format, &records);
            assert_eq!(request.body, expected);
            assert_eq!(body_size(format, records.len(), bytes), request.body.len());
            assert!(!request.headers.contains_key("idempotency-key"));
        }
    }

    #[test]
    fn a_cloud_event_goes_out_in_both_modes() {
        let binary = made(HttpFormat::CloudEventsBinary, &[record("{\"a\":1}")]);
        assert_eq!(
            (binary.headers["ce-id"].to_str().unwrap(), binary.headers["ce-tenant"].to_str().unwrap()),
            ("e%201", "eu")
        );
        assert_eq!(binary.body, "{\"a\":1}");
        let whole = made(HttpFormat::CloudEventsStructured, &[record("{\"a\":1}")]);
        let body: serde_json::Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "specversion": "1.0", "id": "e 1", "source": "/shop", "type": "order", "tenant": "eu",
                "datacontenttype": "application/json", "data": { "a": 1 },
            })
        );
        assert_eq!(whole.headers["idempotency-key"], "k1");
    }
}
